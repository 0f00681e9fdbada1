from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
import sqlalchemy

import otelflask
from otelflask._internal.wiring import app_endpoints
from otelflask.testing import CapturedTelemetry

Make = Callable[..., flask.Flask]


@pytest.fixture
def only_own_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the engines of other tests, some of which have lost their server or their user, out of the health."""
    gc.collect()
    others = {item for item in gc.get_referrers(sqlalchemy.Engine) if isinstance(item, sqlalchemy.Engine)}
    engines = app_endpoints._engines
    monkeypatch.setattr(app_endpoints, "_engines", lambda: [item for item in engines() if item not in others])


@pytest.fixture
def make(telemetry: CapturedTelemetry) -> Make:
    """An app with views at `/x` and `/api/x` that raise a given exception."""

    def made(error: Any = None, *, init: bool = True, **options: Any) -> flask.Flask:
        app = flask.Flask("shop")

        def view() -> str:
            raise error() if isinstance(error, type) else error

        app.add_url_rule("/x", "x", view)
        app.add_url_rule("/api/x", "api_x", view, methods=["GET", "POST"])
        if init:
            otelflask.init(app, runtime_metrics=False, **telemetry.providers, **options)
        return app

    return made


def join_checks() -> None:
    """Wait for the health checks that run. Their outcomes count for some seconds.

    On a busy machine a check may need more than the second that an answer waits for it.
    """
    for thread in threading.enumerate():
        if thread.name.startswith("otelflask-health"):
            thread.join(60)


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("shop.stock")
    found.setLevel(logging.INFO)
    yield found
    found.setLevel(logging.NOTSET)
