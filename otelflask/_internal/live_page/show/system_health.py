"""The page's `/health`: a small JSON about the processes, for a script of one's own."""

from __future__ import annotations

from typing import Any

import psutil

from otelflask._internal.live_page.show.overview import STALE_AFTER_S, WORSE
from otelflask._internal.live_page.show.repository import Repository

_STATUS = ("healthy", "healthy", "degraded", "unhealthy")


def system_health(repository: Repository, now: float) -> dict[str, Any]:
    """The state of all workers together.

    Args:
        repository: The queries.
        now: Epoch seconds.

    Returns:
        ``status`` (by the last outcomes of the health checks), ``workers``, and ``system_metrics``:
        ``cpu_percent`` (100 is one processor), ``memory_percent`` (of the machine), ``memory_rss_mb``,
        ``threads``, ``uptime_seconds``.
    """
    with repository.file.at_once():
        processes = repository.processes(now - STALE_AFTER_S)
    memory = sum(process["memory"] for process in processes)
    states = [item["state"] for process in processes for item in process["health"]]
    return {
        "status": _STATUS[max((WORSE.get(state, 0) for state in states), default=0)],
        "workers": len(processes),
        "system_metrics": {
            "cpu_percent": round(100 * sum(process["cpu"] for process in processes), 1),
            "memory_percent": round(100 * memory / psutil.virtual_memory().total, 2),
            "memory_rss_mb": round(memory / 2**20, 1),
            "threads": sum(count for process in processes for _, count in process["threads"]),
            "uptime_seconds": round(max((now - process["started"] for process in processes), default=0.0), 1),
        },
    }
