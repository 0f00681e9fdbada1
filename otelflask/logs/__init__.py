"""Records of the ``logging`` module as OpenTelemetry log records."""
