"""Detect processes that only watch over others: the parent of Flask's reloader, and gunicorn's master."""

from __future__ import annotations

import os
import sys


def is_reloader_parent() -> bool:
    """Whether Werkzeug is about to run the app in a child with ``WERKZEUG_RUN_MAIN``."""
    if os.environ.get("WERKZEUG_RUN_MAIN") == "true":
        return False
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    if program in ("flask", "__main__.py") and "run" in sys.argv:
        arguments = sys.argv
        if "--no-reload" in arguments:
            return False
        debug = os.environ.get("FLASK_DEBUG", "").lower() not in ("", "0", "false", "no")
        return "--reload" in arguments or "--debug" in arguments or debug
    return False


def runs_gunicorn() -> bool:
    """Whether this process has been started as gunicorn: it is the master, or one of its workers."""
    # Where the interpreter starts, `sys.argv` has "-m" for `python -m gunicorn`.
    return any(os.path.basename(argument) == "gunicorn" for argument in sys.orig_argv[1:5])
