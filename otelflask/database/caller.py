"""Which code of the app issued a statement."""

from __future__ import annotations

import os
import sys
import sysconfig

_LIBRARIES = tuple(
    {
        os.path.realpath(path) + os.sep
        for path in (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), sysconfig.get_path("purelib"))
    }
    | {os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep}
)
_DEMO = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "demo") + os.sep
_MAX_FRAMES = 150


def calling_code() -> dict[str, str | int]:
    """``code.*`` attributes of the innermost frame that is no library's; empty where there is none."""
    frame = sys._getframe(1)
    for _ in range(_MAX_FRAMES):
        path = frame.f_code.co_filename
        # The demo shop is an app, wherever otelflask is installed.
        if path.startswith(_DEMO) or not (
            path.startswith("<") or "site-packages" in path or "dist-packages" in path or path.startswith(_LIBRARIES)
        ):
            return {
                "code.file.path": path,
                "code.function.name": getattr(frame.f_code, "co_qualname", frame.f_code.co_name),
                "code.line.number": frame.f_lineno,
            }
        if frame.f_back is None:
            break
        frame = frame.f_back
    return {}
