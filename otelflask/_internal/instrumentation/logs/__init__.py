"""Records of the ``logging`` module, and events, as OpenTelemetry log records."""
