"""Users: of a request, and how many are active in all workers."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import flask_login
import pytest

import otelflask
from otelflask._internal.instrumentation.users.active_users import ActiveUsers
from otelflask._internal.instrumentation.users.hyperloglog import HyperLogLog
from otelflask._internal.shared_folder import SharedFolder
from otelflask.testing import CapturedTelemetry, FixedClock


def active(telemetry: CapturedTelemetry) -> dict[str, int]:
    return {p.attributes["otelflask.window"]: p.value for p in telemetry.points("otelflask.users.active")}


@pytest.fixture
def make(telemetry: CapturedTelemetry, tmp_path: Path) -> Any:
    """An app with a view at `/x` that sets the user of its header."""

    def made(**options: Any) -> flask.Flask:
        app = flask.Flask("shop")
        app.secret_key = "not a secret"

        @app.get("/x")
        def view() -> str:
            otelflask.set_user(flask.request.headers.get("X-User"))
            return "ok"

        otelflask.init(app, runtime_metrics=False, state_dir=str(tmp_path / "state"), **telemetry.providers, **options)
        return app

    return made


def test_different_users_are_counted_once_each(make: Any, telemetry: CapturedTelemetry) -> None:
    client = make().test_client()
    for user in ("ann", "bob", "ann", "ann"):
        client.get("/x", headers={"X-User": user})
    client.get("/x")
    assert active(telemetry) == {"5m": 2, "15m": 2}
    assert all("ann" not in str(point.attributes) for point in telemetry.points("otelflask.users.active"))


def test_an_app_that_names_nobody_has_no_such_metric(make: Any, telemetry: CapturedTelemetry) -> None:
    make().test_client().get("/x")
    assert active(telemetry) == {}


def test_nothing_is_left_on_the_disk_where_nobody_is_named(telemetry: CapturedTelemetry, tmp_path: Path) -> None:
    ActiveUsers(telemetry.meter_provider, SharedFolder(tmp_path / "state"), "shop")
    assert active(telemetry) == {}
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_turned_off(make: Any, telemetry: CapturedTelemetry) -> None:
    make(active_users=False).test_client().get("/x", headers={"X-User": "ann"})
    assert active(telemetry) == {}


def test_windows_move_on(telemetry: CapturedTelemetry, tmp_path: Path, fixed_clock: FixedClock) -> None:
    users = ActiveUsers(telemetry.meter_provider, SharedFolder(tmp_path), "shop", lambda: fixed_clock.now / 1e9)
    users.seen("ann")
    fixed_clock.advance(6 * 60)
    users.seen("bob")
    assert active(telemetry) == {"5m": 1, "15m": 2}
    fixed_clock.advance(20 * 60)
    assert active(telemetry) == {"5m": 0, "15m": 0}


_WORKER = """
import sys
from otelflask._internal.shared_folder import SharedFolder
from otelflask.testing import CapturedTelemetry
from otelflask._internal.instrumentation.users.active_users import ActiveUsers
telemetry = CapturedTelemetry()
users = ActiveUsers(telemetry.meter_provider, SharedFolder(sys.argv[1]), "shop")
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    users.seen(f"user {number}")
telemetry.points("otelflask.users.active")
"""


def test_workers_count_together_and_a_user_of_two_of_them_once(telemetry: CapturedTelemetry, tmp_path: Path) -> None:
    for first, last in ((0, 3_000), (2_000, 5_000), (4_000, 6_000)):
        subprocess.run([sys.executable, "-c", _WORKER, str(tmp_path), str(first), str(last)], check=True, timeout=60)
    users = ActiveUsers(telemetry.meter_provider, SharedFolder(tmp_path), "shop")
    users.seen("user 1")
    other = ActiveUsers(telemetry.meter_provider, SharedFolder(tmp_path), "another service")
    assert other is not users
    found = active(telemetry)
    assert abs(found["15m"] - 6_000) < 6_000 * 0.05


def test_what_no_worker_has_written_for_long_is_removed(telemetry: CapturedTelemetry, tmp_path: Path) -> None:
    users = ActiveUsers(telemetry.meter_provider, SharedFolder(tmp_path), "shop")
    users.seen("ann")
    active(telemetry)
    (own,) = tmp_path.iterdir()
    old = own.with_name(own.name.rpartition("-")[0] + "-99999999")
    old.write_bytes(own.read_bytes())
    os.utime(old, (0, 0))
    active(telemetry)
    assert list(tmp_path.iterdir()) == [own]


@pytest.mark.parametrize("count", [0, 1, 100, 10_000, 100_000])
def test_an_estimate_is_within_five_percent(count: int) -> None:
    sketch = HyperLogLog()
    for number in range(count):
        sketch.add(f"user {number}")
    assert abs(sketch.count() - count) <= count * 0.05


class Person(flask_login.UserMixin):
    def __init__(self, identity: str) -> None:
        self.id = identity


def test_flask_logins_user_is_found_where_the_app_asks_for_it(make: Any, telemetry: CapturedTelemetry) -> None:
    app = make()
    loaded: list[str] = []
    manager = flask_login.LoginManager(app)

    @manager.user_loader
    def load(identity: str) -> Person:
        loaded.append(identity)
        return Person(identity)

    @app.get("/login")
    def login() -> str:
        flask_login.login_user(Person("ann"))
        return "ok"

    @app.get("/me")
    def me() -> str:
        return str(flask_login.current_user.get_id())

    client = app.test_client()
    client.get("/login")
    telemetry.clear()
    assert client.get("/me").text == "ann"
    assert telemetry.span("GET /me").attributes["user.id"] == "ann"
    loaded.clear()
    telemetry.clear()
    answer = client.get("/x")
    # Nothing is loaded by otelflask.
    assert answer.status_code == 200
    assert loaded == []
    assert "user.id" not in telemetry.span("GET /x").attributes


def test_a_function_of_the_apps_says_who_it_is(make: Any, telemetry: CapturedTelemetry) -> None:
    app = make(user=lambda: flask.request.headers.get("X-Account"))
    app.test_client().get("/x", headers={"X-Account": "acme"})
    assert telemetry.span("GET /x").attributes["user.id"] == "acme"


def test_a_function_that_fails_changes_no_answer(make: Any, telemetry: CapturedTelemetry) -> None:
    app = make(user=lambda: 1 / 0)
    assert app.test_client().get("/x").status_code == 200


def _known_by_set_user() -> None:
    otelflask.set_user("ann")


def _known_by_g() -> None:
    flask.g.user_id = "ann"


def _known_by_flask_login() -> None:
    flask_login.login_user(Person("ann"))


@pytest.mark.parametrize("know", [_known_by_set_user, _known_by_g, _known_by_flask_login])
def test_every_line_and_event_after_the_user_is_known_has_it(
    make: Any, telemetry: CapturedTelemetry, logger: logging.Logger, know: Callable[[], None]
) -> None:
    app = make()
    flask_login.LoginManager(app).user_loader(Person)

    @app.get("/buy")
    def buy() -> str:
        logger.info("nobody yet")
        know()
        logger.info("somebody")
        otelflask.event("order.placed")
        raise RuntimeError("boom")

    app.test_client().get("/buy")
    found = {record.event_name or record.body: (record.attributes or {}).get("user.id") for record in telemetry.logs}
    # Counts of groups are of many requests.
    assert (found.pop("nobody yet"), found.pop("otelflask.error_group")) == (None, None)
    assert found == dict.fromkeys(
        ("somebody", "order.placed", "Exception on /buy [GET]", "exception", "http.server.request"), "ann"
    )
    assert telemetry.span("GET /buy").attributes["user.id"] == "ann"


def test_a_user_that_is_given_goes_before_the_one_that_is_found(
    make: Any, telemetry: CapturedTelemetry, logger: logging.Logger
) -> None:
    app = make()

    @app.get("/buy")
    def buy() -> str:
        flask.g.user_id = 7
        otelflask.set_user("ann")
        logger.info("line")
        otelflask.event("order.placed", **{"user.id": "the app's own"})
        return "ok"

    app.test_client().get("/buy")
    found = {record.event_name or record.body: (record.attributes or {})["user.id"] for record in telemetry.logs}
    assert found == {"line": "ann", "order.placed": "the app's own", "http.server.request": "ann"}


def test_a_number_in_g_is_text_in_telemetry(make: Any, telemetry: CapturedTelemetry) -> None:
    app = make()

    @app.get("/buy")
    def buy() -> str:
        flask.g.user_id = 7
        otelflask.event("order.placed")
        return "ok"

    app.test_client().get("/buy")
    assert [(record.attributes or {})["user.id"] for record in telemetry.logs] == ["7", "7"]
