"""Our versions of OpenTelemetry's SDK: providers, spans, log records and metrics, cheaper and bounded."""
