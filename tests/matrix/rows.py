"""The rows of the matrix: servers and how they are started."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from otelflask._internal.wiring.server_limits import LIMITS
from tests.servers import APACHE_OPTIONS, OLD_UWSGI_FOLDERS, OLD_UWSGI_NEEDS, apache_needs, old_uwsgi

#: What happens to a worker of a row, beside SIGTERM and SIGKILL.
STUCK, RELOAD = "a request that is stuck", "SIGHUP to the master"


@dataclass(frozen=True)
class Row:
    """A server.

    Attributes:
        name: The server's page in `docs/servers/`, and what is special.
        command: With ``{port}`` and ``{app}``, the module: ``plain`` or ``wired``.
        workers: How many workers it has; 0 where the server is one process.
        event: What else happens to a worker: STUCK or RELOAD.
        hasty_workers: Whether a worker may end by SIGTERM without time for anything.
        hasty_end: Whether all processes may, when the server gets SIGTERM.
        cuts: Whether SIGTERM ends it amid requests, also between an answer and what belongs to it.
        replaces: Whether it starts a worker again. Otherwise all end with the first one.
        needs: What must be installed; empty where nothing is missing.
        remark: What it cannot do, with and without otelflask.
        environment: Variables that it needs.
    """

    name: str
    command: tuple[str, ...]
    workers: int = 0
    event: str = ""
    hasty_workers: bool = False
    hasty_end: bool = False
    cuts: bool = False
    replaces: bool = True
    needs: str = ""
    remark: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def _gunicorn(name: str, *options: str, event: str = "") -> Row:
    command = ("gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", *options, "{app}:app")
    return Row(f"gunicorn, {name}", command, workers=2, event=event, remark=LIMITS["gunicorn"])


_BUSY = "a busy worker that gets SIGTERM itself has no time"
_BUSY_ALL = "busy workers have no time at SIGTERM"
_CUT = LIMITS["waitress"]
_GRACEFUL = ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all")


def _uwsgi(name: str, *options: str, graceful: bool = False) -> Row:
    command = ("uwsgi", "--http-socket", "127.0.0.1:{port}", "--module", "{app}:app", "--master", "--need-app")
    end = _GRACEFUL if graceful else ("--die-on-term",)
    more = ("--processes", "2", "--disable-logging", *end, *options)
    return Row(
        f"uWSGI, {name}",
        command + more,
        workers=2,
        hasty_workers=True,
        hasty_end=not graceful,
        remark=f"{_BUSY if graceful else _BUSY_ALL}; {LIMITS['uWSGI']}",
    )


def _old_uwsgi() -> Row:
    row = _uwsgi("2.0.21", "--enable-threads", graceful=True)
    # Zero code starts before uWSGI has read its options.
    environment = {"PYTHONPATH": os.pathsep.join(OLD_UWSGI_FOLDERS)}
    return replace(row, command=tuple(old_uwsgi(row.command)), needs=OLD_UWSGI_NEEDS, environment=environment)


def _mod_wsgi() -> Row:
    command = ("mod_wsgi-express", "start-server", "{app}.py", "--callable-object", "app", "--port", "{port}")
    more = ("--processes", "2", "--threads", "4", *APACHE_OPTIONS)
    return Row("mod_wsgi", command + more, workers=2, needs=apache_needs(), remark=LIMITS["mod_wsgi"])


ROWS = [
    _gunicorn("sync"),
    _gunicorn("gthread", "--worker-class", "gthread", "--threads", "4"),
    _gunicorn("gevent", "--worker-class", "gevent"),
    _gunicorn("`--preload`", "--preload"),
    _gunicorn("`--max-requests`", "--max-requests", "5000", "--max-requests-jitter", "2000"),
    _gunicorn("SIGHUP", event=RELOAD),
    _gunicorn("`--timeout`", "--timeout", "2", event=STUCK),
    _uwsgi("prefork", graceful=True),
    _uwsgi("`--die-on-term`"),
    _uwsgi("`--enable-threads`", "--enable-threads", graceful=True),
    _uwsgi("`--threads`", "--threads", "4", graceful=True),
    _uwsgi("`--lazy-apps`", "--lazy-apps", "--enable-threads", graceful=True),
    _uwsgi("`--py-call-osafterfork`", "--py-call-osafterfork", "--enable-threads", graceful=True),
    _old_uwsgi(),
    _mod_wsgi(),
    Row("waitress", ("waitress-serve", "--listen", "127.0.0.1:{port}", "{app}:app"), cuts=True, remark=_CUT),
    Row("cheroot", ("cheroot", "--bind", "127.0.0.1:{port}", "{app}:app"), cuts=True, remark=_CUT),
    Row(
        "granian",
        (
            "granian",
            "--interface",
            "wsgi",
            "--port",
            "{port}",
            "--workers",
            "2",
            "--respawn-failed-workers",
            "{app}:app",
        ),
        workers=2,
        remark=LIMITS["granian"],
    ),
    Row(
        "hypercorn",
        ("hypercorn", "wsgi:{app}:app", "--bind", "127.0.0.1:{port}", "--workers", "2"),
        workers=2,
        replaces=False,
        remark=LIMITS["hypercorn"],
    ),
    Row(
        "uvicorn",
        ("uvicorn", "{app}_asgi:app", "--port", "{port}", "--workers", "2"),
        workers=2,
        remark=LIMITS["uvicorn with a2wsgi"],
    ),
    Row(
        "gevent",
        (sys.executable, "{app}_gevent.py", "{port}"),
        cuts=True,
        remark=_CUT,
        # Zero code imports more than gevent may patch later.
        environment={"OTEL_PYTHON_AUTO_INSTRUMENTATION_EXPERIMENTAL_GEVENT_PATCH": "patch_all"},
    ),
    Row("Flask's server", ("flask", "--app", "{app}", "run", "--port", "{port}"), cuts=True, remark=_CUT),
    Row(
        "Flask's server, reloader",
        ("flask", "--app", "{app}", "run", "--port", "{port}", "--debug"),
        hasty_end=True,
        remark=LIMITS["Flask's server, reloader"],
    ),
]
#: The rows of the short form.
SHORT = ("gunicorn, gthread", "uWSGI, prefork", "granian")
