"""The export of telemetry: queue, mask, encode, send."""
