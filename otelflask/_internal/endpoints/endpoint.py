"""Endpoints answer in front of an app. Their requests leave no trace or log line and call no hook."""

from __future__ import annotations

import gzip
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from flask import Flask
from opentelemetry import context as context_api
from werkzeug.wrappers import Request, Response

from otelflask._internal import guard
from otelflask._internal.compat.otel_api import SUPPRESS_INSTRUMENTATION_KEY
from otelflask._internal.wsgi import StartResponse, WsgiApp

#: Shorter answers are not compressed, in bytes.
WORTH_COMPRESSING = 1_000
_FAILED = object()


class Endpoint(ABC):
    """Answers GET and HEAD at a path and below it.

    Args:
        app: The app.
        path: The path, such as ``/health``.
    """

    def __init__(self, app: Flask, path: str) -> None:
        self._app = app
        self.path = path.rstrip("/")

    @property
    def has_begun(self) -> bool:
        """Whether `begin` has done its work in this process."""
        return True

    def begin(self) -> None:  # noqa: B027
        """Called with the first request of this process, whatever its path. A server's master never calls it."""

    def takes(self, path: str) -> bool:
        """Whether the endpoint may answer this path. A rule of the app at this path goes first."""
        return path == self.path and path not in self._rules_of_app()

    def _rules_of_app(self) -> Iterator[str]:
        return (rule.rule.rstrip("/") for rule in self._app.url_map.iter_rules())

    @abstractmethod
    def answer(self, request: Request) -> Response | None:
        """The response; None to let the app answer."""

    def failed(self, request: Request) -> Response | None:
        """The response after `answer` raised; None to let the app answer."""
        return text_response("", 500)


class Endpoints:
    """The endpoints of one app, in the order in which they are asked."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.all: tuple[Endpoint, ...] = ()
        self._beginning: list[Endpoint] = []
        for item in endpoints:
            self.add(item)

    def add(self, endpoint: Endpoint) -> None:
        """Add one more endpoint, which is asked last."""
        self.all = (*self.all, endpoint)
        self._beginning = [item for item in self.all if type(item).begin is not Endpoint.begin]

    def wrap(self, wsgi_app: WsgiApp) -> WsgiApp:
        """Return the WSGI app with the endpoints in front of it."""

        def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            for item in self._beginning:
                if not item.has_begun:
                    guard.call_hook(f"start of {item.path}", item.begin)
            path = environ.get("PATH_INFO", "")
            for item in self.all:
                if path.startswith(item.path) and environ.get("REQUEST_METHOD") in ("GET", "HEAD"):
                    answer = self._answer(item, path, environ)
                    if answer is not None:
                        return answer(environ, start_response)
            return wsgi_app(environ, start_response)

        return application

    @staticmethod
    def _answer(item: Endpoint, path: str, environ: dict[str, Any]) -> Response | None:
        request = Request(environ, populate_request=False)
        # What an endpoint uses may be instrumented, such as SQLite.
        token = context_api.attach(context_api.set_value(SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            found = _asked(item, path, request)
            return item.failed(request) if found is _FAILED else found
        finally:
            context_api.detach(token)


@guard.guarded("answering at an endpoint", default=_FAILED)
def _asked(item: Endpoint, path: str, request: Request) -> Any:
    return item.answer(request) if item.takes(path) else None


def text_response(text: str | bytes, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Response:
    """A text response that must not be cached."""
    return Response(text, status, {"Cache-Control": "no-store"}, content_type=content_type)


def compressed(request: Request, response: Response) -> Response:
    """Compress a response by gzip, where it is long enough and the client accepts it."""
    body = response.get_data()
    response.vary.add("Accept-Encoding")
    if len(body) >= WORTH_COMPRESSING and request.accept_encodings["gzip"] > 0:
        response.set_data(gzip.compress(body, 1, mtime=0))
        response.content_encoding = "gzip"
    return response
