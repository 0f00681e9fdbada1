"""A circuit breaker for calls to what may be down."""

import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class CircuitBreakerOpenError(Exception):
    """The breaker is open: the call was not made."""


class CircuitBreaker:
    """Stops calling a function that keeps failing, and tries again later."""

    def __init__(
        self, failure_threshold: int = 5, timeout: float = 60, expected_exception: type[Exception] = Exception
    ) -> None:
        self.failure_threshold = failure_threshold
        self.timeout = timeout
        self.expected_exception = expected_exception
        self.state = "closed"
        self.failures = 0
        self.opened_at = 0.0

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Protect a function."""

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            if self.state == "open":
                if time.monotonic() - self.opened_at < self.timeout:
                    raise CircuitBreakerOpenError(f"{function.__name__} is not called for now")
                self.state = "half_open"
            try:
                result = function(*args, **kwargs)
            except self.expected_exception:
                self.on_failure()
                raise
            self.on_success()
            return result

        return wrapper

    def on_success(self) -> None:
        """Close the breaker."""
        self.failures = 0
        self.state = "closed"

    def on_failure(self) -> None:
        """Open the breaker after too many failures, or after the one that was tried."""
        self.failures += 1
        if self.state == "half_open" or self.failures >= self.failure_threshold:
            self.state = "open"
            self.opened_at = time.monotonic()
