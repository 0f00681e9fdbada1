"""Circuit breakers: stop calling a service that keeps failing."""

from otelflask._internal.breaker.breaker import CircuitBreaker, CircuitOpenError

__all__ = ["CircuitBreaker", "CircuitOpenError"]
