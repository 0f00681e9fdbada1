"""Circuit breakers: stop calling a service that keeps failing."""

# First: under gunicorn and zero code, telemetry starts with the import of Flask, and needs the modules below whole.
import flask as _flask  # noqa: F401

from otelflask._internal.breaker.breaker import CircuitBreaker, CircuitOpenError

__all__ = ["CircuitBreaker", "CircuitOpenError"]
