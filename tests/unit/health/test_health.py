"""`/health` and the paths below it."""

from __future__ import annotations

import gc
import socket
import threading
import time
from datetime import datetime
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from opentelemetry import metrics
from sqlalchemy.ext.asyncio import create_async_engine
from werkzeug.test import TestResponse

import otelflask
from otelflask import health
from otelflask._internal.health import checks, dependencies, draining
from otelflask._internal.health.checks import Degraded
from otelflask._internal.wiring import app_endpoints
from otelflask.testing import CapturedTelemetry
from tests.unit.conftest import join_checks


@pytest.fixture(autouse=True)
def _no_checks_are_left_over(monkeypatch: pytest.MonkeyPatch, only_own_engines: None) -> None:
    monkeypatch.setattr(checks, "_declared", [])


@pytest.fixture
def make(telemetry: CapturedTelemetry) -> Any:
    def made(**settings: Any) -> flask.Flask:
        app = flask.Flask("shop")
        options = {"environment": "development", "database": False, "monitor": "off", **settings}
        otelflask.init(app, runtime_metrics=False, **telemetry.providers, **options)
        return app

    return made


def _get(app: flask.Flask, path: str = "/health", **headers: str) -> TestResponse:
    return app.test_client().get(path, headers={"Accept": "application/health+json", **headers})


def _plain(app: flask.Flask, path: str = "/health", **headers: str) -> TestResponse:
    return app.test_client().get(path, headers=headers)


def _settled(app: flask.Flask, path: str = "/health", **headers: str) -> TestResponse:
    """The answer once each check has ended."""
    _plain(app, path)
    join_checks()
    return _plain(app, path, **headers)


def test_the_answer_has_status_time_and_checks(make: Any) -> None:
    app = make()
    answer = _plain(app)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert (answer.headers["Cache-Control"], answer.vary.to_header()) == ("no-store", "Accept")
    body = answer.json
    assert body is not None
    assert (body["status"], body["service"]) == ("healthy", "test")
    assert datetime.fromisoformat(body["timestamp"])
    assert set(body["checks"]) == {"disk_space", "memory"}
    assert body["checks"]["memory"]["status"] == "healthy"
    assert body["checks"]["memory"]["response_time_ms"] >= 0
    found = {name: (_plain(app, f"/health/{name}").json or {})["status"] for name in ("live", "ready", "startup")}
    assert found == {"live": "alive", "ready": "ready", "startup": "started"}
    assert isinstance((_plain(make(timestamp_format="epoch")).json or {})["timestamp"], int)


def test_a_check_that_fails_says_why_in_its_own_language(make: Any) -> None:
    @health.check("stock")
    def stock() -> None:
        raise ConnectionError("库存服务不可用")

    app = make()
    answer = _plain(app)
    assert answer.json is not None
    assert (answer.status_code, answer.json["status"]) == (503, "unhealthy")
    assert answer.json["checks"]["stock"]["status"] == "unhealthy"
    assert answer.json["checks"]["stock"]["error"] == "ConnectionError: 库存服务不可用"
    assert "库存服务不可用" in answer.text
    found = {name: (_plain(app, f"/health/{name}").json or {})["status"] for name in ("live", "ready", "startup")}
    assert found == {"live": "alive", "ready": "not_ready", "startup": "not_started"}


def test_others_see_the_status_of_each_kind_of_check_alone(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [checks.Check("database:shop", lambda: None), checks.Check("database:secret", lambda: False)]
    monkeypatch.setattr(checks, "_declared", twins)
    body = _plain(make(environment="production")).json
    assert body is not None
    healthy, unhealthy = {"status": "healthy"}, {"status": "unhealthy"}
    assert body["checks"] == {"disk_space": healthy, "memory": healthy, "database": unhealthy}
    assert set(body) == {"status", "timestamp", "checks"}
    details = _plain(make()).json
    assert details is not None
    assert {"database:shop", "database:secret"} < set(details["checks"])


def test_who_asks_for_health_json_gets_it(make: Any) -> None:
    answer = _get(make())
    assert (answer.status_code, answer.mimetype) == (200, "application/health+json")
    body = answer.get_json(force=True)
    assert body["serviceId"] == "test"
    assert set(body["checks"]) == {"disk_space", "memory"}
    assert body["checks"]["disk_space"][0]["observedUnit"] == "percent"


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/startup"])
def test_a_critical_check_that_fails_makes_the_app_unready(make: Any, path: str) -> None:
    @health.check("stock")
    def stock() -> None:
        raise ConnectionError("no stock")

    answer = _get(make(), path)
    assert answer.status_code == 503
    (shown,) = answer.get_json(force=True)["checks"]["stock"]
    assert (shown["status"], shown["output"]) == ("fail", "ConnectionError: no stock")


def test_live_depends_on_nothing(make: Any) -> None:
    @health.check("stock")
    def stock() -> bool:
        return False

    assert _get(make(), "/health/live").status_code == 200


def test_what_is_not_critical_and_what_is_degraded_only_warn(make: Any) -> None:
    @health.check("mail", critical=False)
    def mail() -> bool:
        return False

    @health.check("stock")
    def stock() -> None:
        raise Degraded("three lamps left")

    answer = _get(make())
    assert (answer.status_code, answer.get_json(force=True)["status"]) == (200, "warn")
    assert "mail" not in _get(make(), "/health/ready").get_json(force=True)["checks"]


def test_startup_passes_for_good_once_it_has_passed(make: Any) -> None:
    well = [False]

    @health.check("stock", cache=0)
    def stock() -> bool:
        return well[0]

    app = make()
    assert _get(app, "/health/startup").status_code == 503
    well[0] = True
    assert _get(app, "/health/startup").status_code == 200
    well[0] = False
    assert _get(app, "/health/startup").status_code == 200
    assert _get(app, "/health/ready").status_code == 503


def test_checks_run_in_parallel_and_a_hanging_one_is_one_thread(make: Any) -> None:
    hanging, both = threading.Event(), threading.Barrier(2, timeout=60)

    @health.check("hangs", timeout=0.05, cache=0)
    def hangs() -> None:
        hanging.wait(60)

    @health.check("one", timeout=60, cache=0)
    def one() -> None:
        both.wait()

    @health.check("other", timeout=60, cache=0)
    def other() -> None:
        both.wait()

    app = make()
    before = threading.active_count()
    for _ in range(20):
        found = _get(app).get_json(force=True)["checks"]
        assert found["hangs"][0]["output"] == "no answer within 0.05 s"
        # They wait for each other, so that they would not end one after the other.
        assert found["one"][0]["status"] == found["other"][0]["status"] == "pass"
    assert threading.active_count() <= before + 1
    hanging.set()


def test_two_checks_of_one_name_are_both_shown_and_the_worse_counts(
    make: Any, telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As with two engines of one database.
    twins = [checks.Check("database:shop", lambda: None), checks.Check("database:shop", lambda: False)]
    monkeypatch.setattr(checks, "_declared", twins)
    answer = _get(make())
    assert answer.status_code == 503
    assert [item["status"] for item in answer.get_json(force=True)["checks"]["database:shop"]] == ["pass", "fail"]
    assert 0 in [point.value for point in telemetry.points("otelflask.health.check")]


def test_an_outcome_counts_for_a_while(make: Any) -> None:
    runs = []

    @health.check("stock", cache=60)
    def stock() -> None:
        runs.append(1)

    app = make()
    for _ in range(5):
        _get(app)
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("settings", "headers", "shown"),
    [
        ({"environment": "production"}, {}, False),
        ({"environment": "production", "health_token": "t0"}, {"Authorization": "Bearer t0"}, True),
        ({"environment": "production", "health_token": "t0"}, {"Authorization": "Bearer t1"}, False),
        ({"environment": "development", "health_token": "t0"}, {}, False),
    ],
    ids=["production", "token", "wrong token", "a token counts in development too"],
)
def test_details_are_for_development_or_for_who_has_the_token(
    make: Any, settings: dict[str, str], headers: dict[str, str], shown: bool
) -> None:
    answer = _get(make(**settings), **headers)
    assert answer.status_code == 200
    assert ("checks" in answer.get_json(force=True)) == shown


def test_it_leaves_no_trace_and_no_line_and_no_hook_of_the_apps_is_asked(
    make: Any, telemetry: CapturedTelemetry
) -> None:
    app = make()
    app.before_request(lambda: flask.abort(401))
    assert _get(app).status_code == 200
    assert app.test_client().head("/health/live").data == b""
    assert (telemetry.spans, telemetry.logs) == ([], [])
    assert telemetry.points("http.server.request.duration") == []


def test_the_apps_own_path_counts(make: Any) -> None:
    app = make()
    app.add_url_rule("/health", "own", lambda: "mine")
    app.add_url_rule("/<path:anything>", "catch_all", lambda anything: "page")
    assert _get(app).text == "mine"
    assert _get(app, "/health/live").get_json(force=True) == {"status": "pass", "serviceId": "test"}
    assert app.test_client().post("/health/ready").status_code == 405
    app = make()
    app.add_url_rule("/health/", "own", lambda: "mine")
    assert _get(app).status_code == 308


def test_paths_are_a_setting(make: Any) -> None:
    app = make(health_path="/internal/state")
    assert _get(app, "/internal/state/live").status_code == 200
    assert _get(app, "/health").status_code == 404
    assert _get(make(health_path=""), "/health").status_code == 404
    with pytest.raises(otelflask.SettingError, match="allowed is a path"):
        make(health_path="health")


def test_each_check_has_a_gauge(make: Any, telemetry: CapturedTelemetry) -> None:
    @health.check("stock")
    def stock() -> bool:
        return False

    _get(make())
    found = {p.attributes["otelflask.health.name"]: p.value for p in telemetry.points("otelflask.health.check")}
    assert found == {"disk_space": 1, "memory": 1, "stock": 0}


def _closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("first", ["init", "engine"])
def test_an_app_whose_database_was_never_there_is_not_ready(make: Any, first: str, is_async: bool) -> None:
    gc.collect()
    url = f"postgresql+psycopg://shop@127.0.0.1:{_closed_port()}/never-there"
    app = make(database=True) if first == "init" else None
    engine: Any = create_async_engine(url) if is_async else sa.create_engine(url)
    app = app or make(database=True)
    answer = _plain(app, "/health/ready")
    assert answer.json is not None
    assert (answer.status_code, answer.json["status"]) == (503, "not_ready")
    assert "OperationalError" in _of_database(answer, "never-there")["error"]
    del engine
    gc.collect()


def test_a_redis_without_its_package_is_an_error_at_start(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_endpoints, "is_importable", lambda name: False)
    with pytest.raises(otelflask.SettingError, match=r"health_redis needs the package redis: pip install"):
        make(health_redis="redis://127.0.0.1:1/0")


def test_an_async_engine_is_asked_over_a_connection_of_its_own(
    make: Any, postgres_url: str, telemetry: CapturedTelemetry
) -> None:
    gc.collect()
    app = make(database=True)
    engine = create_async_engine(postgres_url, pool_size=1, max_overflow=0)
    answer = _settled(app, "/health/ready")
    found = _of_database(answer, str(engine.url.database))
    assert (found["status"], found.get("error")) == ("healthy", None)
    assert engine.sync_engine.pool.checkedin() == 0
    assert telemetry.spans == []


def _of_database(answer: TestResponse, name: str) -> dict[str, Any]:
    """The check of a database, also where engines of other tests still live."""
    assert answer.json is not None
    checks = answer.json["checks"]
    found: dict[str, Any] = checks.get(f"database:{name}") or checks["database"]
    return found


@pytest.fixture
def engine(postgres_url: str) -> sa.Engine:
    # Engines of other tests that still live would be checked too.
    gc.collect()
    engine = sa.create_engine(postgres_url, pool_size=1, max_overflow=0, pool_timeout=2)
    return engine


def test_each_engine_is_checked_without_a_span_and_one_that_has_no_connection_left_fails(
    make: Any, engine: sa.Engine, telemetry: CapturedTelemetry
) -> None:
    app = make(database=True)
    with engine.connect():
        pass
    telemetry.clear()
    name = f"database:{engine.url.database}"
    (shown,) = _settled(app, Accept="application/health+json").get_json(force=True)["checks"][name]
    assert (shown["status"], shown.get("output")) == ("pass", None)
    assert telemetry.spans == []
    with engine.connect():
        # Until the last outcome does not count any more.
        time.sleep(5.1)
        answer = _get(app)
        join_checks()
    assert answer.status_code == 503
    assert answer.get_json(force=True)["checks"][name][0]["output"] == "no answer within 1 s"


def test_a_redis_that_does_not_answer_fails_in_bounded_time(make: Any) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        answer = _get(make(health_redis=f"redis://127.0.0.1:{silent.getsockname()[1]}"))
    assert answer.status_code == 503
    assert answer.get_json(force=True)["checks"]["redis"][0]["status"] == "fail"


def test_a_server_that_is_about_to_end_is_not_ready_and_lives(make: Any) -> None:
    app = make()
    draining.begin()
    try:
        assert _get(app, "/health/ready").status_code == 503
        assert _get(app, "/health/live").status_code == 200
    finally:
        draining.end()
    assert _get(app, "/health/ready").status_code == 200


@pytest.mark.parametrize("options", [{"name": ""}, {"name": "x", "timeout": 0}, {"name": "x", "cache": -1}])
def test_a_check_that_cannot_be_is_an_error(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        health.check(options.pop("name"), **options)


def test_a_check_without_parentheses_is_an_error_that_says_what_to_write() -> None:
    def stock() -> None:
        pass

    with pytest.raises(TypeError, match=r'takes a name: @health\.check\("stock"\)'):
        health.check(stock)  # type: ignore[arg-type]


def test_a_collector_that_is_away_is_shown_once_and_changes_no_status() -> None:
    port = _closed_port()
    collectors = dependencies.collectors(
        [f"http://127.0.0.1:{port}/v1/{name}" for name in ("traces", "logs", "metrics")]
    )
    assert [item.name for item in collectors] == [f"collector:127.0.0.1:{port}"]
    found = checks.Checks(lambda: collectors, metrics.NoOpMeterProvider())
    ((_, outcome),) = found.run()
    assert (outcome.status, found.status()) == ("fail", "pass")
