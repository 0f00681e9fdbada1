"""What each view of the live page shows."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otelflask._internal.export.destinations import SdkDestination
from otelflask._internal.export.queue import ExportQueue, QueueOptions
from otelflask.errors import ConflictError
from tests.pages import rows_of
from tests.unit.live_page.conftest import Make, ask, link, shown


def test_requests_are_shown_newest_first_with_what_a_row_needs(make: Make) -> None:
    app = make()
    ask(app, "/items/1")
    ask(app, "/boom")
    found = shown(app)
    assert [row[1:5] for row in found] == [
        ["GET", "/boom ZeroDivisionError: division by zero", "/boom", "500"],
        ["GET", "/items/1", "/items/<int:item>", "200"],
    ]
    assert re.fullmatch(r"[\d.]+ ms", found[0][5])


def test_each_failed_request_says_why_raised_logged_or_answered(make: Make) -> None:
    app = make()

    @app.get("/refused")
    def refused() -> Any:
        raise ConflictError("No lamps are left.")

    @app.get("/logged")
    def logged() -> Any:
        app.logger.error("the stock of %s is wrong", "lamps")
        return "sorry", 500

    @app.get("/handled")
    def handled() -> Any:
        try:
            return str({}["lamp"])
        except KeyError:
            app.logger.exception("no such lamp")
            return "sorry", 500

    app.add_url_rule("/silent", "silent", lambda: ("sorry", 500))
    for path in ("refused", "logged", "handled", "silent"):
        ask(app, f"/{path}")
    assert [row[2] for row in shown(app)] == [
        "/silent",
        "/handled KeyError: 'lamp'",
        "/logged the stock of lamps is wrong",
        "/refused No lamps are left.",
    ]
    assert [row[2] for row in shown(app, "requests?text=the stock of")] == ["/logged the stock of lamps is wrong"]


def test_a_cursor_gives_only_what_is_new(make: Make) -> None:
    app = make()
    ask(app, "/items/1")
    cursor = re.search(r'data-cursor="([^"]+)"', ask(app, "/monitoring/requests").text)
    assert cursor is not None
    assert ask(app, f"/monitoring/requests?live=&after={cursor[1]}").status_code == 204
    ask(app, "/items/2")
    (second,) = shown(app, f"requests?live=&after={cursor[1]}")
    assert second[2] == "/items/2"


def test_a_cursor_of_the_server_before_gives_everything(make: Make) -> None:
    app = make()
    ask(app, "/items/1")
    assert len(shown(app, "requests?live=&after=00000000.999")) == 1


def test_older_rows_are_on_the_page_after(make: Make) -> None:
    app = make()
    for number in range(250):
        ask(app, f"/items/{number}")
    assert len(shown(app)) == 200
    address = link(app, "requests", '/monitoring/requests\\?before=[^"]+')
    older = rows_of(ask(app, address).text)
    assert [row[2] for row in older] == [f"/items/{number}" for number in range(49, -1, -1)]
    assert "Older" not in ask(app, address).text


@pytest.mark.parametrize(
    ("filters", "paths"),
    [
        ("status=5xx", ["/boom ZeroDivisionError: division by zero"]),
        ("status=404", ["/nowhere"]),
        ("route=/items/<int:item>", ["/items/2", "/items/1"]),
        ("text=ITEMS/2", ["/items/2"]),
        ("text=zerodivision", ["/boom ZeroDivisionError: division by zero"]),
        ("slower=60000", []),
        ("slower=0.0001&text=items/2", ["/items/2"]),
    ],
)
def test_filters(make: Make, filters: str, paths: list[str]) -> None:
    app = make()
    for path in ("/items/1", "/items/2", "/nowhere", "/boom"):
        ask(app, path)
    assert [row[2] for row in shown(app, f"requests?{filters}")] == paths


def test_a_trace_has_its_spans_and_its_lines(make: Make) -> None:
    app = make()
    ask(app, "/say")
    trace = ask(app, link(app, "requests", '/monitoring/traces/[^"]+')).text
    assert "GET /say" in trace
    assert "WARN said &lt;b&gt;this&lt;/b&gt;" in trace
    assert "http.request.method" in trace


def test_a_trace_names_the_error_that_was_reported_and_leads_to_it(make: Make) -> None:
    app = make()
    ask(app, "/boom")
    trace = ask(app, link(app, "requests", '/monitoring/traces/[^"]+')).text
    assert "error: ZeroDivisionError" in trace
    address = re.search(r'href="(/monitoring/errors/[^"]+)"', trace)
    assert address is not None
    assert "by zero" in ask(app, address[1]).text


def test_a_trace_leads_to_the_profile_of_its_request_while_that_is_kept(make: Make) -> None:
    app = make(profile_count=1)
    ask(app, "/items/1?profile=keep")
    trace = link(app, "requests", '/monitoring/traces/[^"]+').removeprefix("/monitoring/")
    profile = link(app, trace, '/monitoring/profiles/[^"]+')
    assert ask(app, profile).status_code == 200
    ask(app, "/items/2?profile=keep")
    assert "Open the profile" not in ask(app, f"/monitoring/{trace}").text


def test_a_trace_that_is_not_here_says_why(make: Make) -> None:
    assert "monitor_size" in ask(make(), f"/monitoring/traces/{'a' * 32}").text


def test_a_trace_leads_to_grafana_where_its_address_is_set(make: Make) -> None:
    app = make(grafana_url="http://grafana.example")
    ask(app, "/items/1")
    trace = ask(app, link(app, "requests", '/monitoring/traces/[^"]+')).text
    assert 'href="http://grafana.example/explore?schemaVersion=1&amp;panes=%7B%22a%22' in trace


def test_lines_errors_and_their_reports_are_shown(make: Make) -> None:
    app = make()
    ask(app, "/say")
    ask(app, "/boom")
    assert any(row[3].startswith("said <b>this</b>") for row in shown(app, "logs?severity=13"))
    ((title, route, _, count, *_),) = shown(app, "errors")
    assert (count, route) == ("1", "/boom")
    assert re.search(r"ZeroDivisionError in .* division by zero$", title)
    report = ask(app, link(app, "errors", '/monitoring/errors/[^"]+')).text
    assert "lambda: str(1 / 0)" in report
    assert "Traceback (most recent call last)" in report


def test_a_line_has_its_fields_its_place_and_links_to_request_and_trace(make: Make) -> None:
    app = make()

    @app.get("/sold")
    def sold() -> str:
        app.logger.warning("sold %s", "a lamp", extra={"stock": 7})
        return "sold"

    ask(app, "/sold")
    ((*_, line, trace),) = shown(app, "logs?severity=13")
    assert f"{__file__}:" in line
    assert re.search(r"stock\s+7", line)
    page = ask(app, "/monitoring/logs?severity=13").text
    (trace_id,) = set(re.findall(r"/monitoring/traces/([0-9a-f]{32})\?span=", page))
    assert trace_id.startswith(trace)
    assert len(shown(app, f"requests?text={trace_id}")) == 1
    app.logger.warning("outside of a request", extra={"job": "night"})
    assert re.search(r"job\s+night", shown(app, "logs?text=outside")[0][3])


def test_errors_that_came_within_a_minute_are_all_counted(make: Make) -> None:
    app = make()
    for _ in range(4):
        ask(app, "/boom")
    assert [row[3] for row in shown(app, "errors")] == ["4"]


def test_statements_and_suspects_are_shown(make: Make, tmp_path: Path) -> None:
    app = make(repeated_query_time=0, slow_query_threshold=0)
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/shop.sqlite3")

    @app.get("/many")
    def many() -> str:
        with engine.connect() as connection:
            for number in range(7):
                connection.execute(sqlalchemy.text("SELECT 5 AS five WHERE 1 = :n"), {"n": number})
        return "many"

    ask(app, "/many")
    found = shown(app, "queries")
    assert found[0][1:] == ["7", found[0][2], found[0][3], "/many", "1"]
    assert found[0][3].startswith("test_views.py:")
    statement = next(row for row in found[1:] if "SELECT ? AS five" in row[0])
    assert (statement[1], statement[5], statement[7], statement[8]) == ("7", "7", found[0][3], "/many")


def test_each_statement_is_one_row_sorted_by_a_column_and_opens_its_slowest_run(make: Make, tmp_path: Path) -> None:
    app = make()
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/shop.sqlite3")

    @app.get("/lamps")
    def lamps() -> str:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE lamps (id INTEGER)"))
            connection.execute(sqlalchemy.text("INSERT INTO lamps VALUES (1)"))
            for limit in (5, 30):
                connection.execute(sqlalchemy.text(f"SELECT id FROM lamps LIMIT {limit}"))
            connection.execute(sqlalchemy.text("SELECT count(*) FROM lamps"))
        return "lamps"

    ask(app, "/lamps")
    rows = [row[:2] for row in shown(app, "queries?sort=count&text=select+lamps")]
    assert rows[0] == ["SELECT lamps SELECT id FROM lamps LIMIT ?", "2"]
    assert sorted(rows[1:]) == [["SELECT lamps SELECT count(*) FROM lamps", "1"]]
    page = ask(app, "/monitoring/queries?sort=count&text=limit").text
    assert 'aria-sort="descending"><a data-soft href="/monitoring/queries?sort=count&amp;text=limit">Count' in page
    (run,) = re.findall(r'href="(/monitoring/traces/[0-9a-f]{32}\?span=[0-9a-f]{16})"', page)
    assert "SELECT id FROM lamps LIMIT ?</pre>" in ask(app, run).text
    assert ask(app, "/monitoring/queries?sort=name").status_code == 400


def test_a_rows_statement_is_seen_where_the_run_is_one_of_many(make: Make, tmp_path: Path) -> None:
    app = make()
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/shop.sqlite3")

    @app.get("/many")
    def many() -> str:
        with engine.connect() as connection:
            for number in range(7):
                connection.execute(sqlalchemy.text("SELECT :number"), {"number": number})
        return "many"

    ask(app, "/many")
    trace = ask(app, link(app, "queries", r"/monitoring/traces/[0-9a-f]{32}\?span=[0-9a-f]{16}")).text
    assert '<details class="fold" open>' in trace
    assert 'aria-current="true"' in trace


def test_the_overview_counts_requests_and_names_routes(make: Make) -> None:
    app = make()
    for _ in range(3):
        ask(app, "/items/1")
    ask(app, "/boom")
    page = ask(app, "/monitoring").text
    assert re.search(r"Errors</h2>\s*<p class=\"value bad\">25 %", page)
    routes = [row[0] for row in rows_of(page)]
    assert routes.count("/boom") == 2
    assert routes.count("/items/<int:item>") == 1
    assert ask(app, "/monitoring?minutes=60").status_code == 200
    assert ask(app, "/monitoring?minutes=7").status_code == 400


def test_requests_that_are_not_sampled_are_counted(make: Make) -> None:
    app = make(tracer_provider=TracerProvider(sampler=ALWAYS_OFF))
    ask(app, "/boom")
    assert "100 %" in ask(app, "/monitoring").text
    assert shown(app) == []


@pytest.mark.usefixtures("only_own_engines")
def test_the_overview_has_the_outcomes_of_health_checks(make: Make) -> None:
    app = make()
    assert ask(app, "/health").status_code == 200
    rows = {row[0]: row[1:] for row in shown(app, "")}
    state, checked_at, _ = rows["memory"]
    assert state in ("pass", "warn")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", checked_at)


def test_the_runtime_has_processes_threads_and_settings_with_where_they_come_from(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTELFLASK_MONITOR_SIZE", "500")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cr3t")
    app = make(health_redis="redis://user:pa55word@127.0.0.1:1/0", metrics_token="t0ken")
    app.config["OTELFLASK_HEALTH_PATH"] = "/ignored-after-init"
    page = ask(app, "/monitoring/runtime").text
    found = rows_of(page)
    process = next(row for row in found if row[0].startswith(f"{os.getpid()} of "))
    assert re.fullmatch(r"\d+ (s|min|h)", process[2])
    assert re.fullmatch(r"[\d.]+ %", process[5])
    assert "MainThread" in process[7]
    settings = {row[0]: row[1:] for row in found if len(row) == 3}
    assert settings["monitor_size"] == [
        "500 from environment variable OTELFLASK_MONITOR_SIZE",
        "environment variable OTELFLASK_MONITOR_SIZE",
    ]
    assert settings["environment"][1] == "keyword argument"
    assert settings["health_path"] == ["/health", "default"]
    assert settings["metrics_token"][0] == "set from keyword argument"
    assert settings["monitor_token"] == ["not set", "default"]
    assert settings["state_dir"][0] == f"{tmp_path} from keyword argument"
    assert not {"s3cr3t", "pa55word", "t0ken"} & set(re.findall(r"\w+", page))


def test_what_of_the_telemetry_is_lost_is_on_the_runtime_view(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make()
    pipeline = app.extensions["otelflask"].pipeline
    queue = ExportQueue("spans", list, SdkDestination(InMemorySpanExporter(), "x_exporter"), QueueOptions())
    monkeypatch.setattr(queue, "counts", Counter({"delivered": 1_200, "dropped:queue_full": 34}))
    pipeline.queues.append(queue)
    row = next(row for row in shown(app, "runtime") if row[1:2] == [f"spans {os.getpid()}"])
    assert row[2:] == ["InMemorySpanExporter", "0 of 2,048", "1,200", "34 dropped:queue_full"]


def test_groups_and_statements_can_be_found(make: Make) -> None:
    app = make()
    ask(app, "/boom")
    assert len(shown(app, "errors?text=zerodivision")) == 1
    assert shown(app, "errors?text=nothing") == []
    assert "No statement matches the filter" in ask(app, "/monitoring/queries?text=nothing").text


def test_an_error_line_leads_to_the_error_that_its_request_reported(make: Make) -> None:
    app = make()

    @app.get("/logged")
    def logged() -> str:
        app.logger.warning("no stock is left")
        app.logger.error("the stock is wrong")
        return "sorry"

    ask(app, "/logged")
    report = link(app, "logs?severity=17", '/monitoring/errors/[^"]+')
    assert "the stock is wrong" in ask(app, report).text
    # A line that is no error has none.
    assert ask(app, "/monitoring/logs?text=no stock").text.count("Show the error") == 0


def test_lines_of_one_logger_are_shown_or_left_out(make: Make) -> None:
    app = make()
    logging.getLogger("werkzeug").warning("GET /items/1 200")
    logging.getLogger("stock").warning("few lamps")

    def lines(query: str) -> list[str]:
        return [row[3].split(" ·")[0].rsplit(" ", 1)[0] for row in shown(app, f"logs?severity=13&{query}")]

    assert lines("logger=stock") == ["few lamps"]
    assert lines("logger=-werkzeug") == ["few lamps"]
    assert lines("logger=gone") == []
    page = ask(app, "/monitoring/logs?logger=-werkzeug").text
    assert '<option value="-werkzeug" selected>all but werkzeug</option>' in page
    # The chosen one stays, also when none of its lines is kept.
    assert '<option value="-gone" selected>all but gone</option>' in ask(app, "/monitoring/logs?logger=-gone").text


def test_lines_are_found_by_whatever_stands_in_them(make: Make) -> None:
    app = make()
    app.add_url_rule("/l", "l", lambda: (app.logger.warning("%s end", "x" * 600, extra={"lamp": "bright"}), "l")[1])
    ask(app, "/l")
    for text in ("END", "shop", "bright"):
        assert len(shown(app, f"logs?text={text}")) == 1
