"""Werkzeug: its development server and reloader, its dispatcher of apps, and its test client.

Sources: ``werkzeug.serving.BaseWSGIServer.serve_forever``, ``werkzeug._reloader.run_with_reloader``,
``werkzeug.middleware.dispatcher.DispatcherMiddleware``, ``werkzeug.test.run_wsgi_app``.
"""

from __future__ import annotations

import functools
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any

from werkzeug.serving import BaseWSGIServer

from otelflask._internal.compat.python import current_frame

#: What to call with a server, before it serves.
_before_serving: list[Callable[[Any], None]] = []
#: The methods to call, by the objects that have them.
_waiting: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def _when_serving(action: Callable[[Any], None]) -> None:
    """Call a function with each server before it begins to serve. A second call with the same one changes nothing."""
    original: Callable[..., Any] = BaseWSGIServer.serve_forever
    # Not `__wrapped__`, which other libraries' wrappers have too.
    if not hasattr(original, "_otelflask"):

        @functools.wraps(original)
        def serve_forever(self: Any, *arguments: Any, **options: Any) -> Any:
            for each in _before_serving:
                each(self)
            return original(self, *arguments, **options)

        serve_forever._otelflask = True  # type: ignore[attr-defined]
        BaseWSGIServer.serve_forever = serve_forever  # type: ignore[method-assign]
    if action not in _before_serving:
        _before_serving.append(action)


def before_serving(listener: Any, method: str) -> None:
    """Call ``method(address, application)`` before a server begins to serve an application.

    Args:
        listener: The object. It is not kept alive.
        method: The name of its method, which must not raise. The address is such as
            ``http://127.0.0.1:5000``, and empty for a Unix socket. The application is without Werkzeug's debugger.
    """
    _when_serving(_call_listeners)
    _waiting[listener] = method


def _call_listeners(server: Any) -> None:
    # Imported here, because a server in production has no debugger.
    from werkzeug.debug import DebuggedApplication

    application = server.app.app if isinstance(server.app, DebuggedApplication) else server.app
    for each, name in list(_waiting.items()):
        getattr(each, name)(_address(server), application)


def note_kind(action: Callable[[bool], None]) -> None:
    """Call ``action(is_forking)`` before a server begins to serve: whether each request has a process."""
    _when_serving(lambda server: action(bool(server.multiprocess)))


#: Frames between a test client and an app: those of middleware.
_MAX_FRAMES = 50


def is_called_by_test_client() -> bool:
    """Whether Werkzeug's test client has called the app, on this thread's stack."""
    client = sys.modules.get("werkzeug.test")
    if client is None:
        return False
    code, frame = client.run_wsgi_app.__code__, current_frame(1)
    for _ in range(_MAX_FRAMES):
        if frame.f_code is code:
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False


#: The module of the dispatcher, and that of the reloader. Most processes import neither.
DISPATCHER, RELOADER = "werkzeug.middleware.dispatcher", "werkzeug._reloader"


def note_mounts(key: str) -> None:
    """Have Werkzeug's dispatchers say in the WSGI environ where they have mounted an app.

    Args:
        key: The key of that path.
    """
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    original: Callable[..., Any] = DispatcherMiddleware.__call__

    @functools.wraps(original)
    def call(self: Any, environ: dict[str, Any], start_response: Any) -> Any:
        # As it searches itself.
        mount = environ.get("PATH_INFO", "")
        while "/" in mount and mount not in self.mounts:
            mount = mount.rpartition("/")[0]
        environ[key] = environ.get(key, "") + mount
        return original(self, environ, start_response)

    DispatcherMiddleware.__call__ = call  # type: ignore[method-assign]


def before_reloading(leave: Callable[[], None]) -> None:
    """Call a function in a process that only watches files and has another one serve: the reloader's parent."""
    from werkzeug import _reloader

    original: Callable[..., Any] = _reloader.run_with_reloader

    @functools.wraps(original)
    def run_with_reloader(*arguments: Any, **options: Any) -> Any:
        if os.environ.get("WERKZEUG_RUN_MAIN") != "true":
            leave()
        return original(*arguments, **options)

    _reloader.run_with_reloader = run_with_reloader


def _address(server: Any) -> str:
    """The address that a browser on this machine may open."""
    host = str(getattr(server, "host", ""))
    if host.startswith("unix://"):
        return ""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    scheme = "http" if getattr(server, "ssl_context", None) is None else "https"
    return f"{scheme}://{f'[{local}]' if ':' in local else local}:{server.port}"
