"""The circuit breaker and its telemetry."""
