"""Werkzeug: the moment before its development server serves, when debug mode is decided.

Source: ``werkzeug.serving.BaseWSGIServer.serve_forever``.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from werkzeug.serving import BaseWSGIServer

#: The methods to call, by the objects that have them.
_waiting: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def before_serving(listener: Any, method: str) -> None:
    """Call ``method(address, application)`` before a server begins to serve an application.

    Args:
        listener: The object. It is not kept alive.
        method: The name of its method, which must not raise. The address is such as
            ``http://127.0.0.1:5000``, and empty for a Unix socket. The application is without Werkzeug's debugger.
    """
    original: Callable[..., Any] = BaseWSGIServer.serve_forever
    # Not `__wrapped__`, which other libraries' wrappers have too.
    if not hasattr(original, "_otelflask"):

        @functools.wraps(original)
        def serve_forever(self: Any, *arguments: Any, **options: Any) -> Any:
            # Imported here, because a server in production has no debugger.
            from werkzeug.debug import DebuggedApplication

            application = self.app.app if isinstance(self.app, DebuggedApplication) else self.app
            for each, name in list(_waiting.items()):
                getattr(each, name)(_address(self), application)
            return original(self, *arguments, **options)

        serve_forever._otelflask = True  # type: ignore[attr-defined]
        BaseWSGIServer.serve_forever = serve_forever  # type: ignore[method-assign]
    _waiting[listener] = method


def _address(server: Any) -> str:
    """The address that a browser on this machine may open."""
    host = str(getattr(server, "host", ""))
    if host.startswith("unix://"):
        return ""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    scheme = "http" if getattr(server, "ssl_context", None) is None else "https"
    return f"{scheme}://{f'[{local}]' if ':' in local else local}:{server.port}"
