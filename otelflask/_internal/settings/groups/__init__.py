"""The settings, declared once each: name, environment variable, default, type and description."""
