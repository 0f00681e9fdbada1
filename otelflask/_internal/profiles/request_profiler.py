"""Profile single requests by pyinstrument: on demand, where the client may, and a share of all."""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, quote

from flask import Flask
from werkzeug.wrappers import Request

try:
    from pyinstrument.session import Session
except ImportError:
    raise ImportError("profiles need pyinstrument: pip install otelflask[profile]") from None

from otelflask._internal import clock, guard
from otelflask._internal.compat.pyinstrument import BoundedProfiler
from otelflask._internal.endpoints.endpoint import text_response
from otelflask._internal.lifecycle import greenlets
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
#: Values of the query parameter: a format replaces the answer; `keep` stores the profile beside it.
KEEP = "keep"


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
            if share and random.random() < share and self._turn.acquire(blocking=False):
                return self._sampled(wsgi_app, environ, start_response)
            return wsgi_app(environ, start_response)

        return application

    @guard.guarded("asking for a profile")
    def _asked(self, environ: dict[str, Any]) -> str | None:
        asked = environ.get(HEADER)
        query = environ.get("QUERY_STRING", "")
        if asked is None and f"{PARAMETER}=" not in query:
            return None
        if asked is None:
            asked = parse_qs(query).get(PARAMETER, [""])[-1]
        form = "html" if asked == "1" else asked
        if form not in FORMATS and form != KEEP:
            return None
        request = Request(environ, populate_request=False)
        return form if may_see(self._app, self._settings, request) else None

    def _run(self, wsgi_app: WsgiApp, environ: dict[str, Any], start_response: StartResponse) -> Any:
        """Call the app under the profiler.

        Returns:
            The app's answer, and the profile; None where it cannot be made.
        """
        # Under gevent a thread runs many requests in turn: keep only this one's frames.
        mode: Any = "strict" if greenlets.are_threads() else "disabled"
        profiler = BoundedProfiler(MAX_SAMPLES, interval=INTERVAL_S, async_mode=mode)
        session: Session | None = None
        with guard.log_errors("profile", "a request cannot be profiled"):
            # In this frame's own thread and at this depth: the profile begins with it.
            profiler.start()
        try:
            result = wsgi_app(environ, start_response)
        finally:
            if profiler.is_running:
                with guard.log_errors("profile", "a profile cannot be completed"):
                    session = profiler.stop()
        return result, session

    def _profiled(
        self, form: str, wsgi_app: WsgiApp, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        if not self._turn.acquire(blocking=False):
            return wsgi_app(environ, _with_header(start_response, "busy"))
        name = secrets.token_hex(16)
        record = environ.get(ENVIRON_KEY)
        answered: list[str] = []

        def answer(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
            answered[:] = [status]
            if isinstance(record, RequestRecord):
                record.route = route_of(environ)
            return lambda data: None

        beside = _with_header(start_response, f"{environ.get('SCRIPT_NAME', '')}{self._path}/{name}")
        try:
            result, session = self._run(wsgi_app, environ, beside if form == KEEP else answer)
        finally:
            self._turn.release()
        if session is not None:
            self._keep(session, name, environ)
        if form == KEEP:
            return result  # type: ignore[no-any-return]
        if hasattr(result, "close"):
            result.close()
        # A redirect would lead away from the profile. An error stays an error.
        status = int(answered[0][:3]) if answered else 500
        given = status if status >= 400 else 200
        shown = profile_response(session, form, given) if session is not None else text_response("no profile", given)
        return shown(environ, start_response)

    def _sampled(self, wsgi_app: WsgiApp, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        started = clock.perf_counter_ns()
        try:
            result, session = self._run(wsgi_app, environ, start_response)
        finally:
            self._turn.release()
        if session is not None and clock.perf_counter_ns() - started >= self._settings.profile_slow * 1e9:
            self._keep(session, secrets.token_hex(16), environ)
        return result  # type: ignore[no-any-return]

    def _keep(self, session: Session, name: str, environ: dict[str, Any]) -> None:
        # pyinstrument writes it into a script of its page as it is.
        session.target_description = quote(
            f"{environ.get('REQUEST_METHOD', '')} {environ.get('PATH_INFO', '')}"[:200], " /"
        )
        if not guard.attempt(self._kept, session, name, on_error=_unkept):
            return
        record = environ.get(ENVIRON_KEY)
        if isinstance(record, RequestRecord):
            record.profile_id = name

    def _kept(self, session: Session, name: str) -> bool:
        self._store.keep(session, name)
        return True


def _unkept(error: Exception) -> bool:
    guard.log("profile", "a profile cannot be stored: %s", error)
    return False


def _with_header(start_response: StartResponse, value: str) -> StartResponse:
    def answer(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        return start_response(status, [*headers, ("X-Profile", value)], *rest)

    return answer
