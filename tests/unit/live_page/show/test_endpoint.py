"""The live page's answers, whatever the view."""

from __future__ import annotations

import gzip
import re
import threading
from datetime import datetime
from pathlib import Path

import flask
import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

import otelflask
from otelflask._internal.health import checks
from otelflask._internal.instrumentation.logs import capture
from otelflask._internal.live_page.show.repository import Repository
from otelflask.testing import CapturedTelemetry
from tests.unit.conftest import join_checks
from tests.unit.live_page.conftest import VIEWS, Make, ask, link, shown


def test_the_page_is_not_among_what_it_shows(make: Make, telemetry: CapturedTelemetry) -> None:
    app = make()
    for view in VIEWS:
        assert ask(app, f"/monitoring/{view}").status_code == 200
    assert (telemetry.spans, telemetry.logs) == ([], [])
    assert shown(app) == []


@pytest.mark.parametrize("view", VIEWS)
def test_what_has_not_changed_is_not_sent_again(make: Make, view: str) -> None:
    app = make()
    ask(app, "/boom")
    version = re.search(r'data-version="([^"]+)"', ask(app, f"/monitoring/{view}").text)
    assert version is not None
    again = ask(app, f"/monitoring/{view}?live={version[1]}")
    if view in ("errors", "queries"):
        assert (again.status_code, again.data) == (204, b"")
    else:
        assert again.status_code in (200, 204)


def test_it_has_a_strict_policy_and_assets_that_are_there_and_may_be_kept(make: Make) -> None:
    app = make()
    shell = ask(app, "/monitoring")
    policy = shell.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert shell.headers["Cache-Control"] == "no-store"
    assert " style=" not in shell.text
    sources = re.findall(r'(?:src|href)="(/monitoring/assets/[^"]+)"', shell.text)
    assert len(sources) == 5
    for source in sources:
        asset = ask(app, source)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["Cache-Control"]
        # A script finds the others beside it.
        for other in re.findall(r'from "\./([^"]+)"', asset.text):
            assert ask(app, f"{source.rpartition('/')[0]}/{other}").status_code == 200


def test_answers_are_compressed_for_who_accepts_it(make: Make) -> None:
    app = make()
    for path in ("/monitoring", link(app, "", '/monitoring/assets/[^"]+page.css')):
        plain, zipped = ask(app, path), ask(app, path, HTTP_ACCEPT_ENCODING="gzip, br")
        assert zipped.headers["Content-Encoding"] == "gzip"
        assert zipped.headers["Vary"] == "Accept-Encoding"
        assert int(zipped.headers["Content-Length"]) < len(plain.data) / 2
        assert gzip.decompress(zipped.data)[:100] == plain.data[:100]


def test_the_first_view_is_small(make: Make) -> None:
    app = make()
    for number in range(300):
        ask(app, f"/items/{number}")
    zipped = {"HTTP_ACCEPT_ENCODING": "gzip"}
    page = gzip.decompress(ask(app, "/monitoring/requests", **zipped).data).decode()
    assets = set(re.findall(r'(?:src|href)="(/monitoring/assets/[^"]+)"', page))
    folder = next(iter(assets)).split("/")[3]
    assets |= {f"/monitoring/assets/{folder}/{name}.js" for name in ("charts", "keys", "list", "parts", "renewal")}
    sizes = [len(ask(app, path, **zipped).data) for path in ("/monitoring/requests", *assets)]
    assert sum(sizes) < 150_000


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("requests?before=x", "before is &#39;x&#39;; allowed is a whole number"),
        ("requests?status=9999", "status is &#39;9999&#39;; allowed are one such as 404"),
        ("requests?slower=1e99", "slower is &#39;1e99&#39;; allowed are milliseconds"),
        ("requests?after=x", "after is &#39;x&#39;; allowed is what the page gave as its cursor"),
        ("traces/<x>", "&#39;&lt;x&gt;&#39; is no trace id; allowed are 32 hexadecimal digits"),
    ],
)
def test_what_is_asked_wrongly_is_said(make: Make, path: str, said: str) -> None:
    answer = ask(make(), f"/monitoring/{path}")
    assert answer.status_code == 400
    assert said in answer.text


@pytest.mark.parametrize("path", ["nowhere", "requests/1", "traces", "runtime/x", "assets/0/page.js"])
def test_what_is_not_there_is_the_apps_own_404(make: Make, path: str) -> None:
    app = make(error_answers=False)
    assert ask(app, f"/monitoring/{path}").status_code == 404
    assert ask(app, f"/monitoring/{path}").data == ask(app, "/nowhere").data


def test_a_folder_that_cannot_be_used_is_said_on_the_page_and_costs_the_app_nothing(make: Make, tmp_path: Path) -> None:
    app = make()
    tmp_path.chmod(0o777)
    answer = ask(app, "/monitoring/requests")
    assert answer.status_code == 503
    assert "state_dir" in answer.text
    assert ask(app, "/items/1").status_code == 200


def test_no_more_threads_is_no_error_of_the_apps(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make()

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert ask(app, "/items/1").status_code == 200
    monkeypatch.undo()
    assert ask(app, "/items/2").status_code == 200
    assert len(shown(app)) == 2


def test_a_view_that_cannot_be_drawn_says_so_to_who_may_see_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTELFLASK_GUARD", "swallow")
    app = make()
    monkeypatch.setattr(Repository, "errors", lambda *given: 1 // 0)
    answer = ask(app, "/monitoring/errors")
    assert answer.status_code == 500
    assert "cannot be drawn" in answer.text
    assert ask(app, "/monitoring/errors", REMOTE_ADDR="10.0.0.7").status_code == 404


def test_two_apps_with_providers_of_their_own_are_counted_together(
    make: Make, telemetry: CapturedTelemetry, tmp_path: Path
) -> None:
    first = make()
    second = flask.Flask("shop")
    second.add_url_rule("/other", "other", lambda: "other")
    # Of one service.
    others = {
        "tracer_provider": TracerProvider(),
        "logger_provider": LoggerProvider(resource=telemetry.logger_provider.resource),
    }
    otelflask.init(
        second,
        **{**telemetry.providers, **others},
        environment="development",
        state_dir=str(tmp_path),
        runtime_metrics=False,
    )
    try:
        for _ in range(5):
            ask(first, "/items/1")
        for _ in range(3):
            ask(second, "/other")
        ask(second, "/monitoring")
        assert {"/other", "/items/<int:item>"} <= {row[0] for row in shown(first, "")}
        assert len(shown(first)) == 8
    finally:
        for observer in [
            observer for observer in capture._observers if observer.logger_provider is others["logger_provider"]
        ]:
            capture.uninstall(observer)


def test_the_dashboard_of_old_is_the_page(make: Make) -> None:
    answer = ask(make(), "/monitoring/dashboard?minutes=60")
    assert (answer.status_code, answer.location) == (303, "/monitoring?minutes=60")


def test_its_health_is_a_small_json_about_the_processes(make: Make) -> None:
    app = make()
    ask(app, "/items/1")
    ask(app, "/monitoring/health")
    join_checks()
    answer = ask(app, "/monitoring/health")
    assert (answer.status_code, answer.mimetype, answer.headers["Cache-Control"]) == (
        200,
        "application/json",
        "no-store",
    )
    body = answer.json
    assert (body["status"], body["workers"]) == ("healthy", 1)
    assert datetime.fromisoformat(body["timestamp"])
    metrics = body["system_metrics"]
    assert set(metrics) == {"cpu_percent", "memory_percent", "memory_rss_mb", "threads", "uptime_seconds"}
    assert metrics["memory_rss_mb"] > 10
    assert 0 < metrics["memory_percent"] < 100
    assert metrics["threads"] >= 1
    assert metrics["uptime_seconds"] > 0


@pytest.mark.usefixtures("only_own_engines")
def test_its_health_is_that_of_the_checks(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for critical, status in ((True, "unhealthy"), (False, "degraded")):
        monkeypatch.setattr(checks, "_declared", [checks.Check("stock", lambda: False, critical)])
        # Nobody has asked /health before.
        assert ask(make(), "/monitoring/health").json["status"] == status


@pytest.mark.parametrize("path", ["health", "dashboard", "profiles", "profiles/" + "0" * 32])
def test_none_of_them_is_there_for_others(make: Make, path: str) -> None:
    assert ask(make(), f"/monitoring/{path}", REMOTE_ADDR="10.0.0.9").status_code == 404


def test_the_profiles_are_listed_newest_first_and_shown(make: Make) -> None:
    app = make()
    assert shown(app, "profiles") == []
    ask(app, "/items/7?profile=text")
    ask(app, "/boom?profile=text")
    ask(app, "/nowhere?profile=text")
    rows = shown(app, "profiles")
    assert [row[0] for row in rows] == ["GET", "GET /boom", "GET /items/<int:item>"]
    assert all(re.fullmatch(r"[\d.]+ ms", row[1]) for row in rows)
    assert [row[0] for row in shown(app, "profiles?text=items")] == ["GET /items/<int:item>"]
    address = link(app, "profiles", r"/monitoring/profiles/[0-9a-f]{32}")
    page = ask(app, address)
    assert page.mimetype == "text/html"
    assert "sandbox" in page.headers["Content-Security-Policy"]
    assert ask(app, f"{address}/text").mimetype == "text/plain"
    assert ask(app, f"{address}/pdf").status_code == 404


def test_without_a_profiler_the_list_says_how_to_get_one(make: Make) -> None:
    page = ask(make(profile_path=""), "/monitoring/profiles")
    assert "otelflask[profile]" in page.text
