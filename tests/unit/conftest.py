from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import flask
import pytest
import sqlalchemy

import otelflask
from otelflask._internal.wiring import app_endpoints
from otelflask.testing import CapturedTelemetry

Make = Callable[..., flask.Flask]
#: The test that has made an engine.
_made_by: WeakKeyDictionary[sqlalchemy.Engine, str] = WeakKeyDictionary()


def _this_test() -> str:
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]


@pytest.fixture(scope="session", autouse=True)
def _engines_are_known() -> Iterator[None]:
    original = sqlalchemy.Engine.__init__

    def made(self: sqlalchemy.Engine, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        _made_by[self] = _this_test()

    sqlalchemy.Engine.__init__ = made  # type: ignore[method-assign]
    yield
    sqlalchemy.Engine.__init__ = original  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _health_is_of_this_tests_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the engines of other tests, some of which have lost their server."""
    found = app_endpoints._engines
    own = _this_test()
    monkeypatch.setattr(
        app_endpoints, "_engines", lambda: [engine for engine in found() if _made_by.get(engine) == own]
    )


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
