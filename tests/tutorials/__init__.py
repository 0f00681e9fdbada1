"""The tutorials' apps, by hand and with otelflask."""
