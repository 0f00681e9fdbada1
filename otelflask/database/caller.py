"""Which code of the app issued a statement."""

from __future__ import annotations

import sys

from otelflask.pipeline.own_code import is_in_app

_MAX_FRAMES = 150


def calling_code() -> dict[str, str | int]:
    """``code.*`` attributes of the innermost frame that is no library's; empty where there is none."""
    frame = sys._getframe(1)
    for _ in range(_MAX_FRAMES):
        path = frame.f_code.co_filename
        # Code made at run time has no place that one could open.
        if is_in_app(path) and not path.startswith("<"):
            return {
                "code.file.path": path,
                "code.function.name": getattr(frame.f_code, "co_qualname", frame.f_code.co_name),
                "code.line.number": frame.f_lineno,
            }
        if frame.f_back is None:
            break
        frame = frame.f_back
    return {}
