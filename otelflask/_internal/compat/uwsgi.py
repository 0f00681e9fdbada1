"""uWSGI: forks that Python does not know of, and processes without threads.

uWSGI forks its workers in C, after it has imported the app. ``os.register_at_fork`` is called only with
``--py-call-osafterfork``. Sources: uWSGI, ``plugins/python/python_plugin.c`` (``uwsgi_python_post_fork``)
and ``uwsgidecorators.py``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

_HOOK = "post_fork_hook"
#: An action of uWSGI's hooks: the workers finish their requests, and end as they would at a reload.
_GRACEFUL = b"gracefully_kill_them_all"
#: Options with which no process runs Python's ``atexit``. Source: uWSGI, ``uwsgi_python_atexit``.
_WITHOUT_ATEXIT = ("gevent", "async", "ugreen", "skip-atexit")


def _uwsgi() -> Any:
    # Only in a process of uWSGI. Its embedded interpreter has the module from the start.
    return sys.modules.get("uwsgi")


def is_running() -> bool:
    """Whether this process is one of uWSGI."""
    return hasattr(_uwsgi(), "opt")


def has_threads() -> bool:
    """Whether threads of Python run while uWSGI waits for a request.

    From 2.0.27 on they do; before, with ``--enable-threads`` or ``--threads``. Under gevent they are greenlets.
    """
    uwsgi = _uwsgi()
    return bool(getattr(uwsgi, "has_threads", True)) or "gevent" in uwsgi.opt


def master_pid() -> int:
    """The process that forks the others; 0 without a master."""
    return int(_uwsgi().masterpid())


def is_master() -> bool:
    """Whether this process has imported the app, and forks its workers in C from now on."""
    return master_pid() == os.getpid()


def is_worker() -> bool:
    """Whether this process answers requests."""
    return bool(_uwsgi().worker_id())


def ends_gracefully() -> bool:
    """Whether uWSGI lets a busy worker finish. Otherwise it ends one by ``exit``, without ``atexit``."""
    if not master_pid():
        # Only a master runs hooks.
        return False
    for value in _uwsgi().opt.values():
        # An option that is given twice is a list; one without a value is True.
        items = value if isinstance(value, list) else [value]
        if any(isinstance(item, bytes) and _GRACEFUL in item for item in items):
            return True
    return False


def option_without_atexit() -> str | None:
    """An option with which a worker ends without `atexit`, if one is given."""
    return next((name for name in _WITHOUT_ATEXIT if name in _uwsgi().opt), None)


def after_fork(action: Callable[[], None]) -> None:
    """Call a function in each worker after its fork, beside what the app has registered so far.

    What the app registers later replaces it, as does the import of ``uwsgidecorators``.
    """
    uwsgi = _uwsgi()
    before = getattr(uwsgi, _HOOK, None)

    def hook() -> None:
        action()
        if before is not None:
            before()

    setattr(uwsgi, _HOOK, hook)
