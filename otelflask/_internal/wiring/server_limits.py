"""What servers cannot do for telemetry, with and without otelflask. It is logged at start."""

from __future__ import annotations

import functools
import logging
import os

from otelflask._internal import guard
from otelflask._internal.compat import mod_wsgi, uwsgi, werkzeug
from otelflask._internal.import_hooks import when_imported

_STARTING = "a worker that gets its signal while it starts may not notice"
_CUT = "SIGTERM cuts off requests that are being answered"
_EARLY = "the status is sent before the first piece of a body: an exception between them is a 500 in telemetry only"
#: By server.
LIMITS = {
    "uWSGI": _STARTING,
    "mod_wsgi": "Apache kills a process 3 s after its signal, so telemetry has at most 2 s at its end",
    "gunicorn": _STARTING,
    "granian": f"{_STARTING}; {_EARLY}",
    "hypercorn": "all workers end when one does; an empty body is answered by 500",
    "uvicorn with a2wsgi": _EARLY,
    "waitress": _CUT,
    "cheroot": _CUT,
    "eventlet": "what cannot be sent at SIGTERM is not counted",
    "gevent": _CUT,
    "Flask's server": _CUT,
    "Flask's server, reloader": "at its end, the parent kills the process that serves: what that has not sent is lost",
    "Flask's server with processes=": "a request's process ends without `atexit`: what it records is lost",
}
#: The module that a server has imported before it serves. gunicorn's workers may import gevent's or eventlet's.
_MODULES = {
    "gunicorn": "gunicorn.arbiter",
    "granian": "granian.wsgi",
    "hypercorn": "hypercorn.run",
    "uvicorn with a2wsgi": "a2wsgi.wsgi",
    "waitress": "waitress.server",
    "cheroot": "cheroot.server",
    "eventlet": "eventlet.wsgi",
    "gevent": "gevent.pywsgi",
}


def say() -> None:
    """Log what the server of this process cannot do, now or when it is imported."""
    if uwsgi.is_running():
        _say("uWSGI")
    elif mod_wsgi.is_running():
        _say("mod_wsgi")
    for server, module in _MODULES.items():
        when_imported(module, functools.partial(_say, server))
    werkzeug.note_kind(_say_of_flask)


def _say_of_flask(is_forking: bool) -> None:
    # It certainly serves; a server that is only imported may not.
    if is_forking:
        _say("Flask's server with processes=", "werkzeug", logging.WARNING)
    else:
        _say("Flask's server, reloader" if "WERKZEUG_RUN_MAIN" in os.environ else "Flask's server", "werkzeug")


def _say(server: str, key: str = "other", level: int = logging.INFO) -> None:
    # One key for others: what another server's module brings along is not logged.
    guard.log(f"server:{key}", "with %s, %s", server, LIMITS[server], level=level)
