"""Stored profiles: ``PATH/ID``, ``PATH/ID/text``, ``PATH/ID/speedscope``."""

from __future__ import annotations

from flask import Flask
from pyinstrument.session import Session
from werkzeug.wrappers import Request, Response

from otelflask._internal.endpoints import access
from otelflask._internal.endpoints.endpoint import Endpoint, text_response
from otelflask._internal.profiles.store import FORMATS, ProfileStore, StoredProfile, rendered
from otelflask._internal.settings import Settings

TOKEN_HEADER = "X-Profile-Token"
#: pyinstrument's page loads nothing.
SECURITY = {
    # Sandboxed: its scripts run in no origin of the app.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline' data:; img-src data:; "
        "font-src data:; frame-ancestors 'none'; sandbox allow-scripts"
    ),
    "X-Content-Type-Options": "nosniff",
}


class ProfilesEndpoint(Endpoint):
    """The stored profiles of one app.

    Args:
        app: The app.
        settings: Its settings.
        store: Stores profiles.
    """

    def __init__(self, app: Flask, settings: Settings, store: ProfileStore) -> None:
        super().__init__(app, settings.profile_path)
        self._settings = settings
        self._store = store

    def newest(self) -> list[StoredProfile]:
        """The stored profiles, newest first."""
        return self._store.newest()

    def page(self, name: str, form: str) -> Response | None:
        """A stored profile, for somebody who may see it.

        Args:
            name: Its id.
            form: One of `FORMATS`.

        Returns:
            The response; None where there is no such profile.
        """
        session = self._store.find(name) if form in FORMATS else None
        return profile_response(session, form, 200) if session is not None else None

    def takes(self, path: str) -> bool:
        below = f"{self.path}/"
        return path.startswith(below) and not any(rule.startswith(below) for rule in self._rules_of_app())

    def answer(self, request: Request) -> Response | None:
        name, _, form = request.path.removeprefix(f"{self.path}/").partition("/")
        found = self.page(name, form or "html")
        if found is None or may_see(self._app, self._settings, request):
            return found
        if not self._settings.profile_token or "Authorization" in request.headers or TOKEN_HEADER in request.headers:
            return None
        # For a person who has followed a link to a profile.
        response = text_response("The password is the setting profile_token; the user name is not looked at.", 401)
        response.headers["WWW-Authenticate"] = 'Basic realm="profiles"'
        return response


def may_see(app: Flask, settings: Settings, request: Request) -> bool:
    """Whether the visitor may see an app's profiles, and have requests profiled."""
    token = settings.profile_token
    if token:
        return access.has_header(request, TOKEN_HEADER, token) or access.has_token(request, token)
    return access.is_development(app, settings)


def profile_response(session: Session, form: str, status: int) -> Response:
    """A response with a profile, in one of `FORMATS`."""
    body, content_type = rendered(session, form)
    response = text_response(body, status, content_type)
    response.headers.extend(SECURITY)
    return response
