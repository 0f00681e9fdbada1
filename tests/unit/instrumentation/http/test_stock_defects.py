"""Each fault of the stock Flask instrumentation: present in the stock part, absent in ours.

The stock part runs in this process on an app of its own, so each test shows what it does today. A
test fails when the fault is corrected there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from opentelemetry.instrumentation.flask import FlaskInstrumentor as StockInstrumentor
from opentelemetry.trace import StatusCode
from opentelemetry.util.http import get_excluded_urls  # noqa: F401 - contrib reads it at import

import otelflask
from otelflask.testing import CapturedTelemetry
from tests.otlp import encoded_spans

Configure = Callable[[flask.Flask], None]


@pytest.fixture
def stock() -> Iterator[CapturedTelemetry]:
    captured = CapturedTelemetry()
    yield captured
    captured.close()


def _app(configure: Configure | None) -> flask.Flask:
    app = flask.Flask("shop")

    @app.get("/items/<int:item>")
    def item(item: int) -> str:
        return "item"

    if configure is not None:
        configure(app)
    return app


@pytest.fixture
def pair(telemetry: CapturedTelemetry, stock: CapturedTelemetry) -> Callable[..., tuple[flask.Flask, flask.Flask]]:
    """The same app twice: with the stock instrumentation and with ours."""

    def make(configure: Configure | None = None, after: Configure | None = None, **options: Any) -> Any:
        stock_app, our_app = _app(configure), _app(configure)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            StockInstrumentor.instrument_app(
                stock_app,
                tracer_provider=stock.tracer_provider,
                meter_provider=stock.meter_provider,
                **options,
            )
        otelflask.init(our_app, runtime_metrics=False, **telemetry.providers, **options)
        for app in (stock_app, our_app):
            if after is not None:
                after(app)
        return stock_app, our_app

    return make


Pair = Callable[..., tuple[flask.Flask, flask.Flask]]


def durations(captured: CapturedTelemetry) -> list[Any]:
    return captured.points("http.server.duration") + captured.points("http.server.request.duration")


def test_1_a_handled_exception_that_answers_500_is_on_the_span(
    pair: Pair, stock: CapturedTelemetry, telemetry: CapturedTelemetry
) -> None:
    def configure(app: flask.Flask) -> None:
        @app.get("/fails")
        def fails() -> str:
            return {}["missing"]  # type: ignore[no-any-return]

        @app.errorhandler(KeyError)
        def handler(error: KeyError) -> tuple[str, int]:
            return "sorry", 500

    for app in pair(configure):
        assert app.test_client().get("/fails").status_code == 500
    assert not stock.spans[-1].events
    span = telemetry.span("GET /fails")
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]
    assert telemetry.logs[-1].attributes["exception.type"] == "KeyError"


def test_2_an_earlier_before_request_that_answers_does_not_hide_the_request(
    pair: Pair, stock: CapturedTelemetry, telemetry: CapturedTelemetry
) -> None:
    def configure(app: flask.Flask) -> None:
        app.before_request(lambda: ("down for maintenance", 503))

    for app in pair(configure):
        app.test_client().get("/items/1")
    assert not stock.spans
    span = telemetry.span("GET /items/<int:item>")
    assert span.attributes["http.response.status_code"] == 503  # type: ignore[index]
    (point,) = durations(telemetry)
    assert point.attributes["http.route"] == "/items/<int:item>"


def test_3_a_propagated_exception_has_a_duration(
    pair: Pair, stock: CapturedTelemetry, telemetry: CapturedTelemetry
) -> None:
    def configure(app: flask.Flask) -> None:
        app.config["PROPAGATE_EXCEPTIONS"] = True

        @app.get("/fails")
        def fails() -> str:
            raise RuntimeError("bad")

    for app in pair(configure):
        client = app.test_client()
        with pytest.raises(RuntimeError):
            client.get("/fails")
    assert not durations(stock)
    (point,) = durations(telemetry)
    assert point.attributes["http.response.status_code"] == 500
    assert telemetry.span("GET /fails").events[0].name == "exception"


def test_4_a_stream_is_open_until_its_last_byte(
    pair: Pair, stock: CapturedTelemetry, telemetry: CapturedTelemetry
) -> None:
    open_spans: dict[str, int] = {}

    def configure(app: flask.Flask) -> None:
        @app.get("/stream")
        def stream() -> flask.Response:
            def pieces() -> Iterator[bytes]:
                yield b"a"
                captured = telemetry if "otelflask" in app.extensions else stock
                open_spans["ours" if captured is telemetry else "stock"] = len(durations(captured))
                yield b"b"

            return flask.Response(pieces())

    for app in pair(configure):
        assert app.test_client().get("/stream").data == b"ab"
    assert open_spans == {"stock": 1, "ours": 0}
    assert telemetry.span("GET /stream").attributes["http.response.body.size"] == 2  # type: ignore[index]


def test_5_excluded_urls_are_not_counted_as_active(
    pair: Pair, stock: CapturedTelemetry, telemetry: CapturedTelemetry
) -> None:
    for app in pair(excluded_urls=None) if False else pair():
        app.test_client().get("/items/1")
    ours = flask.Flask("other")
    ours.add_url_rule("/health", view_func=lambda: "ok")
    captured = CapturedTelemetry()
    otelflask.init(ours, runtime_metrics=False, excluded_urls="/health", **captured.providers)
    ours.test_client().get("/health")
    assert not captured.spans
    assert not captured.logs
    assert not captured.points("http.server.active_requests")
    captured.close()
    theirs = _app(lambda app: app.add_url_rule("/health", view_func=lambda: "ok"))
    other = CapturedTelemetry()
    StockInstrumentor.instrument_app(
        theirs,
        tracer_provider=other.tracer_provider,
        meter_provider=other.meter_provider,
        excluded_urls="/health",
    )
    theirs.test_client().get("/health")
    assert other.points("http.server.active_requests")
    other.close()


def test_6_scans_with_forged_hosts_make_few_series_and_span_names(
    pair: Pair, stock: CapturedTelemetry, telemetry: CapturedTelemetry
) -> None:
    for app in pair():
        for n in range(50):
            app.test_client().get(f"/scan/{n}", headers={"Host": f"host{n}.test"})
    assert len({span.name for span in stock.spans}) == 50
    assert {span.name for span in telemetry.spans} == {"GET"}
    assert len(durations(telemetry)) == 1


def test_7_secrets_in_the_query_do_not_leave(telemetry: CapturedTelemetry, client: Any) -> None:
    from otelflask._internal.export.otlp_encoder import Encoder
    from otelflask._internal.limits import Limits
    from otelflask._internal.redaction import Scrubber

    client.get("/items/1?token=tok-1234&api_key=key-1234&page=2")
    payload = encoded_spans(Encoder(Scrubber(), Limits()), telemetry.spans)
    assert b"tok-1234" not in payload
    assert b"key-1234" not in payload
    assert b"page=2" in payload


@pytest.mark.parametrize("hook", ["request_hook", "response_hook"])
def test_8_a_hook_that_raises_changes_nothing(pair: Pair, hook: str, telemetry: CapturedTelemetry) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("hook")

    stock_app, our_app = pair(**{hook: broken})
    if hook == "request_hook":
        assert stock_app.test_client().get("/items/1").status_code == 500
    else:
        with pytest.raises(RuntimeError):
            stock_app.test_client().get("/items/1")
    assert our_app.test_client().get("/items/1").data == b"item"


@pytest.mark.parametrize("flag", ["00", "01"])
def test_9_a_callers_sampled_flag_neither_silences_nor_forces(flag: str) -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

    header = {"traceparent": f"00-{1:032x}-{2:016x}-{flag}"}
    for root, expected in ((ALWAYS_ON, 1), (ALWAYS_OFF, 0)):
        captured = CapturedTelemetry(sampler=ParentBased(root))
        app = _app(None)
        otelflask.init(app, runtime_metrics=False, **captured.providers)
        app.test_client().get("/items/1", headers=header)
        assert len(captured.spans) == expected
        if expected:
            assert captured.spans[0].parent is not None
            assert captured.spans[0].parent.span_id == 2
        captured.close()


def test_9b_a_trusted_callers_flag_decides_and_a_link_is_no_parent() -> None:
    header = {"traceparent": f"00-{1:032x}-{2:016x}-00"}
    captured = CapturedTelemetry()
    app = _app(None)
    otelflask.init(app, runtime_metrics=False, remote_sampling="trust", **captured.providers)
    app.test_client().get("/items/1", headers=header)
    assert not captured.spans
    linked = _app(None)
    otelflask.init(linked, runtime_metrics=False, remote_context="link", **captured.providers)
    linked.test_client().get("/items/1", headers=header)
    (span,) = captured.spans
    assert span.parent is None
    assert span.links[0].context.span_id == 2
    captured.close()


def test_10_statements_are_not_commented_unless_asked_for(telemetry: CapturedTelemetry) -> None:
    from opentelemetry import context

    seen: list[Any] = []

    def configure(app: flask.Flask) -> None:
        @app.get("/look")
        def look() -> str:
            seen.append(context.get_value("SQLCOMMENTER_ORM_TAGS_AND_VALUES"))
            return ""

    app = _app(configure)
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    app.test_client().get("/look")
    assert seen == [None]
