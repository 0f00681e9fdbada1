"""What a worker of Celery loads: the shop's jobs, each within the shop's app context."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from celery import Task, signals

from otelflask.demo.jobs import queue
from otelflask.demo.shop import create_app

__all__ = ["queue"]

#: Touched as long as the worker is connected.
ALIVE = Path(os.environ.get("SHOP_WORKER_ALIVE", f"{tempfile.gettempdir()}/otelflask-shop-{os.getuid()}.alive"))


class _ShopTask(Task):  # type: ignore[misc]
    """A task with the database of the shop (Flask's documentation, "Background Tasks with Celery")."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        with shop.app_context():
            return self.run(*arguments, **options)


queue.Task = _ShopTask
# After that: the app's command makes the tasks.
shop = create_app()


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _keep_logging(**signal: Any) -> None:
    """Log as the shop does. Celery leaves logging alone where somebody listens."""
    logging.getLogger("celery").setLevel(logging.WARNING)


@signals.heartbeat_sent.connect  # type: ignore[untyped-decorator]
def _is_alive(**signal: Any) -> None:
    ALIVE.touch()
