"""The four signals agree, and one request is found in all of them by its trace id."""

from __future__ import annotations

import pytest

from tests.stack import driver, found
from tests.stack.backends import eventually
from tests.stack.compose import Stack

pytestmark = [pytest.mark.slow, pytest.mark.stack]

N = 300


@pytest.mark.needs("shop", "postgres", "redis", "tempo")
def test_n_requests_are_n_spans_n_durations_and_n_request_logs(stack: Stack) -> None:
    run = driver.run_name("count")
    before = found.count_in_prometheus(stack.backends)
    sent = driver.requests(stack.url["shop"], found.ROUTE, N, run)
    assert [item.status for item in sent] == [200] * N
    spans = eventually(lambda: found.serials_in_tempo(stack.backends, run), lambda serials: len(serials) >= N)
    logs = eventually(lambda: found.serials_in_loki(stack.backends, run), lambda serials: len(serials) >= N)
    counted = eventually(lambda: found.count_in_prometheus(stack.backends) - before, lambda count: count >= N)
    assert (len(spans), len(logs), counted) == (N, N, N)
    assert (driver.missing(sent, spans), driver.missing(sent, logs)) == ("", "")


@pytest.mark.needs("shop", "postgres", "redis", "tempo")
def test_one_request_is_followed_by_its_trace_id_through_all_backends(stack: Stack) -> None:
    sent = driver.request(stack.url["shop"], "/simulate-error")
    assert sent.status == 500
    trace = eventually(
        lambda: stack.backends.traceql(f'{{ trace:id="{sent.trace_id}" && span:kind=server }}'), seconds=60
    )
    assert [item["rootTraceName"] for item in trace] == ["GET /simulate-error"]
    lines = eventually(
        lambda: stack.backends.logql(f'{{service_name="shop",report!="group"}} | trace_id="{sent.trace_id}"'),
        lambda streams: len(streams) >= 4,
    )
    # The app's own line before it, Flask's line, the request's, and the report.
    assert sorted(line["stream"]["severity_text"] for line in lines) == ["ERROR", "ERROR", "ERROR", "INFO"]
    errors = [line["stream"] for line in lines if line["stream"]["severity_text"] == "ERROR"]
    assert {line["exception_type"] for line in errors} == {"RuntimeError"}
    assert {line.get("event_name", "") for line in errors} == {"", "http.server.request", "exception"}
    series = eventually(
        lambda: stack.backends.promql(
            'http_server_request_duration_seconds_count{http_route="/simulate-error",error_type="RuntimeError"}'
        )
    )
    assert series
    # And back: the log line's own trace id is that trace.
    assert {line["stream"]["trace_id"] for line in lines} == {sent.trace_id}
