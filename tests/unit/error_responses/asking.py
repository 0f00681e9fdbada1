"""Ask an app as clients do."""

from __future__ import annotations

import flask
from werkzeug.test import TestResponse

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
AXIOS = "application/json, text/plain, */*"


def get(app: flask.Flask, path: str = "/x", accept: str | None = None, method: str = "GET") -> TestResponse:
    """The answer to a request."""
    return app.test_client().open(path, method=method, headers={"Accept": accept} if accept else {})
