"""Debug mode that is decided after `init`: live page, profiles and console come with it."""

from __future__ import annotations

import functools
import inspect
import logging
from pathlib import Path
from typing import Any

import flask
import pytest
from werkzeug.serving import BaseWSGIServer, make_server

import otelflask
from otelflask.testing import CapturedTelemetry
from tests.unit.live_page.conftest import ask, shown


@pytest.fixture
def app(telemetry: CapturedTelemetry, tmp_path: Path) -> flask.Flask:
    app = flask.Flask("shop")
    app.add_url_rule("/x", "x", lambda: "x")
    otelflask.init(app, runtime_metrics=False, state_dir=str(tmp_path), log_console="auto", **telemetry.providers)
    return app


def _serve(app: flask.Flask, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a development server begin to serve, and return at once."""
    server = make_server("127.0.0.1", 0, app)
    monkeypatch.setattr(server, "serve_forever", type(server).serve_forever.__get__(server))
    monkeypatch.setattr("socketserver.BaseServer.serve_forever", lambda self, poll_interval=0.5: None)
    server.serve_forever()
    server.server_close()
    return server


def test_app_run_with_debug_has_page_profiles_and_the_pages_address(
    app: flask.Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert ask(app, "/monitoring").status_code == 404
    # What `app.run(debug=True)` does before it serves.
    app.debug = True
    with caplog.at_level(logging.INFO, "werkzeug"):
        server = _serve(app, monkeypatch)
    assert f"Live page of shop: http://127.0.0.1:{server.port}/monitoring" in caplog.text
    assert ask(app, "/x").text == "x"
    assert [row[2] for row in shown(app)] == ["GET /x"] or any("/x" in cell for row in shown(app) for cell in row)
    assert ask(app, "/x?profile=text").mimetype == "text/plain"
    assert any("GET /x" in cell for row in shown(app, "profiles") for cell in row)


def test_a_second_server_adds_nothing(app: flask.Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    app.debug = True
    for _ in range(2):
        _serve(app, monkeypatch)
    ask(app, "/x")
    assert len(shown(app)) == 1


def test_a_server_that_another_library_has_wrapped_before_is_served_too(
    telemetry: CapturedTelemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original: Any = inspect.unwrap(BaseWSGIServer.serve_forever)

    @functools.wraps(original)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        return original(*arguments, **options)

    monkeypatch.setattr(BaseWSGIServer, "serve_forever", wrapped)
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, state_dir=str(tmp_path), **telemetry.providers)
    app.debug = True
    with caplog.at_level(logging.INFO, "werkzeug"):
        _serve(app, monkeypatch)
    assert caplog.text.count("Live page of shop") == 1


def test_without_debug_mode_a_development_server_has_no_page(
    app: flask.Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "werkzeug"):
        _serve(app, monkeypatch)
    assert "Live page" not in caplog.text
    assert ask(app, "/monitoring").status_code == 404


def test_an_app_that_is_gone_is_not_kept_alive(telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    import gc
    import weakref

    app = flask.Flask("gone")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    kept = weakref.ref(app)
    del app
    gc.collect()
    assert kept() is None
