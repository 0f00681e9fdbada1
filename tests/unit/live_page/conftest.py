"""An app with the live page, and its content."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import pytest

import otelflask
from otelflask.testing import CapturedTelemetry
from tests.pages import rows_of

Make = Callable[..., flask.Flask]
VIEWS = ("", "requests", "errors", "logs", "queries", "profiles", "runtime")
LOCAL = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:5000"}


@pytest.fixture
def make(telemetry: CapturedTelemetry, tmp_path: Path) -> Make:
    def made(**settings: Any) -> flask.Flask:
        app = flask.Flask("shop")
        app.add_url_rule("/items/<int:item>", "item", lambda item: f"item {item}")
        app.add_url_rule("/boom", "boom", lambda: str(1 / 0))
        app.add_url_rule("/say", "say", lambda: (app.logger.warning("said <b>%s</b>", "this"), "ok")[1])
        options = {"environment": "development", "state_dir": str(tmp_path), "runtime_metrics": False}
        otelflask.init(app, **{**telemetry.providers, **options, **settings})
        return app

    return made


def ask(app: flask.Flask, path: str, **environ: str) -> Any:
    """The response to a request from this machine."""
    return app.test_client().get(path, environ_overrides={**LOCAL, **environ})


def shown(app: flask.Flask, view: str = "requests", **environ: str) -> list[list[str]]:
    """The cells of the rows of a view."""
    answer = ask(app, f"/monitoring/{view}", **environ)
    assert answer.status_code == 200, answer.text
    return rows_of(answer.text)


def link(app: flask.Flask, view: str, pattern: str) -> str:
    """The first link of a view that matches."""
    found = re.search(f'href="({pattern})"', ask(app, f"/monitoring/{view}").text)
    assert found is not None
    return html.unescape(found[1])
