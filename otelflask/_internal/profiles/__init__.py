"""Profiles of single requests (``otelflask[profile]``), and of a process all the time (``otelflask[pyroscope]``)."""
