"""One request, one span, one duration, one log record."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from opentelemetry import trace
from opentelemetry.sdk.trace import sampling
from opentelemetry.trace import SpanKind, StatusCode

import otelflask
from otelflask.testing import CapturedTelemetry


def test_a_request_is_one_server_span_with_stable_names(client: FlaskClient, telemetry: CapturedTelemetry) -> None:
    client.get("/items/7?page=2", headers={"User-Agent": "curl/8"})
    span = telemetry.span("GET /items/<int:item>")
    assert span.kind is SpanKind.SERVER
    attributes = dict(span.attributes or {})
    attributes.pop("http.request.id")
    assert attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/items/<int:item>",
        "http.response.body.size": 6,
        "url.scheme": "http",
        "url.path": "/items/7",
        "url.query": "page=2",
        "server.address": "localhost",
        "server.port": 80,
        "client.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "curl/8",
    }


def test_the_request_log_is_joined_to_the_span(client: FlaskClient, telemetry: CapturedTelemetry) -> None:
    client.get("/items/7")
    (record,) = [r for r in telemetry.logs if r.event_name == "http.server.request"]
    span = telemetry.spans[0].get_span_context()
    assert span is not None
    assert (record.trace_id, record.span_id) == (span.trace_id, span.span_id)
    assert record.severity_text == "INFO"
    assert record.attributes["http.route"] == "/items/<int:item>"
    assert record.body.startswith("GET /items/7 200 ")


@pytest.mark.parametrize(("path", "severity"), [("/items/1", "INFO"), ("/nowhere", "WARN"), ("/boom", "ERROR")])
def test_the_request_logs_severity_follows_the_status(
    client: FlaskClient, telemetry: CapturedTelemetry, path: str, severity: str
) -> None:
    client.get(path)
    (record,) = [r for r in telemetry.logs if r.event_name == "http.server.request"]
    assert record.severity_text == severity


def test_metrics_agree_with_the_requests(client: FlaskClient, telemetry: CapturedTelemetry) -> None:
    for _ in range(3):
        client.get("/items/1")
    client.get("/boom")
    counts = {
        (p.attributes.get("http.route"), p.attributes["http.response.status_code"]): p.count
        for p in telemetry.points("http.server.request.duration")
    }
    assert counts == {("/items/<int:item>", 200): 3, ("/boom", 500): 1}
    assert all(p.value == 0 for p in telemetry.points("http.server.active_requests"))


def test_durations_carry_exemplars_of_their_spans(client: FlaskClient, telemetry: CapturedTelemetry) -> None:
    client.get("/items/1")
    client.get("/items/1")
    (point,) = telemetry.points("http.server.request.duration")
    assert {e.trace_id for e in point.exemplars} <= {s.get_span_context().trace_id for s in telemetry.spans}
    assert point.exemplars


def test_a_request_in_flight_is_counted_as_active(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    seen = []

    @app.get("/look")
    def look() -> str:
        seen.extend(p.value for p in telemetry.points("http.server.active_requests"))
        return ""

    app.test_client().get("/look")
    assert seen == [1]


def test_a_user_id_is_on_span_and_request_log(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    @app.get("/me")
    def me() -> str:
        otelflask.set_user(42)
        return ""

    app.test_client().get("/me")
    assert telemetry.span("GET /me").attributes["user.id"] == "42"  # type: ignore[index]
    assert telemetry.logs[-1].attributes["user.id"] == "42"


def test_spans_of_the_app_are_children_of_the_request(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    tracer = telemetry.tracer_provider.get_tracer("app")

    @app.get("/work")
    def work() -> str:
        with tracer.start_as_current_span("inner"):
            trace.get_current_span().set_attribute("k", "v")
        return ""

    app.test_client().get("/work")
    parent = telemetry.span("GET /work").get_span_context()
    inner = telemetry.span("inner")
    assert inner.parent is not None
    assert parent is not None
    assert inner.parent.span_id == parent.span_id


def test_attributes_set_by_the_app_win_and_a_name_it_gave_stays(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    @app.get("/own")
    def own() -> str:
        span = trace.get_current_span()
        span.set_attribute("url.path", "/hidden")
        span.update_name("my name")
        return ""

    app.test_client().get("/own")
    assert telemetry.span("my name").attributes["url.path"] == "/hidden"  # type: ignore[index]


@pytest.mark.parametrize("given", ["abc-123", "a" * 128])
def test_a_valid_request_id_is_kept_and_returned(client: FlaskClient, telemetry: CapturedTelemetry, given: str) -> None:
    response = client.get("/items/1", headers={"X-Request-ID": given})
    assert response.headers["X-Request-ID"] == given
    assert telemetry.spans[0].attributes["http.request.id"] == given  # type: ignore[index]


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "ü"])
def test_an_invalid_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    returned = client.get("/items/1", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert returned != given
    assert len(returned) == 32


def test_the_trace_id_is_returned(client: FlaskClient, telemetry: CapturedTelemetry) -> None:
    response = client.get("/items/1")
    context = telemetry.spans[0].get_span_context()
    assert context is not None
    assert response.headers["traceresponse"] == f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def test_calling_init_twice_makes_no_second_span(app: flask.Flask, telemetry: CapturedTelemetry) -> None:
    otelflask.init(app, **telemetry.providers)
    otelflask.OtelFlask().init_app(app)
    app.test_client().get("/items/1")
    assert len(telemetry.spans) == 1


def test_an_unknown_method_is_other(client: FlaskClient, telemetry: CapturedTelemetry) -> None:
    client.open("/items/1", method="PROPFIND")
    (span,) = telemetry.spans
    assert span.attributes["http.request.method"] == "_OTHER"  # type: ignore[index]
    assert span.attributes["http.request.method_original"] == "PROPFIND"  # type: ignore[index]
    assert span.name == "HTTP"


def test_an_unhandled_error_is_on_the_span(client: FlaskClient, telemetry: CapturedTelemetry) -> None:
    assert client.get("/boom").status_code == 500
    span = telemetry.span("GET /boom")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "LookupError"  # type: ignore[index]
    (event,) = span.events
    assert event.attributes["exception.message"] == "no such thing"  # type: ignore[index]


def test_a_sampler_knows_all_that_came_with_the_request() -> None:
    """Semantic conventions, "HTTP server span": what SHOULD be provided at span creation time."""
    seen: list[dict[str, Any]] = []

    class Sampler(sampling.Sampler):
        def should_sample(self, parent_context: Any, trace_id: int, name: str, *rest: Any, **more: Any) -> Any:
            seen.append({**(more.get("attributes") or rest[1])})
            return sampling.SamplingResult(sampling.Decision.RECORD_AND_SAMPLE)

        def get_description(self) -> str:
            return "sampler of a test"

    captured = CapturedTelemetry(sampler=Sampler())
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **captured.providers)
    app.test_client().post("/items?q=1", base_url="http://shop.example:8080", headers={"User-Agent": "browser"})
    (attributes,) = seen
    expected = {
        "http.request.method": "POST",
        "url.path": "/items",
        "url.query": "q=1",
        "url.scheme": "http",
        "server.address": "shop.example",
        "server.port": 8080,
        "client.address": "127.0.0.1",
        "user_agent.original": "browser",
    }
    assert expected.items() <= attributes.items()


def test_an_app_below_another_instrumentation_is_part_of_its_trace(
    client: FlaskClient, telemetry: CapturedTelemetry
) -> None:
    tracer = telemetry.tracer_provider.get_tracer("a server of another kind")
    with tracer.start_as_current_span("POST /outer", kind=SpanKind.SERVER) as outer:
        # A header of the same request says less than the span that was made of it.
        client.get("/items/7", headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    span = telemetry.span("GET /items/<int:item>")
    assert span.parent == outer.get_span_context()
    assert span.kind is SpanKind.INTERNAL
    assert [item.kind for item in telemetry.spans].count(SpanKind.SERVER) == 1


@pytest.mark.parametrize("around", ["the caller's", "an ended one"])
def test_only_an_active_span_of_this_process_is_the_parent(
    client: FlaskClient, telemetry: CapturedTelemetry, around: str
) -> None:
    span: trace.Span = telemetry.tracer_provider.get_tracer("another").start_span("another")
    if around == "the caller's":
        span = trace.NonRecordingSpan(trace.SpanContext(5, 6, is_remote=True, trace_flags=trace.TraceFlags(1)))
    else:
        span.end()
    with trace.use_span(span, end_on_exit=False):
        client.get("/items/7")
    found = telemetry.span("GET /items/<int:item>")
    assert found.kind is SpanKind.SERVER
    assert found.parent is None
