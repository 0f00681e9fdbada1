"""The tutorials' apps, each written by hand from the facts: what otelflask is compared with."""
