"""The route of a request: the match, whatever wraps or mounts the app."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

import otelflask
from otelflask.testing import CapturedTelemetry


@pytest.mark.parametrize("prefixed_by", ["nothing", "a header", "a header within the dispatcher"])
def test_the_route_of_a_mounted_app_says_where_a_dispatcher_has_mounted_it(
    telemetry: CapturedTelemetry, prefixed_by: str
) -> None:
    def made(name: str) -> flask.Flask:
        app = flask.Flask(name)
        app.add_url_rule("/i/<int:n>", "item", lambda n: str(n))
        otelflask.init(app, **telemetry.providers)
        if prefixed_by == "a header within the dispatcher":
            app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
        return app

    inner = DispatcherMiddleware(made("outer"), {"/deep": made("deep")})
    app: Any = DispatcherMiddleware(made("root"), {"/api": made("api"), "/more/parts": inner})
    if prefixed_by == "a header":
        app = ProxyFix(app, x_prefix=1)
    client = Client(app)
    for path in ("/i/1", "/api/i/2", "/more/parts/i/3", "/more/parts/deep/i/4"):
        assert client.get(path, headers={"X-Forwarded-Prefix": "/made-up"}).status_code == 200
    routes = ["/i/<int:n>", "/api/i/<int:n>", "/more/parts/i/<int:n>", "/more/parts/deep/i/<int:n>"]
    assert [span.name for span in telemetry.spans] == [f"GET {route}" for route in routes]
    points = telemetry.points("http.server.request.duration")
    assert {point.attributes["http.route"] for point in points} == set(routes)


def _copied(wsgi_app: Any) -> Any:
    """A middleware that copies the environ, as Flask-SocketIO's does."""
    return lambda environ, start_response: wsgi_app(environ.copy(), start_response)


def _late(wsgi_app: Any) -> Any:
    """A middleware that starts the response when the app's request context has ended."""

    def application(environ: Any, start_response: Any) -> Any:
        given: list[Any] = []
        result = wsgi_app(environ, lambda *args: given.append(args) or (lambda data: None))
        start_response(*given[0])
        return result

    return application


@pytest.mark.parametrize("wrap", [None, _copied, _late], ids=["plain", "copy", "late"])
@pytest.mark.parametrize("path", ["/fast", "/copied", "/fails"])
def test_the_route_is_that_of_the_match(telemetry: CapturedTelemetry, path: str, wrap: Any) -> None:
    app = flask.Flask("shop")
    if wrap is not None:
        app.wsgi_app = wrap(app.wsgi_app)
    otelflask.init(app, **telemetry.providers)

    @app.get("/<how>")
    def view(how: str) -> str:
        if how == "copied":
            # A copy of the request context that ends before the response.
            flask.copy_current_request_context(lambda: None)()
        if how == "fails":
            raise LookupError(how)
        return "body"

    app.test_client().get(path)
    (span,) = telemetry.spans
    assert span.name == "GET /<how>"
    counts = [point.attributes.get("http.route") for point in telemetry.points("http.server.request.duration")]
    assert counts == ["/<how>"]
