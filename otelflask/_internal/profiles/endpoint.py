"""The kept profiles: ``PATH/ID``, ``PATH/ID/text``, ``PATH/ID/speedscope``."""

from __future__ import annotations

from flask import Flask
from pyinstrument.session import Session
from werkzeug.wrappers import Request, Response

from otelflask._internal.endpoints import access
from otelflask._internal.endpoints.endpoint import Endpoint, text_response
from otelflask._internal.profiles.store import FORMATS, ProfileStore, rendered
from otelflask._internal.settings import Settings

TOKEN_HEADER = "X-Profile-Token"
#: The page that pyinstrument makes has everything in itself.
SECURITY = {
    # Sandboxed: what its scripts do, they do in no origin of the app's.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "frame-ancestors 'none'; sandbox allow-scripts"
    ),
    "X-Content-Type-Options": "nosniff",
}


class ProfilesEndpoint(Endpoint):
    """The profiles of one app. In: the app, its settings, and where profiles are kept."""

    def __init__(self, app: Flask, settings: Settings, store: ProfileStore) -> None:
        super().__init__(app, settings.profile_path)
        self._settings = settings
        self._store = store

    def takes(self, path: str) -> bool:
        below = f"{self.path}/"
        return path.startswith(below) and not any(rule.startswith(below) for rule in self._rules_of_app())

    def answer(self, request: Request) -> Response | None:
        name, _, form = request.path.removeprefix(f"{self.path}/").partition("/")
        session = self._store.find(name) if (form or "html") in FORMATS else None
        if session is None:
            return None
        if may_see(self._app, self._settings, request):
            return profile_response(session, form or "html", 200)
        if not self._settings.profile_token or "Authorization" in request.headers or TOKEN_HEADER in request.headers:
            return None
        # A person who has followed a link to a profile.
        response = text_response("The password is the setting profile_token; the user name is not looked at.", 401)
        response.headers["WWW-Authenticate"] = 'Basic realm="profiles"'
        return response


def may_see(app: Flask, settings: Settings, request: Request) -> bool:
    """Whether who asks may see profiles of an app, and have its requests profiled."""
    token = settings.profile_token
    if token:
        return access.has_header(request, TOKEN_HEADER, token) or access.bears(request, token)
    return access.is_development(app, settings)


def profile_response(session: Session, form: str, status: int) -> Response:
    """A profile to look at. In: one of `FORMATS`."""
    body, content_type = rendered(session, form)
    response = text_response(body, status, content_type)
    response.headers.extend(SECURITY)
    return response
