"""Profiles of single requests (``otelflask[profile]``) and continuous profiles (``otelflask[pyroscope]``)."""
