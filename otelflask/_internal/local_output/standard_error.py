"""The stream for lines that people and programs read."""

from __future__ import annotations

import sys
from typing import TextIO


def standard_error() -> TextIO:
    """`sys.stderr`; the process's own where a worker of Celery makes log lines of what is written to `sys.stderr`."""
    stream = sys.stderr
    is_redirected = type(stream).__module__ == "celery.utils.log"
    return sys.__stderr__ if is_redirected and sys.__stderr__ is not None else stream
