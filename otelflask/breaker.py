"""A circuit breaker: leaves a service alone that fails."""

from otelflask._internal.breaker.breaker import CircuitBreaker, CircuitOpenError

__all__ = ["CircuitBreaker", "CircuitOpenError"]
