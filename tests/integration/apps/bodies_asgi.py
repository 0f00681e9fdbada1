"""The app of `bodies`, for a server of ASGI."""

from __future__ import annotations

import bodies
from a2wsgi import WSGIMiddleware

app = WSGIMiddleware(bodies.app)
