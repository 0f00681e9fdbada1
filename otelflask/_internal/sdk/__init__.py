"""OpenTelemetry's SDK as otelflask has it: providers, spans, log records and metrics, cheaper and bounded."""
