"""Profile single requests by pyinstrument: on demand, where the client may, and a share of all."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, quote

from flask import Flask
from pyinstrument.session import Session
from werkzeug.wrappers import Request

from otelflask._internal import clock, guard, randomness
from otelflask._internal.compat.pyinstrument import BoundedProfiler
from otelflask._internal.endpoints.endpoint import text_response
from otelflask._internal.lifecycle import greenlets
from otelflask._internal.profiles import header
from otelflask._internal.profiles.endpoint import may_see, profile_response
from otelflask._internal.profiles.store import FORMATS, ProfileStore
from otelflask._internal.request_record import ENVIRON_KEY, RequestRecord, route_of
from otelflask._internal.settings import Settings
from otelflask._internal.wsgi import StartResponse, WsgiApp

PARAMETER = "profile"
HEADER = "HTTP_X_PROFILE"
#: Seconds between two samples, and the most samples of a profile: some 4 MB.
INTERVAL_S = 0.001
MAX_SAMPLES = 10_000
#: A format replaces the answer. `keep`, and any other value of the query parameter, stores the profile beside it.
KEEP = "keep"


class _Profile:
    """The profile of one request, begun in the frame that calls the app."""

    def __init__(self) -> None:
        # Under gevent a thread runs many requests in turn: keep only this one's frames.
        mode: Any = "strict" if greenlets.are_threads() else "disabled"
        self.profiler = BoundedProfiler(MAX_SAMPLES, interval=INTERVAL_S, async_mode=mode)
        self.session: Session | None = None

    def stop(self) -> Session | None:
        """End it. A second call changes nothing.

        Returns:
            The profile; None where it cannot be made.
        """
        if self.profiler.is_running:
            with guard.log_errors("profile", "a profile cannot be completed"):
                self.session = self.profiler.stop()
        return self.session


class RequestProfiler:
    """Profiles requests of one app.

    Args:
        app: The app.
        settings: Its settings.
        store: Stores profiles.
        turn: Held during a profile, because a process profiles one request at a time.
    """

    def __init__(self, app: Flask, settings: Settings, store: ProfileStore, turn: threading.Lock) -> None:
        self._app = app
        self._settings = settings
        self._store = store
        self._path = settings.profile_path.rstrip("/")
        self._turn = turn

    def wrap(self, wsgi_app: WsgiApp) -> WsgiApp:
        """Return a WSGI app that profiles requests. It belongs inside the request middleware."""

        def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            form = self._asked(environ)
            if form is not None:
                return self._profiled(form, wsgi_app, environ, start_response)
            share = self._settings.profile_share
            if share and randomness.random() < share and self._turn.acquire(blocking=False):
                return self._sampled(wsgi_app, environ, start_response)
            return wsgi_app(environ, start_response)

        return application

    @guard.guarded("asking for a profile")
    def _asked(self, environ: dict[str, Any]) -> str | None:
        asked = environ.get(HEADER)
        query = environ.get("QUERY_STRING", "")
        if asked is None and f"{PARAMETER}=" not in query:
            return None
        form = asked
        if form is None:
            values = parse_qs(query, keep_blank_values=True).get(PARAMETER)
            if values is None:
                return None
            form = "html" if values[-1] == "1" else values[-1] if values[-1] in FORMATS else KEEP
        if form not in FORMATS and form != KEEP:
            return None
        request = Request(environ, populate_request=False)
        return form if may_see(self._app, self._settings, request) else None

    @staticmethod
    def _run(profile: _Profile, wsgi_app: WsgiApp, environ: dict[str, Any], start_response: StartResponse) -> Any:
        """Call the app under the profiler, and return its answer."""
        with guard.log_errors("profile", "a request cannot be profiled"):
            # In this frame's own thread and at this depth: the profile begins with it.
            profile.profiler.start()
        try:
            return wsgi_app(environ, start_response)
        finally:
            profile.stop()

    def _profiled(
        self, form: str, wsgi_app: WsgiApp, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        if not self._turn.acquire(blocking=False):
            return wsgi_app(environ, _with_headers(start_response, lambda: [("X-Profile", "busy")]))
        name = secrets.token_hex(16)
        profile = _Profile()
        if form == KEEP:
            return self._beside(profile, name, wsgi_app, environ, start_response)
        record = environ.get(ENVIRON_KEY)
        answered: list[str] = []

        def answer(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
            answered[:] = [status]
            if isinstance(record, RequestRecord):
                record.route = route_of(environ) or record.route
            return lambda data: None

        try:
            result = self._run(profile, wsgi_app, environ, answer)
        finally:
            self._turn.release()
        session = profile.session
        if session is not None:
            self._keep(session, name, environ)
        if hasattr(result, "close"):
            result.close()
        # A redirect would lead away from the profile. An error stays an error.
        status = int(answered[0][:3]) if answered else 500
        given = status if status >= 400 else 200
        if session is None:
            return text_response("no profile", given)(environ, start_response)
        shown = profile_response(session, form, given)
        found = guard.attempt(header.stats, session, on_error=lambda error: "")
        if found:
            shown.headers[header.HEADER] = found
        return shown(environ, start_response)

    def _beside(
        self,
        profile: _Profile,
        name: str,
        wsgi_app: WsgiApp,
        environ: dict[str, Any],
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        """The app's own answer, with headers about its profile, which ends when the answer begins."""

        @guard.guarded("describing a profile", default=[])
        def headers() -> list[tuple[str, str]]:
            address = f"{environ.get('SCRIPT_NAME', '')}{self._path}/{name}"
            session = profile.stop()
            found = header.stats(session) if session is not None else ""
            return [("X-Profile", address), *([(header.HEADER, found)] if found else [])]

        try:
            result = self._run(profile, wsgi_app, environ, _with_headers(start_response, headers))
        finally:
            self._turn.release()
        if profile.session is not None:
            self._keep(profile.session, name, environ)
        return result  # type: ignore[no-any-return]

    def _sampled(self, wsgi_app: WsgiApp, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        started = clock.perf_counter_ns()
        profile = _Profile()
        try:
            result = self._run(profile, wsgi_app, environ, start_response)
        finally:
            self._turn.release()
        session = profile.session
        if _route(environ) is None:
            # A stranger's 404s would push the app's own profiles out.
            session = None
        if session is not None and clock.perf_counter_ns() - started >= self._settings.profile_slow * 1e9:
            self._keep(session, secrets.token_hex(16), environ)
        return result  # type: ignore[no-any-return]

    def _keep(self, session: Session, name: str, environ: dict[str, Any]) -> None:
        # pyinstrument writes it into a script of its page as it is.
        session.target_description = quote(
            f"{environ.get('REQUEST_METHOD', '')} {environ.get('PATH_INFO', '')}"[:200], " /"
        )
        record = environ.get(ENVIRON_KEY)
        request = f"{environ.get('REQUEST_METHOD', '')} {_route(environ) or ''}".strip()[:200]
        if not guard.attempt(self._kept, session, name, request, on_error=_unkept):
            return
        if isinstance(record, RequestRecord):
            record.profile_id = name

    def _kept(self, session: Session, name: str, request: str) -> bool:
        self._store.keep(session, name, request)
        return True


def _route(environ: dict[str, Any]) -> str | None:
    record = environ.get(ENVIRON_KEY)
    # Flask forgets the match with the request's context.
    return (record.route if isinstance(record, RequestRecord) else None) or route_of(environ)


def _unkept(error: Exception) -> bool:
    guard.log("profile", "a profile cannot be stored: %s", error)
    return False


def _with_headers(start_response: StartResponse, more: Callable[[], list[tuple[str, str]]]) -> StartResponse:
    def answer(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        return start_response(status, [*headers, *more()], *rest)

    return answer
