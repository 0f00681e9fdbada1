"""A small client for Sentry: sends what no handler has caught."""

import json
import reprlib
import traceback
import uuid
from datetime import datetime, timezone
from http.client import HTTPException
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from flask import Flask, got_request_exception, request


class Sentry:
    """Posts an event with stack and locals to the DSN's host for each unhandled exception."""

    def __init__(self, app: Flask | None = None, dsn: str | None = None) -> None:
        self.dsn = dsn
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, dsn: str | None = None) -> None:
        """Watch an app; without a DSN, here or in SENTRY_DSN, nothing is sent."""
        app.config["SENTRY_DSN"] = dsn or self.dsn or app.config.get("SENTRY_DSN")
        app.extensions["sentry"] = self
        got_request_exception.connect(self.capture, app)

    def close(self, app: Flask) -> None:
        """Watch the app no more."""
        got_request_exception.disconnect(self.capture, app)

    def capture(self, sender: Flask, exception: Exception, **_extra: Any) -> None:
        """Send one exception; a server that is away changes nothing for the client."""
        if not sender.config["SENTRY_DSN"]:
            return
        dsn = urlsplit(sender.config["SENTRY_DSN"])
        post = Request(
            f"{dsn.scheme}://{dsn.netloc.rpartition('@')[2]}/api/{dsn.path.strip('/')}/store/",
            json.dumps(build_event(exception)).encode(),
            {
                "Content-Type": "application/json",
                "X-Sentry-Auth": f"Sentry sentry_version=7, sentry_client=by-hand/1.0, sentry_key={dsn.username}",
            },
        )
        try:
            with urlopen(post, timeout=2):
                pass
        except (OSError, HTTPException) as error:
            sender.logger.warning("Sentry does not take the event: %s", error)


def build_event(exception: Exception) -> dict[str, Any]:
    """Describe the exception, with a fingerprint by which the server aggregates duplicates."""
    frames = build_frames(exception.__traceback__)
    name = type(exception).__name__
    return {
        "event_id": uuid.uuid4().hex,
        "timestamp": datetime.now(timezone.utc).isoformat(),
        "platform": "python",
        "level": "error",
        "fingerprint": [name, frames[-1]["filename"], frames[-1]["function"]],
        "request": {"url": request.url, "method": request.method},
        "exception": {"values": [{"type": name, "value": str(exception), "stacktrace": {"frames": frames}}]},
    }


def build_frames(tb: TracebackType | None) -> list[dict[str, Any]]:
    """Describe each frame of the stack, with its local variables."""
    return [
        {
            "filename": frame.f_code.co_filename,
            "function": frame.f_code.co_name,
            "lineno": lineno,
            "vars": {name: reprlib.repr(value) for name, value in frame.f_locals.items()},
        }
        for frame, lineno in traceback.walk_tb(tb)
    ]
