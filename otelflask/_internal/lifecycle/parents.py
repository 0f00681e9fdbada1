"""Detect processes that answer no request: the parent of Flask's reloader, and the masters of servers."""

from __future__ import annotations

import os
import sys

#: Servers whose workers import the app, mostly: the process that starts them answers no request.
_SERVERS = ("gunicorn", "granian", "hypercorn", "uvicorn", "uwsgi")
#: pytest warns of each module that is imported before its plugin.
_RUNNERS_OF_TESTS = ("pytest", "py.test")
#: Processes that `multiprocessing` starts for itself, by the module that they run.
_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


def is_reloader_parent() -> bool:
    """Whether Werkzeug is about to run the app in a child with ``WERKZEUG_RUN_MAIN``."""
    if os.environ.get("WERKZEUG_RUN_MAIN") == "true":
        return False
    programs = [os.path.basename(argument) for argument in sys.orig_argv[:5]]
    arguments = sys.orig_argv[programs.index("flask") + 1 :] if "flask" in programs else []
    if "run" in arguments:
        if "--no-reload" in arguments:
            return False
        debug = os.environ.get("FLASK_DEBUG", "").lower() not in ("", "0", "false", "no")
        return "--reload" in arguments or "--debug" in arguments or debug
    return False


def imports_apps_later() -> bool:
    """Whether this process has been started as a program that may never import an app.

    It is the process that watches over a server's workers, or one of them, a runner of tests, or a helper of
    `multiprocessing`.
    """
    is_helper = any(module in argument for argument in sys.orig_argv[1:] for module in _HELPERS)
    return is_helper or any(map(_runs, (*_SERVERS, *_RUNNERS_OF_TESTS)))


def _runs(program: str) -> bool:
    # Where the interpreter starts, `sys.argv` has "-m" for `python -m gunicorn`. uWSGI is an interpreter itself.
    return any(os.path.basename(argument) == program for argument in (sys.executable, *sys.orig_argv[1:5]))
