"""A route that has a scheduler run a job."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta, timezone

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MISSED
from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask

logger = logging.getLogger("shop.schedule")
#: Its lines have the times of the schedule.
logging.getLogger("apscheduler").setLevel(logging.CRITICAL)


def ship(lamp: str) -> None:
    """Ship a lamp."""
    logger.info("shipping %s", lamp)
    if lamp == "broken":
        raise LookupError("no such lamp")


def add(app: Flask) -> None:
    """Add the route."""

    @app.get("/ship/<lamp>")
    def ask(lamp: str) -> str:
        ended = threading.Event()
        scheduler = BackgroundScheduler(timezone=timezone.utc)
        scheduler.add_listener(lambda event: ended.set(), EVENT_JOB_EXECUTED | EVENT_JOB_ERROR | EVENT_JOB_MISSED)
        due = datetime.now(timezone.utc) - timedelta(hours=lamp == "late")
        scheduler.add_job(ship, "date", [lamp], run_date=due, misfire_grace_time=600, id="ship")
        scheduler.start()
        ended.wait(30)
        scheduler.shutdown()
        return "asked"
