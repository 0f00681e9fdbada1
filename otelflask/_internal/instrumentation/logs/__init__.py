"""Records of ``logging``, and events, as OpenTelemetry log records."""
