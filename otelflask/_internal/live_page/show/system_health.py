"""The page's `/health`: a small JSON about the processes, for a script of one's own."""

from __future__ import annotations

from typing import Any

import psutil

from otelflask._internal.live_page.show.overview import STALE_AFTER_S
from otelflask._internal.live_page.show.repository import Repository

_WORDS = {"pass": "healthy", "warn": "degraded", "fail": "unhealthy"}


def system_health(repository: Repository, status: str, now: float) -> dict[str, Any]:
    """The state of all workers together.

    Args:
        repository: The queries.
        status: ``pass``, ``warn`` or ``fail``, by the health checks.
        now: Epoch seconds.

    Returns:
        ``status``, ``workers``, and ``system_metrics``:
        ``cpu_percent`` (100 is one processor), ``memory_percent`` (of the machine), ``memory_rss_mb``,
        ``threads``, ``uptime_seconds``.
    """
    with repository.file.at_once():
        processes = repository.processes(now - STALE_AFTER_S)
    memory = sum(process["memory"] for process in processes)
    return {
        "status": _WORDS[status],
        "workers": len(processes),
        "system_metrics": {
            "cpu_percent": round(100 * sum(process["cpu"] for process in processes), 1),
            "memory_percent": round(100 * memory / psutil.virtual_memory().total, 2),
            "memory_rss_mb": round(memory / 2**20, 1),
            "threads": sum(count for process in processes for _, count in process["threads"]),
            "uptime_seconds": round(max((now - process["started"] for process in processes), default=0.0), 1),
        },
    }
