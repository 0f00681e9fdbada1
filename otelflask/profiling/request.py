"""Profiles one request where who asks may, and a share of the others; by pyinstrument."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, quote

from flask import Flask

try:
    from pyinstrument import Profiler
    from pyinstrument.session import Session
except ImportError:
    raise ImportError("profiles need pyinstrument: pip install otelflask[profile]") from None

from otelflask import access, clock, greenlets, guard
from otelflask.http.attributes import route_of
from otelflask.lifecycle import Part
from otelflask.locks import new_lock
from otelflask.profiling.store import FORMATS, ProfileStore, rendered
from otelflask.record import ENVIRON_KEY, RequestRecord
from otelflask.settings import Settings
from otelflask.wsgi import StartResponse, WsgiApp, respond

PARAMETER = "profile"
HEADER = "HTTP_X_PROFILE"
TOKEN_HEADER = "HTTP_X_PROFILE_TOKEN"
#: Seconds between two samples, and how many of them a profile has at most: some 4 MB.
INTERVAL_S = 0.001
MAX_SAMPLES = 10_000
#: What may be asked for: a format that takes the answer's place, or that the profile is kept beside it.
KEEP = "keep"
#: The page that pyinstrument makes has everything in itself.
SECURITY = [
    (
        "Content-Security-Policy",
        # Sandboxed: what its scripts do, they do in no origin of the app's.
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "frame-ancestors 'none'; sandbox allow-scripts",
    ),
    ("X-Content-Type-Options", "nosniff"),
]


#: For a person who has followed a link to a profile.
ASK_FOR_TOKEN = (
    "401 Unauthorized",
    b"The password is the setting profile_token; the user name is not looked at.",
    "text/plain; charset=utf-8",
    [("WWW-Authenticate", 'Basic realm="profiles"')],
)


class _BoundedProfiler(Profiler):
    """Takes no more than `MAX_SAMPLES`; a timer cannot stop it, because that has to be done by its own thread."""

    def _sampler_saw_call_stack(self, *arguments: Any) -> None:
        if self._active_session is not None and len(self._active_session.frame_records) < MAX_SAMPLES:
            super()._sampler_saw_call_stack(*arguments)


class Turn(Part):
    """One request at a time is profiled in a process, of whichever app."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        self._busy = new_lock()

    def take(self) -> bool:
        """Out: whether it is free; then `give_back` is called."""
        return self._busy.acquire(blocking=False)

    def give_back(self) -> None:
        """The profile is taken."""
        self._busy.release()


class RequestProfiler:
    """Profiles requests of one app.

    In: the app, its settings, where profiles are kept, and whose turn it is in this process.
    """

    def __init__(self, app: Flask, settings: Settings, store: ProfileStore, turn: Turn) -> None:
        self._app = app
        self._settings = settings
        self._store = store
        self._path = settings.profile_path.rstrip("/")
        self._turn = turn

    def wrap(self, wsgi_app: WsgiApp) -> WsgiApp:
        """The WSGI app, whose requests are profiled where they should be; inside of what records requests."""

        def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            form = self._asked(environ)
            if form is not None:
                return self._profiled(form, wsgi_app, environ, start_response)
            share = self._settings.profile_share
            if share and random.random() < share and self._turn.take():
                return self._sampled(wsgi_app, environ, start_response)
            return wsgi_app(environ, start_response)

        return application

    def show(self, wsgi_app: WsgiApp) -> WsgiApp:
        """The WSGI app with the kept profiles in front: ``PATH/ID``, ``PATH/ID/text``, ``PATH/ID/speedscope``."""

        def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path.startswith(f"{self._path}/") and environ.get("REQUEST_METHOD") in ("GET", "HEAD"):
                name, _, form = path.removeprefix(f"{self._path}/").partition("/")
                session = None if self._is_apps() or (form or "html") not in FORMATS else self._store.find(name)
                if session is not None and self._may_see(environ):
                    body, content_type = rendered(session, form or "html")
                    return respond(environ, start_response, "200 OK", body, content_type, SECURITY)
                bare = "HTTP_AUTHORIZATION" not in environ and TOKEN_HEADER not in environ
                if session is not None and bare and self._settings.profile_token:
                    return respond(environ, start_response, *ASK_FOR_TOKEN)
            return wsgi_app(environ, start_response)

        return application

    def _is_apps(self) -> bool:
        return any(rule.rule.startswith(f"{self._path}/") for rule in self._app.url_map.iter_rules())

    def _may_see(self, environ: dict[str, Any]) -> bool:
        token = self._settings.profile_token
        if token:
            return access.is_same(environ.get(TOKEN_HEADER, ""), token) or access.bears(environ, token)
        return access.is_development(self._app, self._settings)

    def _asked(self, environ: dict[str, Any]) -> str | None:
        asked = environ.get(HEADER)
        query = environ.get("QUERY_STRING", "")
        if asked is None and f"{PARAMETER}=" not in query:
            return None
        if asked is None:
            asked = parse_qs(query).get(PARAMETER, [""])[-1]
        form = "html" if asked == "1" else asked
        return form if (form in FORMATS or form == KEEP) and self._may_see(environ) else None

    def _run(self, wsgi_app: WsgiApp, environ: dict[str, Any], start_response: StartResponse) -> Any:
        """Call the app under the profiler. Out: its answer, and the profile; None where it could not be made."""
        # Under gevent a thread runs many requests in turn: only this one's frames are meant.
        mode: Any = "strict" if greenlets.are_threads() else "disabled"
        profiler = _BoundedProfiler(interval=INTERVAL_S, async_mode=mode)
        session: Session | None = None
        try:
            profiler.start()
        except Exception:
            guard.say("profile", "a request cannot be profiled", exc_info=True)
            return wsgi_app(environ, start_response), None
        try:
            result = wsgi_app(environ, start_response)
        finally:
            try:
                session = profiler.stop()
            except Exception:
                guard.say("profile", "a profile cannot be ended", exc_info=True)
        return result, session

    def _profiled(
        self, form: str, wsgi_app: WsgiApp, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        if not self._turn.take():
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
            self._turn.give_back()
        if session is not None:
            self._keep(session, name, environ)
        if form == KEEP:
            return result  # type: ignore[no-any-return]
        if hasattr(result, "close"):
            result.close()
        body, content_type = rendered(session, form) if session is not None else (b"no profile", "text/plain")
        # A redirect would lead away from the profile; an error stays one.
        status = answered[0] if answered else "500 Internal Server Error"
        given = status if status >= "4" else "200 OK"
        return respond(environ, start_response, given, body, content_type, SECURITY)

    def _sampled(self, wsgi_app: WsgiApp, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        started = clock.perf_counter_ns()
        try:
            result, session = self._run(wsgi_app, environ, start_response)
        finally:
            self._turn.give_back()
        if session is not None and clock.perf_counter_ns() - started >= self._settings.profile_slow * 1e9:
            self._keep(session, secrets.token_hex(16), environ)
        return result  # type: ignore[no-any-return]

    def _keep(self, session: Session, name: str, environ: dict[str, Any]) -> None:
        # It goes into a script of pyinstrument's page as it is.
        session.target_description = quote(
            f"{environ.get('REQUEST_METHOD', '')} {environ.get('PATH_INFO', '')}"[:200], " /"
        )
        try:
            self._store.keep(session, name)
        except Exception as error:
            guard.say("profile", "a profile cannot be kept: %s", error)
            return
        record = environ.get(ENVIRON_KEY)
        if isinstance(record, RequestRecord):
            record.profile_id = name


def _with_header(start_response: StartResponse, value: str) -> StartResponse:
    def answer(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        return start_response(status, [*headers, ("X-Profile", value)], *rest)

    return answer
