"""The log files, a structured line for each request, and business events."""

import json
import logging
import time
from datetime import datetime, timezone
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, g, request
from flask.logging import wsgi_errors_stream


def init_app(app: Flask) -> None:
    """Log to files, and to the console in debug mode."""
    directory = Path(app.config["LOG_DIR"])
    directory.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = []
    for name, level in (("app.log", logging.INFO), ("error.log", logging.ERROR)):
        file = RotatingFileHandler(directory / name, maxBytes=10_240_000, backupCount=10, encoding="utf-8")
        file.setLevel(level)
        handlers.append(file)
    if app.debug:
        console = logging.StreamHandler(wsgi_errors_stream)  # type: ignore[call-overload]
        console.setLevel(logging.DEBUG)
        handlers.append(console)

    # Apps of one name share a logger: an earlier app's handlers make way, as Flask's own does.
    remove_handlers(app, app.logger.handlers)
    formatter = logging.Formatter("[%(asctime)s] %(levelname)s in %(module)s: %(message)s")
    for handler in handlers:
        handler.setFormatter(formatter)
        app.logger.addHandler(handler)
    app.logger.setLevel(logging.DEBUG if app.debug else logging.INFO)
    app.extensions["log_handlers"] = handlers
    app.before_request(start_timer)
    app.after_request(log_request)


def remove_handlers(app: Flask, handlers: list[logging.Handler]) -> None:
    """Take handlers off the app's logger and close them."""
    for handler in list(handlers):
        app.logger.removeHandler(handler)
        handler.close()


def close(app: Flask) -> None:
    """Close the log files."""
    remove_handlers(app, app.extensions["log_handlers"])


def log_structured(entry: dict[str, Any]) -> None:
    """Log one entry as a line of JSON; Chinese stays readable."""
    entry = {"timestamp": datetime.now(timezone.utc).isoformat(), **entry}
    current_app.logger.info(json.dumps(entry, ensure_ascii=False, default=str))


def log_business_event(event_type: str, user_id: int | None = None, data: dict[str, Any] | None = None) -> None:
    """Log that something happened that the business wants to know."""
    log_structured({"event_type": event_type, "user_id": user_id, "data": data or {}})


def start_timer() -> None:
    """Note when the request began."""
    g.log_start = time.perf_counter()


def log_request(response: Response) -> Response:
    """Log the request and its response."""
    log_structured(
        {
            "request": {
                "method": request.method,
                "url": request.url,
                "remote_addr": request.remote_addr,
                "user_agent": request.user_agent.string,
            },
            "response": {
                "status_code": response.status_code,
                "response_time_ms": round((time.perf_counter() - g.log_start) * 1000, 2),
            },
            "user_id": g.get("user_id"),
        }
    )
    return response
