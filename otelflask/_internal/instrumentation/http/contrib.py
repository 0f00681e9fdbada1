"""Replace OpenTelemetry's own Flask instrumentation on an app that has it already.

Both together would make two spans and two durations a request. Contrib's `uninstrument_app` is no
solution: it removes what was wrapped around the app since, such as ProxyFix, and forgets the
user's hooks. So the user's hooks are taken over, contrib's functions are removed from the app, and
its WSGI wrapper, which others may have wrapped, passes requests through.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CellType, FunctionType, MethodType
from typing import Any

from flask import Flask
from opentelemetry.metrics import NoOpMeter

from otelflask._internal import guard
from otelflask._internal.compat.otel_instrumentation import (
    BEFORE_REQUEST,
    EXCLUDED_BY_ENVIRONMENT,
    TEARDOWN_REQUEST,
    WRAPPER,
    forget_functions,
    original_wsgi_app,
)


@dataclass
class TakenOver:
    """What the user had given to contrib; None and empty where there was nothing."""

    request_hook: Callable[..., Any] | None = None
    response_hook: Callable[..., Any] | None = None
    excluded_urls: Any = None
    enable_commenter: bool = False
    commenter_options: dict[str, Any] = field(default_factory=dict)
    tracer: Any = None
    histogram: Any = None


class _AllExcluded:
    def url_disabled(self, url: str) -> bool:
        return True


def take_over(app: Flask) -> TakenOver | None:
    """Remove contrib's instrumentation from an app.

    Returns:
        What the user had given to it; None where the app is not instrumented.
    """
    befores: list[Any] = app.before_request_funcs.get(None, [])
    teardowns: list[Any] = app.teardown_request_funcs.get(None, [])
    before = next((item for item in befores if getattr(item, "__code__", None) is BEFORE_REQUEST), None)
    if before is None:
        return None
    wrapper = _wrapper_of(app)
    if wrapper is None:
        guard.log("contrib:wrapper", "app %r keeps FlaskInstrumentor's spans beside otelflask's: take it off", app.name)
        return None
    given, around = _cells(before), _cells(wrapper)
    excluded = given["excluded_urls"].cell_contents
    taken = TakenOver(
        given["request_hook"].cell_contents,
        around["response_hook"].cell_contents,
        None if excluded is EXCLUDED_BY_ENVIRONMENT else excluded,
        bool(given["enable_commenter"].cell_contents),
        dict(given["commenter_options"].cell_contents or {}),
        given["tracer"].cell_contents,
        around["duration_histogram_new"].cell_contents or around["duration_histogram_old"].cell_contents,
    )
    befores.remove(before)
    for function in [item for item in teardowns if getattr(item, "__code__", None) is TEARDOWN_REQUEST]:
        teardowns.remove(function)
    if app.wsgi_app is wrapper:
        app.wsgi_app = around["wsgi_app"].cell_contents  # type: ignore[method-assign]
    else:
        around["excluded_urls"].cell_contents = _AllExcluded()
        around["response_hook"].cell_contents = None
        around["duration_histogram_old"].cell_contents = around["duration_histogram_new"].cell_contents = None
        around["active_requests_counter"].cell_contents = NoOpMeter("").create_up_down_counter("")
    # Contrib would use these names to remove functions that do not exist any more.
    forget_functions(app)
    return taken


def _wrapper_of(app: Flask) -> Any:
    """Contrib's wrapper of the app, wherever it is now. It refers to what it was put around."""
    inner = original_wsgi_app(app)
    for item in gc.get_referrers(WRAPPER):
        is_wrapper = isinstance(item, FunctionType) and item.__code__ is WRAPPER
        if is_wrapper and _is_same(_cells(item)["wsgi_app"].cell_contents, inner):
            return item
    return None


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, MethodType) and isinstance(other, MethodType):
        return one.__self__ is other.__self__ and one.__func__ is other.__func__
    return one is other


def _cells(function: Any) -> dict[str, CellType]:
    return dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))


class AnyOf:
    """Excludes what any of several lists excludes.

    Args:
        *lists: Objects with contrib's ``url_disabled(url)``.
    """

    def __init__(self, *lists: Any) -> None:
        self._lists = lists

    def url_disabled(self, url: str) -> bool:
        """Whether requests of this URL are excluded."""
        return any(item.url_disabled(url) for item in self._lists)


def all_of(name: str, hooks: list[Callable[..., Any]]) -> Callable[..., Any] | None:
    """A hook that calls all of these hooks, also after one has raised; None for no hooks."""
    if len(hooks) < 2:
        return hooks[0] if hooks else None

    def hook(*arguments: Any) -> None:
        for each in hooks:
            guard.call_hook(name, each, *arguments)

    return hook
