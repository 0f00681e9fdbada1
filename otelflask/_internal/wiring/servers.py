"""What the process's telemetry does about the server that runs it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

from otelflask._internal import guard
from otelflask._internal.compat import uvicorn, uwsgi, werkzeug
from otelflask._internal.import_hooks import when_imported
from otelflask._internal.lifecycle import ending, forks
from otelflask._internal.request_record import MOUNT_KEY
from otelflask._internal.wiring import server_limits

_HASTY = (
    "uWSGI ends a worker that is busy at once, and what it has not sent is lost. Start uWSGI with --master and "
    '--hook-master-start "unix_signal:15 gracefully_kill_them_all"'
)
_NO_ATEXIT = "uWSGI with --%s runs no `atexit`: what a worker has not sent at its end is lost"


def can_send() -> bool:
    """Whether something may drain the queues. Otherwise an ERROR line says that telemetry is off."""
    if not uwsgi.is_running() or uwsgi.has_threads():
        return True
    message = "telemetry is off: this uWSGI runs no threads of Python. Start it with --enable-threads (or --threads)"
    guard.log("uwsgi", message, level=logging.ERROR)
    return False


@functools.cache
def prepare(end: Callable[[], None], leave: Callable[[], None]) -> None:
    """Prepare for the forks and ends of servers, before the first thread. A second call changes nothing.

    Args:
        end: Called before a server ends the process by a signal that may have no handler.
        leave: Called in a process that has another one serve the app.
    """
    server_limits.say()
    when_imported(uvicorn.SERVER, functools.partial(uvicorn.after_serving, end))
    when_imported("multiprocessing.util", ending.register_in_children)
    when_imported(werkzeug.RELOADER, functools.partial(werkzeug.before_reloading, leave))
    when_imported(werkzeug.DISPATCHER, functools.partial(werkzeug.note_mounts, MOUNT_KEY))
    if uwsgi.is_running():
        if uwsgi.is_master():
            forks.start_no_threads(uwsgi.is_worker)
        uwsgi.after_fork(forks.notice)
        option = uwsgi.option_without_atexit()
        if option is not None:
            guard.log("uwsgi end", _NO_ATEXIT, option, level=logging.WARNING)
        elif not uwsgi.ends_gracefully():
            guard.log("uwsgi end", _HASTY, level=logging.WARNING)
