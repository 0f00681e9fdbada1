"""The circuit breaker, and what is measured of it."""
