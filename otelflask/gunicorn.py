"""Server hooks for gunicorn: ``from otelflask.gunicorn import *`` in ``gunicorn.conf.py``.

A normal exit needs none of them: `atexit` flushes there. The hooks flush a worker that gunicorn
ends by itself (``max_requests``, timeout). They also let a load balancer notice the shutdown
before the listener closes.
"""

from __future__ import annotations

import sys
from typing import Any

from otelflask._internal.health import draining
from otelflask._internal.settings.loading import load

__all__ = ["when_ready", "worker_abort", "worker_exit"]


def _call(name: str, *arguments: float) -> None:
    """Call a function of a worker's telemetry, where the worker has imported that. The master has not."""
    function = getattr(sys.modules.get("otelflask._internal.wiring.install"), name, None)
    if function is not None:
        function(*arguments)


def when_ready(server: Any) -> None:
    """Delay the master's SIGTERM, so that ``/health/ready`` answers 503 for a while first."""
    seconds = load({}, {}).health_drain
    if seconds:
        draining.delay_end(seconds)


def worker_exit(server: Any, worker: Any) -> None:
    """Send what a worker still holds when it ends, within the shutdown timeout."""
    _call("shutdown")


def worker_abort(worker: Any) -> None:
    """Send what a worker still holds when gunicorn kills it for a timeout, within one second."""
    _call("flush", 1.0)
