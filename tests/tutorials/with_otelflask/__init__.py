"""The same apps, with otelflask."""
