from __future__ import annotations

from collections.abc import Iterator

import flask
import pytest

import otelflask
from otelflask.testing import CapturedTelemetry


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sends to a collector that happens to run here."""
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")


@pytest.fixture
def telemetry(captured_telemetry: CapturedTelemetry) -> CapturedTelemetry:
    return captured_telemetry


@pytest.fixture
def app(telemetry: CapturedTelemetry) -> flask.Flask:
    """An app with a few routes and all of otelflask on it."""
    app = flask.Flask("shop")

    @app.get("/items/<int:item>")
    def item(item: int) -> str:
        return f"item {item}"

    @app.get("/boom")
    def boom() -> str:
        raise LookupError("no such thing")

    @app.get("/stream")
    def stream() -> flask.Response:
        def pieces() -> Iterator[bytes]:
            yield b"one"
            yield b"two"

        return flask.Response(pieces())

    # Error reports have tests of their own.
    otelflask.init(app, runtime_metrics=False, reports=False, **telemetry.providers)
    return app


@pytest.fixture
def client(app: flask.Flask) -> flask.testing.FlaskClient:
    return app.test_client()
