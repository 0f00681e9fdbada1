"""Profiles of single requests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import flask
import pytest

import otelflask
from otelflask._internal.profiles import request_profiler as profiling
from otelflask._internal.settings import SettingError
from otelflask._internal.wiring import profilers
from otelflask.testing import CapturedTelemetry


def a_slow_function() -> str:
    # Of the processor: a busy machine gives less of it, and fewer samples, in the same time.
    end = time.thread_time() + 0.05
    while time.thread_time() < end:
        sum(range(100))
    return "slow"


@pytest.fixture
def make(telemetry: CapturedTelemetry, tmp_path: Path) -> Any:
    def made(**settings: Any) -> flask.Flask:
        app = flask.Flask("shop")
        app.add_url_rule("/slow", "slow", a_slow_function)
        app.add_url_rule("/away", "away", lambda: flask.redirect("/slow"))
        app.add_url_rule("/boom", "boom", lambda: 1 // 0)
        options = {"environment": "development", "state_dir": str(tmp_path), "runtime_metrics": False}
        otelflask.init(app, **telemetry.providers, **{**options, **settings})
        return app

    return made


def _kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "profiles").rglob("*.json")) if (tmp_path / "profiles").exists() else []


@pytest.mark.parametrize("asked", ["1", "html"])
def test_a_profile_takes_the_answers_place_as_a_page(make: Any, asked: str) -> None:
    answer = make().test_client().get(f"/slow?profile={asked}")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert "a_slow_function" in answer.text
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("value", ["1", "html", "text", "speedscope", "keep", "yes"])
def test_whatever_is_asked_the_most_expensive_functions_are_in_a_header(make: Any, value: str) -> None:
    answer = make().test_client().get(f"/slow?profile={value}", environ_overrides={"REMOTE_ADDR": "127.0.0.1"})
    assert " a_slow_function test_request_profiler.py:" in answer.headers["X-Profile-Stats"]


def test_or_as_text(make: Any) -> None:
    answer = make().test_client().get("/slow?profile=text")
    assert answer.mimetype == "text/plain"
    assert "a_slow_function" in answer.text


def test_or_for_speedscope_also_by_a_header(make: Any) -> None:
    answer = make().test_client().get("/slow", headers={"X-Profile": "speedscope"})
    names = {frame["name"] for frame in json.loads(answer.text)["shared"]["frames"]}
    assert "a_slow_function" in names


def test_it_is_kept_and_its_trace_and_request_log_name_it(make: Any, telemetry: CapturedTelemetry) -> None:
    client = make().test_client()
    answer = client.get("/slow", headers={"X-Profile": "keep"})
    assert answer.text == "slow"
    name = telemetry.span("GET /slow").attributes["otelflask.profile.id"]
    (log,) = [record for record in telemetry.logs if record.event_name == "http.server.request"]
    assert log.attributes["otelflask.profile.id"] == name
    assert answer.headers["X-Profile"] == f"/profiles/{name}"
    assert "a_slow_function" in client.get(f"/profiles/{name}").text
    assert client.get(f"/profiles/{name}/text").mimetype == "text/plain"
    assert client.get(f"/profiles/{name}/speedscope").mimetype == "application/json"
    # A look at the profile is not a request of the app.
    assert len(telemetry.spans) == 1


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "0" * 32, "0" * 31, "", "%2e%2e/state"],
)
def test_what_is_no_profile_is_the_apps_own_404(make: Any, name: str) -> None:
    client = make().test_client()
    own = client.get("/nowhere")
    answer = client.get(f"/profiles/{name}")
    assert answer.status_code == own.status_code == 404
    assert answer.mimetype == own.mimetype


def test_a_path_that_is_a_script_is_none_in_its_profile(make: Any, tmp_path: Path) -> None:
    client = make().test_client()
    client.get("/x</script><script>alert(1)</script>", headers={"X-Profile": "keep"})
    name = _kept(tmp_path)[0].name.partition(".")[0]
    answer = client.get(f"/profiles/{name}")
    assert "<script>alert" not in answer.text
    assert "sandbox allow-scripts" in answer.headers["Content-Security-Policy"]


def test_the_apps_own_pages_at_this_path_are_left_to_it(make: Any, tmp_path: Path) -> None:
    app = make(profile_token="t0ken")
    client = app.test_client()
    assert client.get("/profiles/" + "0" * 32).status_code == 404
    client.get("/slow", headers={"X-Profile": "keep", "X-Profile-Token": "t0ken"})
    name = _kept(tmp_path)[0].name.partition(".")[0]
    own = make(profile_token="t0ken")
    own.add_url_rule("/profiles/<name>", "own", lambda name: f"the app's {name}")
    assert own.test_client().get(f"/profiles/{name}").text == f"the app's {name}"


def test_a_profile_that_is_damaged_is_none(make: Any, tmp_path: Path) -> None:
    client = make().test_client()
    client.get("/slow", headers={"X-Profile": "keep"})
    (path,) = _kept(tmp_path)
    path.write_text("{}")
    assert client.get(f"/profiles/{path.name.partition('.')[0]}").status_code == 404


@pytest.mark.parametrize("query", ["profile=", "profile=true", "profile=dot", "profile=keep"])
def test_any_other_value_is_the_apps_own_answer_with_the_most_expensive_functions(make: Any, query: str) -> None:
    answer = make().test_client().get(f"/slow?{query}")
    assert answer.text == "slow"
    items = answer.headers["X-Profile-Stats"].split("; ")
    # What each request has, of Flask and otelflask, is left out.
    assert re.fullmatch(r"\d+\.\d{3} a_slow_function test_request_profiler\.py:\d+", items[0])
    # It runs for 50 ms, and longer on a busy machine.
    assert float(items[0].split()[0]) >= 0.04
    times = [float(item.split()[0]) for item in items]
    assert times == sorted(times, reverse=True)
    assert len(times) <= 20


def test_a_parameter_with_another_name_asks_for_nothing(make: Any) -> None:
    assert "X-Profile" not in make().test_client().get("/slow?my_profile=1").headers


def test_an_unknown_value_of_the_header_is_the_apps_own_answer(make: Any) -> None:
    answer = make().test_client().get("/slow", headers={"X-Profile": "dot"})
    assert (answer.text, "X-Profile-Stats" in answer.headers) == ("slow", False)


def test_the_header_with_the_functions_is_short_and_plain(make: Any) -> None:
    app = make()
    long = "函" * 300
    namespace: dict[str, Any] = {"slow": a_slow_function}
    called = "slow"
    for number in range(40):
        exec(f"def {long}{number}():\n  return {called}()", namespace)
        called = f"{long}{number}"
    app.add_url_rule("/long", "long", namespace[called])
    header = app.test_client().get("/long?profile=x").headers["X-Profile-Stats"]
    assert header.isascii()
    assert 1_000 < len(header) <= 2_000


def test_a_lazy_answer_of_a_wsgi_middleware_has_its_headers_too(make: Any) -> None:
    app = make()
    inner = app.wsgi_app

    def lazily(environ: Any, start_response: Any) -> Any:
        yield from inner(environ, start_response)

    app.wsgi_app = lazily
    answer = app.test_client().get("/slow?profile=x")
    assert (answer.text, answer.headers["X-Profile"][:10]) == ("slow", "/profiles/")


def test_a_profile_keeps_what_the_app_says_about_the_user(make: Any, telemetry: CapturedTelemetry) -> None:
    app = make(user=lambda: flask.request.args["who"])
    app.test_client().get("/slow?profile=x&who=ann")
    assert telemetry.span("GET /slow").attributes["user.id"] == "ann"


def test_each_service_has_its_own_profiles_in_the_folder_of_the_machine(tmp_path: Path) -> None:
    script = (
        "import flask, otelflask, sys; app = flask.Flask(sys.argv[1]); "
        "otelflask.init(app, environment='development', state_dir=sys.argv[2]); "
        "app.add_url_rule('/x', 'x', lambda: 'x'); client = app.test_client(); client.get('/x?profile=keep'); "
        "print(client.get('/monitoring/profiles', headers={'Host': 'localhost'}).text.count('GET /x</a>'))"
    )
    environment = {**os.environ, "OTEL_SDK_DISABLED": "false"}
    for name in ("shop", "stock"):
        done = subprocess.run(
            [sys.executable, "-c", script, name, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=environment,
        )
        assert done.stdout.strip() == "1"


def test_profiles_have_a_folder_by_setting(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "profiles" / "here"
    client = make(profile_dir="profiles/here", profile_count=1).test_client()
    (folder / "README").write_text("of somebody else")
    client.get("/slow?profile=x")
    client.get("/slow?profile=x")
    assert sorted(path.name.partition(".")[2] for path in folder.iterdir()) == ["", "about", "profile.json"]
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SettingError, match=r"profile_dir is '.*taken'"):
        make(profile_dir="taken")


def test_profiling_enabled_keeps_a_profile_of_each_request(telemetry: CapturedTelemetry, tmp_path: Path) -> None:
    app = flask.Flask("shop")
    app.config["PROFILING_ENABLED"] = True
    app.add_url_rule("/slow", "slow", a_slow_function)
    otelflask.init(app, profile_dir=str(tmp_path / "profiles"), runtime_metrics=False, **telemetry.providers)
    assert app.test_client().get("/slow").text == "slow"
    assert len(_kept(tmp_path)) == 1


@pytest.mark.parametrize(
    ("settings", "headers", "is_profiled"),
    [
        ({"environment": "production"}, {}, False),
        ({"environment": "production", "profile_token": "t0ken"}, {}, False),
        ({"environment": "production", "profile_token": "t0ken"}, {"X-Profile-Token": "wrong"}, False),
        ({"environment": "production", "profile_token": "t0ken"}, {"X-Profile-Token": "t0ken"}, True),
        ({"profile_token": "t0ken"}, {}, False),
        ({"profile_path": ""}, {}, False),
    ],
    ids=str,
)
def test_who_may_ask_for_one(
    make: Any, settings: dict[str, str], headers: dict[str, str], is_profiled: bool, tmp_path: Path
) -> None:
    client = make(**settings).test_client()
    answer = client.get("/slow?profile=text", headers=headers)
    assert (answer.text == "slow") != is_profiled
    assert len(_kept(tmp_path)) == int(is_profiled)
    if is_profiled:
        name = _kept(tmp_path)[0].name.partition(".")[0]
        assert client.get(f"/profiles/{name}", headers=headers).status_code == 200
        assert client.get(f"/profiles/{name}", headers={"X-Profile-Token": "wrong"}).status_code == 404
        # A browser is asked for the token, and sends it as a password.
        assert client.get(f"/profiles/{name}").headers["WWW-Authenticate"].startswith("Basic")
        assert client.get(f"/profiles/{name}", auth=("", "t0ken")).status_code == 200
        assert client.get(f"/profiles/{name}", auth=("", "wrong")).status_code == 404


def test_a_redirect_and_an_error_show_their_profile(make: Any) -> None:
    client = make().test_client()
    assert client.get("/away?profile=text").status_code == 200
    failed = client.get("/boom?profile=text")
    assert failed.status_code == 500
    assert failed.mimetype == "text/plain"


def test_one_at_a_time(make: Any, tmp_path: Path) -> None:
    app = make()
    inside, leave = threading.Event(), threading.Event()
    app.add_url_rule("/wait", "wait", lambda: (inside.set(), leave.wait(60), "waited")[2])
    first: list[Any] = []
    running = threading.Thread(target=lambda: first.append(app.test_client().get("/wait?profile=text")))
    running.start()
    inside.wait(60)
    second = app.test_client().get("/slow?profile=text")
    leave.set()
    running.join()
    assert (second.text, second.headers["X-Profile"]) == ("slow", "busy")
    assert first[0].mimetype == "text/plain"
    assert app.test_client().get("/slow?profile=text").mimetype == "text/plain"


def test_samples_are_bounded(make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(profiling, "MAX_SAMPLES", 10)
    make().test_client().get("/slow?profile=text")
    assert len(json.loads(_kept(tmp_path)[0].read_text())["frame_records"]) == 10


def test_the_oldest_profiles_go(make: Any, tmp_path: Path) -> None:
    client = make(profile_count=3).test_client()
    for _ in range(5):
        client.get("/slow?profile=text")
    assert len(_kept(tmp_path)) == 3


@pytest.mark.parametrize(("slow", "kept"), [(0.01, 1), (5.0, 0)])
def test_of_a_share_of_requests_those_of_slow_ones_are_kept(
    make: Any, telemetry: CapturedTelemetry, tmp_path: Path, slow: float, kept: int
) -> None:
    client = make(environment="production", profile_share=1.0, profile_slow=slow).test_client()
    assert client.get("/slow").text == "slow"
    assert len(_kept(tmp_path)) == kept
    assert ("otelflask.profile.id" in telemetry.span("GET /slow").attributes) == bool(kept)


def test_a_folder_that_is_full_or_gone_costs_the_profile_only(make: Any, tmp_path: Path) -> None:
    client = make().test_client()
    (tmp_path / "profiles").write_text("a file, not a folder")
    assert client.get("/slow", headers={"X-Profile": "keep"}).text == "slow"
    assert client.get("/slow?profile=text").mimetype == "text/plain"


def test_a_share_of_more_than_all_is_an_error(make: Any) -> None:
    with pytest.raises(SettingError, match="allowed is a number from 0 to 1"):
        make(profile_share=1.5)


def test_a_path_of_a_stranger_pushes_no_profile_out(make: Any, tmp_path: Path) -> None:
    client = make(environment="production", profile_share=1.0, profile_slow=0.0, profile_count=1).test_client()
    client.get("/slow")
    kept = _kept(tmp_path)
    for number in range(3):
        client.get(f"/nowhere/{number}")
    assert _kept(tmp_path) == kept != []


@pytest.mark.parametrize(
    "settings", [{"profile_share": 1.0}, {"profile_token": "t0ken"}, {"profile_dir": "profiles"}], ids=str
)
def test_without_its_extra_an_error_says_what_to_install(
    make: Any, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(profilers, "is_importable", lambda name: False)
    with pytest.raises(SettingError, match=r"need pyinstrument: pip install otelflask\[profile\]"):
        make(**settings)
    assert make().test_client().get("/slow?profile=1").text == "slow"
