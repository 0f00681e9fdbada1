from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from sqlalchemy import Engine, NullPool
from xdist.scheduler import LoadScopeScheduling

import otelflask
from otelflask._internal.export.environment import use_stable_names
from otelflask._internal.instrumentation import jobs, libraries, threads, websockets
from otelflask._internal.instrumentation.logs import capture

# Also a plugin by its entry point. `make test` leaves that out, so that what it imports is measured.
from otelflask._internal.testing.plugin import captured_telemetry, fake_collector, fixed_clock
from otelflask.testing import CapturedTelemetry
from tests import servers

__all__ = ["captured_telemetry", "fake_collector", "fixed_clock"]

# Contrib's parts read the variable once, when the first of them is used, by whichever test.
use_stable_names()


class _Scheduling(LoadScopeScheduling):
    """Tests with servers run in one process, one after the other, because they share the stack and its load."""

    def _split_scope(self, nodeid: str) -> str:
        return (
            "servers"
            if nodeid.startswith(("tests/stack/", "tests/integration/", "tests/tutorials/"))
            else nodeid.split("::")[0]
        )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    return _Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The stack first: its tests wait most of the time, and leave the CPU to the unit tests."""
    order = ["stack", "integration", "tutorials", "unit", "browser"]
    items.sort(key=lambda item: order.index(item.path.relative_to(Path(__file__).parent).parts[0]))


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sends to a collector that happens to run on this machine."""
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Remove what apps with a test's own providers have added to the process: observers of log records,
    instrumentations.
    """
    before = list(capture._observers)
    yield
    for observer in list(capture._observers):
        if observer not in before:
            capture.uninstall(observer)
    libraries.uninstrument()
    jobs.uninstrument()
    threads.uninstrument()
    websockets.uninstrument()


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
def _postgres() -> Iterator[str]:
    with servers.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def _mariadb() -> Iterator[str]:
    with servers.mariadb() as url:
        yield url


def _without_engines(url: str) -> Iterator[str]:
    yield url
    # An engine of the test that is not freed yet is found by the health checks of later tests. Its pool would keep
    # their connection until nobody can close it.
    for engine in [item for item in gc.get_referrers(Engine) if isinstance(item, Engine)]:
        engine.dispose()
        engine.pool = NullPool(engine.pool._creator)


@pytest.fixture
def postgres_url(_postgres: str) -> Iterator[str]:
    yield from _without_engines(_postgres)


@pytest.fixture
def mariadb_url(_mariadb: str) -> Iterator[str]:
    yield from _without_engines(_mariadb)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """SQLAlchemy's URL of a database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.sqlite3'}"
        return
    yield str(request.getfixturevalue({"postgresql": "postgres_url", "mariadb": "mariadb_url"}[request.param]))
