"""The live page's answers, and who gets them."""

from __future__ import annotations

import gzip
import html
import os
import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import flask
import pytest
import sqlalchemy
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from werkzeug.middleware.proxy_fix import ProxyFix

import otelflask
from otelflask.logs import capture
from otelflask.monitor.questions import Questions
from otelflask.pipeline.destinations import SdkDestination
from otelflask.pipeline.queue import ExportQueue, QueueSizes
from otelflask.settings import SettingError
from otelflask.testing import CapturedTelemetry
from tests.pages import rows_of

VIEWS = ("", "requests", "errors", "logs", "queries", "runtime")
LOCAL = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:5000"}


@pytest.fixture
def make(telemetry: CapturedTelemetry, tmp_path: Path) -> Any:
    def made(**settings: Any) -> flask.Flask:
        app = flask.Flask("shop")
        app.add_url_rule("/items/<int:item>", "item", lambda item: f"item {item}")
        app.add_url_rule("/boom", "boom", lambda: 1 // 0)
        app.add_url_rule("/say", "say", lambda: (app.logger.warning("said <b>%s</b>", "this"), "ok")[1])
        options = {"environment": "development", "state_dir": str(tmp_path), "runtime_metrics": False}
        otelflask.init(app, **{**telemetry.providers, **options, **settings})
        return app

    return made


def _ask(app: flask.Flask, path: str, **environ: str) -> Any:
    return app.test_client().get(path, environ_overrides={**LOCAL, **environ})


def _shown(app: flask.Flask, view: str = "requests", **environ: str) -> list[list[str]]:
    answer = _ask(app, f"/monitoring/{view}", **environ)
    assert answer.status_code == 200, answer.text
    return rows_of(answer.text)


def _link(app: flask.Flask, view: str, pattern: str) -> str:
    """The first link of a view that fits."""
    found = re.search(f'href="({pattern})"', _ask(app, f"/monitoring/{view}").text)
    assert found is not None
    return html.unescape(found[1])


def test_requests_are_shown_newest_first_with_what_a_row_needs(make: Any) -> None:
    app = make()
    _ask(app, "/items/1")
    _ask(app, "/boom")
    found = _shown(app)
    assert [row[1:5] for row in found] == [
        ["GET", "/boom ZeroDivisionError", "/boom", "500"],
        ["GET", "/items/1", "/items/<int:item>", "200"],
    ]
    assert re.fullmatch(r"[\d.]+ ms", found[0][5])


def test_a_cursor_gives_only_what_is_new(make: Any) -> None:
    app = make()
    _ask(app, "/items/1")
    cursor = re.search(r'data-cursor="([^"]+)"', _ask(app, "/monitoring/requests").text)
    assert cursor is not None
    assert _ask(app, f"/monitoring/requests?live=&after={cursor[1]}").status_code == 204
    _ask(app, "/items/2")
    (second,) = _shown(app, f"requests?live=&after={cursor[1]}")
    assert second[2] == "/items/2"


def test_a_cursor_of_the_server_before_gives_everything(make: Any) -> None:
    app = make()
    _ask(app, "/items/1")
    assert len(_shown(app, "requests?live=&after=00000000.999")) == 1


def test_older_rows_are_on_the_page_after(make: Any) -> None:
    app = make()
    for number in range(250):
        _ask(app, f"/items/{number}")
    assert len(_shown(app)) == 200
    address = _link(app, "requests", '/monitoring/requests\\?before=[^"]+')
    older = rows_of(_ask(app, address).text)
    assert [row[2] for row in older] == [f"/items/{number}" for number in range(49, -1, -1)]
    assert "Older" not in _ask(app, address).text


@pytest.mark.parametrize(
    ("filters", "paths"),
    [
        ("status=5xx", ["/boom ZeroDivisionError"]),
        ("status=404", ["/nowhere"]),
        ("route=/items/<int:item>", ["/items/2", "/items/1"]),
        ("text=ITEMS/2", ["/items/2"]),
        ("text=zerodivision", ["/boom ZeroDivisionError"]),
        ("slower=60000", []),
        ("slower=0.0001&text=items/2", ["/items/2"]),
    ],
)
def test_filters(make: Any, filters: str, paths: list[str]) -> None:
    app = make()
    for path in ("/items/1", "/items/2", "/nowhere", "/boom"):
        _ask(app, path)
    assert [row[2] for row in _shown(app, f"requests?{filters}")] == paths


def test_a_trace_has_its_spans_and_its_lines(make: Any) -> None:
    app = make()
    _ask(app, "/say")
    trace = _ask(app, _link(app, "requests", '/monitoring/traces/[^"]+')).text
    assert "GET /say" in trace
    assert "WARN said &lt;b&gt;this&lt;/b&gt;" in trace
    assert "http.request.method" in trace


def test_a_trace_names_the_error_that_was_reported_and_leads_to_it(make: Any) -> None:
    app = make()
    _ask(app, "/boom")
    trace = _ask(app, _link(app, "requests", '/monitoring/traces/[^"]+')).text
    assert "error: ZeroDivisionError" in trace
    address = re.search(r'href="(/monitoring/errors/[^"]+)"', trace)
    assert address is not None
    assert "by zero" in _ask(app, address[1]).text


def test_a_trace_that_is_not_here_says_why(make: Any) -> None:
    assert "monitor_size" in _ask(make(), f"/monitoring/traces/{'a' * 32}").text


def test_a_trace_leads_to_grafana_where_its_address_is_set(make: Any) -> None:
    app = make(grafana_url="http://grafana.example")
    _ask(app, "/items/1")
    trace = _ask(app, _link(app, "requests", '/monitoring/traces/[^"]+')).text
    assert 'href="http://grafana.example/explore?schemaVersion=1&amp;panes=%7B%22a%22' in trace


def test_lines_errors_and_their_reports_are_shown(make: Any) -> None:
    app = make()
    _ask(app, "/say")
    _ask(app, "/boom")
    assert "said <b>this</b>" in [row[3] for row in _shown(app, "logs?severity=13")]
    ((title, _, count, *_),) = _shown(app, "errors")
    assert (count, "ZeroDivisionError" in title) == ("1", True)
    report = _ask(app, _link(app, "errors", '/monitoring/errors/[^"]+')).text
    assert "lambda: 1 // 0" in report
    assert "Traceback (most recent call last)" in report


def test_errors_that_came_within_a_minute_are_all_counted(make: Any) -> None:
    app = make()
    for _ in range(4):
        _ask(app, "/boom")
    assert [row[2] for row in _shown(app, "errors")] == ["4"]


def test_statements_and_suspects_are_shown(make: Any, tmp_path: Path) -> None:
    app = make(repeated_query_time=0, slow_query_threshold=0)
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/shop.sqlite3")

    @app.get("/many")
    def many() -> str:
        with engine.connect() as connection:
            for number in range(7):
                connection.execute(sqlalchemy.text("SELECT 5 AS five WHERE 1 = :n"), {"n": number})
        return "many"

    _ask(app, "/many")
    found = _shown(app, "queries")
    assert found[0][1:] == ["7", found[0][2], found[0][3], "/many", "1"]
    assert found[0][3].startswith("test_page.py:")
    statement = next(row for row in found[1:] if "SELECT ? AS five" in row[0])
    assert (statement[1], statement[5], statement[7]) == ("7", "7", found[0][3])


def test_the_overview_counts_requests_and_names_routes(make: Any) -> None:
    app = make()
    for _ in range(3):
        _ask(app, "/items/1")
    _ask(app, "/boom")
    page = _ask(app, "/monitoring").text
    assert re.search(r"Errors</h2>\s*<p class=\"value bad\">25 %", page)
    routes = [row[0] for row in rows_of(page)]
    assert routes.count("/boom") == 2
    assert routes.count("/items/<int:item>") == 1
    assert _ask(app, "/monitoring?minutes=60").status_code == 200
    assert _ask(app, "/monitoring?minutes=7").status_code == 400


def test_requests_that_are_not_sampled_are_counted(make: Any) -> None:
    app = make(tracer_provider=TracerProvider(sampler=ALWAYS_OFF))
    _ask(app, "/boom")
    assert "100 %" in _ask(app, "/monitoring").text
    assert _shown(app) == []


def test_the_overview_has_the_outcomes_of_health_checks(make: Any) -> None:
    app = make()
    assert _ask(app, "/health").status_code == 200
    states = {row[0]: row[1] for row in _shown(app, "")}
    assert states["memory"] in ("pass", "warn")


def test_the_runtime_has_processes_threads_and_settings_with_where_they_come_from(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTELFLASK_MONITOR_SIZE", "500")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cr3t")
    app = make(health_redis="redis://user:pa55word@127.0.0.1:1/0", metrics_token="t0ken")
    app.config["OTELFLASK_HEALTH_PATH"] = "/ignored-after-init"
    page = _ask(app, "/monitoring/runtime").text
    found = rows_of(page)
    process = next(row for row in found if row[0].startswith(f"{os.getpid()} of "))
    assert "MainThread" in process[5]
    settings = {row[0]: row[1:] for row in found if len(row) == 3}
    assert settings["monitor_size"] == ["500", "environment variable OTELFLASK_MONITOR_SIZE"]
    assert settings["environment"] == ["development", "keyword argument"]
    assert settings["health_path"] == ["/health", "default"]
    assert settings["metrics_token"] == ["[redacted]", "keyword argument"]
    assert not {"s3cr3t", "pa55word", "t0ken"} & set(re.findall(r"\w+", page))


def test_what_of_the_telemetry_is_lost_is_on_the_runtime_view(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make()
    pipeline = app.extensions["otelflask"].pipeline
    queue = ExportQueue("spans", list, SdkDestination(object(), "x_exporter"), QueueSizes())
    monkeypatch.setattr(queue, "counts", Counter({"delivered": 1_200, "dropped:queue_full": 34}))
    pipeline.queues.append(queue)
    row = next(row for row in _shown(app, "runtime") if row[1:2] == ["spans"])
    assert row[2:] == ["object", "0 of 2,048", "1,200", "34 dropped:queue_full"]


def test_secrets_are_masked(make: Any) -> None:
    app = make()
    _ask(app, "/items/1?token=s3cr3t-value")
    assert "s3cr3t" not in _ask(app, _link(app, "requests", '/monitoring/traces/[^"]+')).text


def test_the_page_is_not_among_what_it_shows(make: Any, telemetry: CapturedTelemetry) -> None:
    app = make()
    for view in VIEWS:
        assert _ask(app, f"/monitoring/{view}").status_code == 200
    assert (telemetry.spans, telemetry.logs) == ([], [])
    assert _shown(app) == []


@pytest.mark.parametrize("view", VIEWS)
def test_what_has_not_changed_is_not_sent_again(make: Any, view: str) -> None:
    app = make()
    _ask(app, "/boom")
    version = re.search(r'data-version="([^"]+)"', _ask(app, f"/monitoring/{view}").text)
    assert version is not None
    again = _ask(app, f"/monitoring/{view}?live={version[1]}")
    if view in ("errors", "queries"):
        assert (again.status_code, again.data) == (204, b"")
    else:
        assert again.status_code in (200, 204)


def test_it_has_a_strict_policy_and_assets_that_are_there_and_may_be_kept(make: Any) -> None:
    app = make()
    shell = _ask(app, "/monitoring")
    policy = shell.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert shell.headers["Cache-Control"] == "no-store"
    assert " style=" not in shell.text
    sources = re.findall(r'(?:src|href)="(/monitoring/assets/[^"]+)"', shell.text)
    assert len(sources) == 5
    for source in sources:
        asset = _ask(app, source)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["Cache-Control"]
        # A script finds the others beside it.
        for other in re.findall(r'from "\./([^"]+)"', asset.text):
            assert _ask(app, f"{source.rpartition('/')[0]}/{other}").status_code == 200


def test_answers_are_compressed_for_who_accepts_it(make: Any) -> None:
    app = make()
    for path in ("/monitoring", _link(app, "", '/monitoring/assets/[^"]+page.css')):
        plain, zipped = _ask(app, path), _ask(app, path, HTTP_ACCEPT_ENCODING="gzip, br")
        assert zipped.headers["Content-Encoding"] == "gzip"
        assert zipped.headers["Vary"] == "Accept-Encoding"
        assert int(zipped.headers["Content-Length"]) < len(plain.data) / 2
        assert gzip.decompress(zipped.data)[:100] == plain.data[:100]


def test_the_first_view_is_small(make: Any) -> None:
    app = make()
    for number in range(300):
        _ask(app, f"/items/{number}")
    zipped = {"HTTP_ACCEPT_ENCODING": "gzip"}
    page = gzip.decompress(_ask(app, "/monitoring/requests", **zipped).data).decode()
    assets = set(re.findall(r'(?:src|href)="(/monitoring/assets/[^"]+)"', page))
    folder = next(iter(assets)).split("/")[3]
    assets |= {f"/monitoring/assets/{folder}/{name}.js" for name in ("charts", "keys", "list", "parts", "renewal")}
    sizes = [len(_ask(app, path, **zipped).data) for path in ("/monitoring/requests", *assets)]
    assert sum(sizes) < 150_000


@pytest.mark.parametrize("environ", [{"SCRIPT_NAME": "/shop"}, {"HTTP_X_FORWARDED_PREFIX": "/shop"}], ids=str)
def test_below_a_prefix_its_addresses_have_it(make: Any, environ: dict[str, str]) -> None:
    app = make(environment="production", monitor="on", monitor_token="t0ken")
    app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1, x_proto=1, x_host=1)
    client = app.test_client()
    client.get("/items/1", environ_overrides=environ)
    token = {"HTTP_AUTHORIZATION": "Bearer t0ken", **environ}
    for view in VIEWS:
        page = client.get(f"/monitoring/{view}", environ_overrides=token).text
        addresses = re.findall(r'(?:src|href|action)="(/[^"]*)"', page)
        assert len(addresses) > 8
        assert all(address.startswith("/shop/monitoring") for address in addresses)
    sent = client.get("/monitoring/logs?text=x&token=t0ken", environ_overrides=environ)
    assert (sent.status_code, sent.headers["Location"]) == (303, "/shop/monitoring/logs?text=x")
    assert "Path=/shop/monitoring;" in sent.headers["Set-Cookie"]


def test_a_cookie_over_https_is_for_https_alone_behind_a_proxy_too(make: Any) -> None:
    app = make(environment="production", monitor="on", monitor_token="t0ken")
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)
    far = {"HTTP_X_FORWARDED_PROTO": "https"}
    assert "; Secure" in app.test_client().get("/monitoring?token=t0ken", environ_overrides=far).headers["Set-Cookie"]


def test_an_address_is_never_one_of_another_host(make: Any) -> None:
    page = _ask(make(), "/monitoring", SCRIPT_NAME="//evil.example").text
    assert 'href="/evil.example/monitoring/requests"' in page
    assert '"//evil' not in page


@pytest.mark.parametrize(
    "path", ["/monitoring", "/monitoring/", "/monitoring/requests", "/monitoring/assets/x/page.js"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        ({"environment": "production"}, {}),
        ({"monitor": "off"}, {}),
        ({}, {"REMOTE_ADDR": "10.0.0.7"}),
        ({}, {"HTTP_HOST": "evil.example"}),
        ({}, {"HTTP_X_FORWARDED_FOR": "10.0.0.7"}),
        ({"monitor": "on", "monitor_token": "t0ken"}, {}),
        ({"monitor": "on", "monitor_token": "t0ken"}, {"HTTP_COOKIE": "otelflask_monitor=wrong"}),
    ],
    ids=str,
)
def test_to_who_may_not_see_it_every_path_is_the_apps_own_404(
    make: Any, settings: dict[str, str], environ: dict[str, str], method: str, path: str
) -> None:
    client = make(**settings).test_client()
    answer = client.open(path, method=method, environ_overrides={**LOCAL, **environ})
    own = client.open("/nowhere", method=method, environ_overrides={**LOCAL, **environ})
    assert (answer.status_code, answer.mimetype) == (own.status_code, own.mimetype) == (404, own.mimetype)


def test_a_token_is_sent_once_and_becomes_a_cookie_that_is_not_the_token(make: Any) -> None:
    client = make(environment="production", monitor="on", monitor_token="t0ken").test_client()
    far = {"REMOTE_ADDR": "10.0.0.7"}
    assert client.get("/monitoring?token=wrong", environ_overrides=far).status_code == 404
    sent = client.get("/monitoring?token=t0ken", environ_overrides=far)
    assert (sent.status_code, sent.headers["Location"]) == (303, "/monitoring")
    cookie = sent.headers["Set-Cookie"]
    assert "t0ken" not in cookie
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/monitoring"))
    assert client.get("/monitoring", environ_overrides=far).status_code == 200
    assert client.get("/monitoring/requests", environ_overrides=far).status_code == 200


def test_a_function_of_the_users_decides(make: Any) -> None:
    app = make(
        environment="production", monitor="on", may_monitor=lambda environ: environ.get("HTTP_X_ROLE") == "admin"
    )
    assert app.test_client().get("/monitoring").status_code == 404
    assert app.test_client().get("/monitoring", headers={"X-Role": "admin"}).status_code == 200


def test_on_for_nobody_is_an_error_that_says_what_to_set(make: Any) -> None:
    with pytest.raises(SettingError, match=r"nobody could see the page; allowed is to set monitor_token"):
        make(monitor="on")


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
def test_what_is_asked_wrongly_is_said(make: Any, path: str, said: str) -> None:
    answer = _ask(make(), f"/monitoring/{path}")
    assert answer.status_code == 400
    assert said in answer.text


@pytest.mark.parametrize("path", ["nowhere", "requests/1", "traces", "runtime/x", "assets/0/page.js"])
def test_what_is_not_there_is_the_apps_own_404(make: Any, path: str) -> None:
    app = make(error_answers=False)
    assert _ask(app, f"/monitoring/{path}").status_code == 404
    assert _ask(app, f"/monitoring/{path}").data == _ask(app, "/nowhere").data


def test_a_folder_that_cannot_be_used_is_said_on_the_page_and_costs_the_app_nothing(make: Any, tmp_path: Path) -> None:
    app = make()
    tmp_path.chmod(0o777)
    answer = _ask(app, "/monitoring/requests")
    assert answer.status_code == 503
    assert "state_dir" in answer.text
    assert _ask(app, "/items/1").status_code == 200


@pytest.mark.parametrize(
    "told",
    [
        lambda app: app.logger.warning("odd", extra={"blob": b"\xff\x00", "of": object()}),
        lambda app: trace.get_current_span().set_attribute("http.response.status_code", "teapot"),
        lambda app: trace.get_current_span().set_attribute("db.response.returned_rows", 2**70),
        lambda app: trace.get_current_span().set_attribute("otelflask.db.query.duration", float("nan")),
        lambda app: trace.get_current_span().add_event("\ud800 lone", {"password": "s3cr3t"}),
        lambda app: trace.get_current_span().update_name("GET https://x.example/?token=s3cr3t-name"),
        lambda app: _emit(app, event_name="exception", body={"nested": [b"\xff", None]}),
        lambda app: _emit(app, timestamp=10**21, body="late"),
        lambda app: _emit(app, attributes={"otelflask.error.count": "no"}),
    ],
    ids=range(9),
)
def test_whatever_an_app_says_is_shown_and_ends_nothing(make: Any, told: Any) -> None:
    app = make()
    app.add_url_rule("/odd", "odd", lambda: (told(app), "odd")[1])
    _ask(app, "/odd")
    _ask(app, "/say")
    paths = [row[2] for row in _shown(app)]
    assert "/say" in paths
    for view in VIEWS:
        assert _ask(app, f"/monitoring/{view}").status_code == 200
    trace_page = _ask(app, _link(app, "requests?text=/odd", '/monitoring/traces/[^"]+'))
    assert trace_page.status_code == 200
    assert "s3cr3t" not in trace_page.text


def _emit(app: flask.Flask, **record: Any) -> None:
    logger = app.extensions["otelflask"].pipeline.logger_provider.get_logger("app")
    logger.emit(LogRecord(**record))


def test_a_text_of_megabytes_is_cut(make: Any) -> None:
    app = make()
    app.add_url_rule("/long", "long", lambda: (_emit(app, body="x" * 5_000_000), "long")[1])
    _ask(app, "/long")
    assert len(_ask(app, "/monitoring/logs").data) < 20_000
    assert len(_ask(app, _link(app, "requests", '/monitoring/traces/[^"]+')).data) < 100_000


def test_requests_of_one_trace_are_all_shown_and_each_leads_to_its_own_span(make: Any) -> None:
    app = make()
    for _ in range(3):
        _ask(app, "/items/1", HTTP_TRACEPARENT=f"00-{'a' * 32}-{'b' * 16}-01")
    page = _ask(app, "/monitoring/requests").text
    links = set(re.findall(f"/monitoring/traces/{'a' * 32}\\?span=[0-9a-f]{{16}}", page))
    assert len(links) == 3


@pytest.mark.parametrize("before", ['prefs={"a":1}; ', "x=\u00e9; ", "a b=c; ", "expires=1; ", "a[b]=c; "])
def test_a_cookie_of_another_app_hides_nothing(make: Any, before: str) -> None:
    client = make(environment="production", monitor="on", monitor_token="t0ken").test_client()
    cookie = client.get("/monitoring?token=t0ken").headers["Set-Cookie"].partition(";")[0]
    client = client.application.test_client(use_cookies=False)
    answer = client.get("/monitoring", environ_overrides={"HTTP_COOKIE": before + cookie})
    assert answer.status_code == 200


def test_a_path_of_nothing_is_no_page(make: Any) -> None:
    app = make(monitor_path="")
    assert _ask(app, "/requests").status_code == 404
    assert _ask(app, "/items/1").text == "item 1"


def test_a_peer_that_an_ipv6_server_sees_as_mapped_is_this_machine(make: Any) -> None:
    assert _ask(make(), "/monitoring", REMOTE_ADDR="::ffff:127.0.0.1").status_code == 200
    assert _ask(make(), "/monitoring", REMOTE_ADDR="::ffff:10.0.0.7").status_code == 404


def test_no_more_threads_is_no_error_of_the_apps(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make()

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert _ask(app, "/items/1").status_code == 200
    monkeypatch.undo()
    assert _ask(app, "/items/2").status_code == 200
    assert len(_shown(app)) == 2


def test_a_view_that_cannot_be_drawn_says_so_to_who_may_see_it(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTELFLASK_GUARD", "swallow")
    app = make()
    monkeypatch.setattr(Questions, "errors", lambda *given: 1 // 0)
    answer = _ask(app, "/monitoring/errors")
    assert answer.status_code == 500
    assert "cannot be drawn" in answer.text
    assert _ask(app, "/monitoring/errors", REMOTE_ADDR="10.0.0.7").status_code == 404


def test_groups_and_statements_can_be_found(make: Any) -> None:
    app = make()
    _ask(app, "/boom")
    assert len(_shown(app, "errors?text=zerodivision")) == 1
    assert _shown(app, "errors?text=nothing") == []
    assert "No statement fits" in _ask(app, "/monitoring/queries?text=nothing").text


def test_lines_are_found_by_whatever_stands_in_them(make: Any) -> None:
    app = make()
    app.add_url_rule("/l", "l", lambda: (app.logger.warning("%s end", "x" * 600, extra={"lamp": "bright"}), "l")[1])
    _ask(app, "/l")
    for text in ("END", "shop", "bright"):
        assert len(_shown(app, f"logs?text={text}")) == 1


def test_two_apps_with_providers_of_their_own_are_counted_together(
    make: Any, telemetry: CapturedTelemetry, tmp_path: Path
) -> None:
    first = make()
    second = flask.Flask("shop")
    second.add_url_rule("/other", "other", lambda: "other")
    others = {"tracer_provider": TracerProvider(), "logger_provider": LoggerProvider()}
    otelflask.init(
        second,
        **{**telemetry.providers, **others},
        environment="development",
        state_dir=str(tmp_path),
        runtime_metrics=False,
    )
    try:
        for _ in range(5):
            _ask(first, "/items/1")
        for _ in range(3):
            _ask(second, "/other")
        _ask(second, "/monitoring")
        assert {"/other", "/items/<int:item>"} <= {row[0] for row in _shown(first, "")}
        assert len(_shown(first)) == 8
    finally:
        for taker in [taker for taker in capture._captures if taker.logger_provider is others["logger_provider"]]:
            capture.uninstall(taker)
