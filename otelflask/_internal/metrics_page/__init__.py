"""The app's own metrics page for Prometheus. Needs ``otelflask[prometheus]``."""
