"""The database's statements: counted, timed, and logged when slow."""

import time
from typing import Any

from flask import Flask
from prometheus_client import Counter, Histogram
from sqlalchemy import event

from .views import db

OPERATIONS = ("SELECT", "INSERT", "UPDATE", "DELETE")


class DatabaseMonitor:
    """Watches the statements of the app's engine."""

    def __init__(self, app: Flask, slow_query_threshold: float = 1.0) -> None:
        self.app = app
        self.slow_query_threshold = slow_query_threshold
        registry = app.extensions["metrics_registry"]
        self.duration = Histogram("db_query_duration", "Duration of statements in seconds", registry=registry)
        self.count = Counter("db_query_count", "Statements", ["operation"], registry=registry)
        with app.app_context():
            event.listen(db.engine, "before_cursor_execute", self.before)
            event.listen(db.engine, "after_cursor_execute", self.after)

    def before(self, connection: Any, *_args: Any) -> None:
        """Note when the statement began."""
        connection.info["query_start"] = time.perf_counter()

    def after(self, connection: Any, _cursor: Any, statement: str, *_args: Any) -> None:
        """Count and time the statement."""
        seconds = time.perf_counter() - connection.info.pop("query_start")
        operation = statement.split(maxsplit=1)[0].upper()
        self.count.labels(operation if operation in OPERATIONS else "OTHER").inc()
        self.duration.observe(seconds)
        if seconds > self.slow_query_threshold:
            self.app.logger.warning("Slow query (%.3f s): %s", seconds, statement[:100])


def init_app(app: Flask) -> None:
    """Watch the app's engine."""
    app.extensions["database_monitor"] = DatabaseMonitor(app, app.config["SLOW_QUERY_THRESHOLD"])
