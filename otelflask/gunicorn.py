"""Server hooks for gunicorn: ``from otelflask.gunicorn import *`` in ``gunicorn.conf.py``.

Not needed for flushing at a normal exit, which `atexit` does; they cover a
worker that gunicorn ends by itself (``max_requests``, timeout), and let a load
balancer know before the listener is closed.
"""

from __future__ import annotations

from typing import Any

from otelflask._internal.health import draining
from otelflask._internal.settings.loading import load
from otelflask._internal.wiring.install import flush, shutdown

__all__ = ["when_ready", "worker_abort", "worker_exit"]


def when_ready(server: Any) -> None:
    """The master listens: at SIGTERM it lets ``/health/ready`` answer 503 for a while before it ends."""
    seconds = load({}, {}).health_drain
    if seconds:
        draining.delay_end(seconds)


def worker_exit(server: Any, worker: Any) -> None:
    """A worker ends: send what it has, within the shutdown timeout."""
    shutdown()


def worker_abort(worker: Any) -> None:
    """A worker did not answer in time and is about to be killed: send what it has, within a second."""
    flush(1.0)
