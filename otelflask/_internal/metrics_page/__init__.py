"""The app's own page of metrics, for Prometheus to scrape. Needs ``otelflask[prometheus]``."""
