"""Whichever instrumentor came first, a request is one span, and every hook is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from opentelemetry.instrumentation.flask import FlaskInstrumentor as ContribInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

import otelflask
from otelflask.testing import CapturedTelemetry


class Hooks:
    """Hooks that record their calls, and a user."""

    def __init__(self, name: str, called: list[str]) -> None:
        self.given: dict[str, Any] = {
            "request_hook": lambda span, environ: called.append(f"{name}'s request_hook"),
            "response_hook": lambda span, status, headers: called.append(f"{name}'s response_hook"),
        }


@pytest.fixture
def called() -> list[str]:
    return []


@pytest.fixture
def contrib(called: list[str]) -> Hooks:
    return Hooks("contrib", called)


@pytest.fixture
def ours(called: list[str]) -> Hooks:
    return Hooks("otelflask", called)


@pytest.fixture
def contribs_providers(telemetry: CapturedTelemetry) -> dict[str, Any]:
    return {"tracer_provider": telemetry.tracer_provider, "meter_provider": telemetry.meter_provider}


@pytest.fixture
def init(telemetry: CapturedTelemetry) -> Callable[..., None]:
    def given(app: flask.Flask, **options: Any) -> None:
        otelflask.init(app, runtime_metrics=False, reports=False, **telemetry.providers, **options)

    return given


@pytest.fixture
def instrumentors() -> Iterator[list[Any]]:
    """What a test adds here is undone afterwards."""
    used: list[Any] = []
    yield used
    for instrumentor in reversed(used):
        instrumentor.uninstrument()


def hello(app: flask.Flask) -> flask.Flask:
    app.add_url_rule("/hello", "hello", lambda: "hello")
    return app


def seen_once(app: flask.Flask, telemetry: CapturedTelemetry) -> dict[str, Any]:
    """Send a request to the app. Returns the attributes of its only span."""
    assert app.test_client().get("/hello").text == "hello"
    (span,) = telemetry.spans
    assert span.name == "GET /hello"
    assert [point.count for point in telemetry.points("http.server.request.duration")] == [1]
    assert not telemetry.points("http.server.duration")
    return dict(span.attributes or {})


ALL = ["contrib's request_hook", "otelflask's request_hook", "contrib's response_hook", "otelflask's response_hook"]


def test_an_app_that_contrib_instruments_is_taken_over_with_its_hooks(
    init: Any, telemetry: CapturedTelemetry, called: list[str], contrib: Hooks, ours: Hooks, contribs_providers: Any
) -> None:
    app = hello(flask.Flask("shop"))
    ContribInstrumentor().instrument_app(app, **contrib.given, **contribs_providers)
    init(app, user=lambda: "ada", **ours.given)
    assert seen_once(app, telemetry)["user.id"] == "ada"
    assert called == ALL


def test_what_stands_around_contribs_wrapper_stays(
    init: Any, telemetry: CapturedTelemetry, called: list[str], contrib: Hooks, contribs_providers: Any
) -> None:
    app = flask.Flask("shop")
    app.add_url_rule("/hello", "hello", lambda: "hello" if flask.request.remote_addr == "10.1.2.3" else "who?")
    ContribInstrumentor().instrument_app(app, **contrib.given, **contribs_providers)
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    init(app)
    answer = app.test_client().get("/hello", headers={"X-Forwarded-For": "10.1.2.3"})
    assert answer.text == "hello"
    assert len(telemetry.spans) == 1
    assert [point.count for point in telemetry.points("http.server.request.duration")] == [1]
    assert not telemetry.points("http.server.duration")
    assert called == ["contrib's request_hook", "contrib's response_hook"]


def test_apps_of_contribs_class_are_taken_over(
    init: Any, telemetry: CapturedTelemetry, called: list[str], contrib: Hooks, ours: Hooks, instrumentors: list[Any],
    contribs_providers: Any,
) -> None:  # fmt: skip
    instrumentors.append(ContribInstrumentor())
    instrumentors[0].instrument(**contrib.given, **contribs_providers)
    app = hello(flask.Flask("shop"))
    init(app, **ours.given)
    seen_once(app, telemetry)
    assert called == ALL


def test_urls_that_contrib_was_told_to_exclude_are_excluded(
    init: Any, telemetry: CapturedTelemetry, contribs_providers: Any
) -> None:
    app = hello(flask.Flask("shop"))
    ContribInstrumentor().instrument_app(app, excluded_urls="hello", **contribs_providers)
    init(app)
    assert app.test_client().get("/hello").text == "hello"
    assert telemetry.spans == []


def test_init_adds_its_hooks_to_an_app_that_our_instrumentor_has_instrumented(
    init: Any, telemetry: CapturedTelemetry, called: list[str], ours: Hooks, instrumentors: list[Any]
) -> None:
    instrumentors.append(otelflask.FlaskInstrumentor())
    instrumentors[0].instrument(**telemetry.providers)
    app = hello(flask.Flask("shop"))
    init(app, user=lambda: "ada", **ours.given)
    assert seen_once(app, telemetry)["user.id"] == "ada"
    assert called == ["otelflask's request_hook", "otelflask's response_hook"]


def test_a_second_call_of_our_instrumentor_adds_what_it_is_given(
    telemetry: CapturedTelemetry, called: list[str], ours: Hooks, instrumentors: list[Any]
) -> None:
    instrumentors.append(otelflask.FlaskInstrumentor())
    instrumentors[0].instrument(**telemetry.providers)
    instrumentors[0].instrument(**ours.given)
    app = hello(flask.Flask("shop"))
    otelflask.FlaskInstrumentor.instrument_app(app)
    seen_once(app, telemetry)
    assert called == ["otelflask's request_hook", "otelflask's response_hook"]


@pytest.mark.parametrize("first", ["ours", "contrib's"])
def test_both_instrumentors_on_all_apps_make_one_span(
    telemetry: CapturedTelemetry, called: list[str], contrib: Hooks, instrumentors: list[Any], first: str,
    contribs_providers: Any,
) -> None:  # fmt: skip
    theirs, ours = ContribInstrumentor(), otelflask.FlaskInstrumentor()
    assert type(theirs) is ContribInstrumentor
    assert type(ours) is otelflask.FlaskInstrumentor
    steps = [
        (ours, telemetry.providers),
        (theirs, {**contrib.given, **contribs_providers}),
    ]
    for instrumentor, options in steps if first == "ours" else reversed(steps):
        instrumentor.instrument(**options)
        instrumentors.append(instrumentor)
    app = hello(flask.Flask("shop"))
    seen_once(app, telemetry)
    assert called == ["contrib's request_hook", "contrib's response_hook"]


def test_another_provider_that_contrib_was_given_is_named(
    init: Any, telemetry: CapturedTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    app = hello(flask.Flask("shop"))
    ContribInstrumentor().instrument_app(app, tracer_provider=TracerProvider(shutdown_on_exit=False))
    init(app)
    assert "Pass the same tracer_provider to otelflask.init" in caplog.text


def test_a_second_init_names_what_it_ignores(
    init: Any, telemetry: CapturedTelemetry, ours: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    app = hello(flask.Flask("initialised twice"))
    init(app)
    otelflask.init(app)
    assert not caplog.records
    otelflask.init(app, user=lambda: "ada", log_level="error", **ours.given)
    assert "ignores log_level, request_hook, response_hook, user" in caplog.text


def test_uninstrumenting_leaves_what_was_put_around_the_app_since(init: Any, telemetry: CapturedTelemetry) -> None:
    app = hello(flask.Flask("shop"))
    otelflask.FlaskInstrumentor.instrument_app(app, **telemetry.providers)
    outer = app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    app.handle_exception = outer_handler = lambda error: ("mine", 500)  # type: ignore[method-assign,assignment,return-value]
    otelflask.FlaskInstrumentor.uninstrument_app(app)
    assert app.wsgi_app is outer
    assert app.handle_exception is outer_handler
    assert app.test_client().get("/hello").text == "hello"
    assert telemetry.spans == []


def test_a_wrapper_below_something_that_says_nothing_of_it_is_found(
    init: Any, telemetry: CapturedTelemetry, called: list[str], contrib: Hooks, contribs_providers: Any
) -> None:
    app = hello(flask.Flask("shop"))
    ContribInstrumentor().instrument_app(app, **contrib.given, **contribs_providers)
    # Has slots.
    app.wsgi_app = SentryWsgiMiddleware(app.wsgi_app)  # type: ignore[method-assign,assignment]
    init(app)
    seen_once(app, telemetry)
    assert called == ["contrib's request_hook", "contrib's response_hook"]


def test_another_apps_instrumentation_stays(
    init: Any, telemetry: CapturedTelemetry, contrib: Hooks, contribs_providers: Any, called: list[str]
) -> None:
    app, other = hello(flask.Flask("shop")), hello(flask.Flask("other"))
    ContribInstrumentor().instrument_app(other, **contrib.given, **contribs_providers)
    ContribInstrumentor().instrument_app(app, **contribs_providers)
    inner = app.wsgi_app

    def dispatch(environ: dict[str, Any], start_response: Any) -> Any:
        return (other.wsgi_app if "x" in environ else inner)(environ, start_response)

    app.wsgi_app = dispatch  # type: ignore[method-assign]
    init(app)
    seen_once(app, telemetry)
    assert called == []
    other.test_client().get("/hello")
    assert called == ["contrib's request_hook", "contrib's response_hook"]


def test_what_contrib_was_given_survives_a_second_call(
    init: Any, telemetry: CapturedTelemetry, called: list[str], contrib: Hooks, ours: Hooks, contribs_providers: Any
) -> None:
    app = hello(flask.Flask("shop"))
    app.add_url_rule("/quiet", "quiet", lambda: "quiet")
    ContribInstrumentor().instrument_app(app, excluded_urls="/quiet", **contrib.given, **contribs_providers)
    otelflask.FlaskInstrumentor.instrument_app(app, **telemetry.providers)
    init(app, **ours.given)
    app.test_client().get("/quiet")
    seen_once(app, telemetry)
    assert called == ALL


def test_hooks_and_excluded_urls_of_both_calls_count(
    init: Any, telemetry: CapturedTelemetry, called: list[str], ours: Hooks
) -> None:
    app = hello(flask.Flask("shop"))
    for name in ("one", "two"):
        app.add_url_rule(f"/{name}", name, lambda: "quiet")
    first = Hooks("first", called)
    otelflask.FlaskInstrumentor.instrument_app(app, excluded_urls="/one", **first.given, **telemetry.providers)
    init(app, excluded_urls="/two", **ours.given)
    for name in ("one", "two"):
        app.test_client().get(f"/{name}")
    seen_once(app, telemetry)
    assert called == [name.replace("contrib", "first") for name in ALL]


def test_contribs_instrumentor_finds_nothing_left_to_take_off(
    init: Any, telemetry: CapturedTelemetry, contribs_providers: Any
) -> None:
    app = hello(flask.Flask("shop"))
    ContribInstrumentor().instrument_app(app, **contribs_providers)
    init(app)
    ContribInstrumentor().uninstrument_app(app)
    seen_once(app, telemetry)


def test_arguments_of_contribs_loader_and_unknown_ones_raise_nothing(
    telemetry: CapturedTelemetry, instrumentors: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    instrumentors.append(otelflask.FlaskInstrumentor())
    for _ in range(2):
        instrumentors[0].instrument(skip_dep_check=True, colour="red", **telemetry.providers)
    assert "does not know colour" in caplog.text
    seen_once(hello(flask.Flask("shop")), telemetry)
