"""Other libraries, against a real HTTP server and a real redis; each known fault of their instrumentations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import flask
import httpx
import pytest
import redis
import requests
import urllib3
from werkzeug.serving import make_server

import otelflask
from otelflask._internal.instrumentation import libraries
from otelflask._internal.settings import SettingError
from otelflask.testing import CapturedTelemetry


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Answers with the `traceparent` of the request."""
    app = flask.Flask("other")
    app.add_url_rule("/<path:path>", "any", lambda path: flask.request.headers.get("traceparent", ""))
    listening = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture(autouse=True)
def _initialised(telemetry: CapturedTelemetry) -> None:
    otelflask.init(flask.Flask("shop"), runtime_metrics=False, **telemetry.providers)


def _by_httpx(url: str) -> str:
    with httpx.Client() as client:
        return client.get(url).text


def _by_async_httpx(url: str) -> str:
    async def get() -> str:
        async with httpx.AsyncClient() as client:
            return (await client.get(url)).text

    return asyncio.run(get())


def _by_requests(url: str) -> str:
    with requests.Session() as session:
        return session.get(url).text


def _by_urllib3(url: str) -> str:
    with urllib3.PoolManager() as pool:
        return pool.request("GET", url).data.decode()


@pytest.mark.parametrize("get", [_by_requests, _by_httpx, _by_async_httpx, _by_urllib3], ids=lambda get: get.__name__)
def test_a_call_is_one_span_that_the_other_side_joins_without_secrets_in_its_url(
    get: Callable[[str], str], server: str, telemetry: CapturedTelemetry
) -> None:
    traceparent = get(f"{server}/pay?token=s3cr3t-token&page=2")
    (span,) = telemetry.spans
    assert traceparent.split("-")[1:3] == [f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"]
    attributes = dict(span.attributes or {})
    assert attributes["url.full"] == f"{server}/pay?token=[redacted]&page=2"
    assert "s3cr3t" not in str(attributes)
    assert span.name == "GET"
    assert attributes["server.address"] == "127.0.0.1"
    assert attributes["server.port"] == int(server.rpartition(":")[2])
    assert attributes["http.response.status_code"] == 200
    (point,) = telemetry.points("http.client.request.duration")
    assert point.count == 1


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_a_command_of_redis_is_a_span_named_after_it(client: redis.Redis, telemetry: CapturedTelemetry) -> None:
    client.set("lamp", "a secret value")
    span = telemetry.span("SET")
    assert span.attributes is not None
    assert span.attributes["db.operation.name"] == "SET"
    assert span.attributes["db.query.text"] == "SET ? ?"


def test_a_large_pipeline_of_redis_has_a_short_name(client: redis.Redis, telemetry: CapturedTelemetry) -> None:
    pipeline = client.pipeline()
    for number in range(1_000):
        pipeline.set(f"lamp:{number}", number)
    pipeline.execute()
    (span,) = telemetry.spans
    assert span.name == "PIPELINE SET"
    assert span.attributes is not None
    assert span.attributes["db.operation.batch.size"] == 1_000
    assert span.attributes["db.operation.name"] == "PIPELINE SET"
    pipeline = client.pipeline()
    pipeline.get("lamp:1").incr("count").execute()
    assert telemetry.spans[-1].name == "PIPELINE"


def test_a_template_is_a_span_of_the_request_that_shows_it_and_no_trace_elsewhere(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("pages")
    app.add_url_rule("/", "index", lambda: flask.render_template_string("{{ 1 + 1 }}"))
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    with app.app_context():
        assert flask.render_template_string("{{ 1 + 2 }}") == "3"
    assert telemetry.spans == []
    assert app.test_client().get("/").text == "2"
    request = telemetry.span("GET /")
    rendered = telemetry.span("jinja2.render")
    assert rendered.parent is not None
    assert rendered.parent.span_id == request.context.span_id


@pytest.mark.usefixtures("only_own_engines")
def test_the_health_check_of_redis_leaves_no_span(redis_url: str, telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("healthy")
    otelflask.init(app, runtime_metrics=False, health_redis=redis_url, **telemetry.providers)
    assert app.test_client().get("/health").status_code == 200
    assert telemetry.spans == []


def test_a_library_that_is_instrumented_already_is_left_as_it_is(server: str, telemetry: CapturedTelemetry) -> None:
    otelflask.init(flask.Flask("second"), runtime_metrics=False, **telemetry.providers)
    _by_requests(f"{server}/x")
    assert len(telemetry.spans) == 1


def test_a_name_that_is_none_is_an_error_that_says_what_is_allowed(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("wrong")
    with pytest.raises(SettingError, match=r"'redis,mongo'; allowed are all, none, or any of httpx, jinja2"):
        otelflask.init(app, libraries="redis,mongo", **telemetry.providers)


def test_opentelemetrys_own_variable_turns_one_off(
    server: str, telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries.uninstrument()
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "requests,urllib3")
    otelflask.init(flask.Flask("again"), runtime_metrics=False, **telemetry.providers)
    assert _by_requests(f"{server}/x") == ""
    assert _by_httpx(f"{server}/x") != ""
