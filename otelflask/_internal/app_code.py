"""Tell the app's own code from installed libraries and Python."""

from __future__ import annotations

import functools
import os
import sysconfig

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARIES = tuple(
    {
        os.path.realpath(path) + os.sep
        for path in (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), sysconfig.get_path("purelib"))
        if path
    }
    | {_PACKAGE}
)
#: How libraries name the code that they make at run time. The traceback may have a folder before it.
_MADE_BY_LIBRARIES = ("<frozen", "<sqlalchemy generated", "<attrs generated", "<decorator-gen")
_DEMO = os.path.join(_PACKAGE, "demo") + os.sep


@functools.lru_cache(maxsize=4_096)
def is_in_app(path: str) -> bool:
    """Whether a source path belongs to the app. Code made at run time does, unless a library made it."""
    # The demo shop counts as an app, although it is installed with otelflask.
    if path.startswith(_DEMO):
        return True
    if "site-packages" in path or "dist-packages" in path or path.startswith(_LIBRARIES):
        return False
    return not path[path.rfind(os.sep) + 1 :].startswith(_MADE_BY_LIBRARIES)
