"""Takes the place of OpenTelemetry's own Flask instrumentation on an app that has it already.

Both together would make two spans and two durations of a request. Contrib's
`uninstrument_app` is no way: it takes off whatever stands around the app since,
such as ProxyFix, and forgets the user's hooks. So what the user gave it is
taken over, and what it left on the app is taken off, or made to see nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CellType, FunctionType
from typing import Any

from flask import Flask
from opentelemetry.instrumentation import flask as contrib
from opentelemetry.metrics import NoOpMeter

from otelflask import guard

#: Objects looked at to find contrib's wrapper among what stands around the app.
_MAX_LOOKED_AT = 1_000


@dataclass
class TakenOver:
    """What the user had given contrib; None and empty where nothing."""

    request_hook: Callable[..., Any] | None = None
    response_hook: Callable[..., Any] | None = None
    excluded_urls: Any = None
    enable_commenter: bool = False
    commenter_options: dict[str, Any] = field(default_factory=dict)
    tracer: Any = None


class _AllExcluded:
    def url_disabled(self, url: str) -> bool:
        return True


def take_over(app: Flask) -> TakenOver:
    """Take contrib's instrumentation off the app. Out: what it was given; nothing where the app has none."""
    taken = TakenOver()
    left: list[list[Any]] = [app.before_request_funcs.get(None, []), app.teardown_request_funcs.get(None, [])]
    for functions in left:
        for function in [item for item in functions if _is_contribs(item)]:
            functions.remove(function)
            cells = _cells(function)
            if "request_hook" in cells:
                taken.request_hook = cells["request_hook"].cell_contents
                taken.tracer = cells["tracer"].cell_contents
                taken.enable_commenter = cells["enable_commenter"].cell_contents
                taken.commenter_options = dict(cells["commenter_options"].cell_contents or {})
                excluded = cells["excluded_urls"].cell_contents
                taken.excluded_urls = None if excluded is contrib._excluded_urls_from_env else excluded
    wrapper = next(filter(_is_contribs, _around(app)), None)
    if wrapper is not None:
        cells = _cells(wrapper)
        taken.response_hook = cells["response_hook"].cell_contents
        if app.wsgi_app is wrapper:
            app.wsgi_app = cells["wsgi_app"].cell_contents  # type: ignore[method-assign]
        else:
            _blind(cells)
    return taken


def _blind(cells: dict[str, CellType]) -> None:
    """Let contrib's wrapper, around which others stand, hand requests through."""
    cells["excluded_urls"].cell_contents = _AllExcluded()
    cells["response_hook"].cell_contents = None
    cells["duration_histogram_old"].cell_contents = cells["duration_histogram_new"].cell_contents = None
    cells["active_requests_counter"].cell_contents = NoOpMeter("").create_up_down_counter("")


def _is_contribs(item: Any) -> bool:
    return isinstance(item, FunctionType) and item.__module__ == contrib.__name__


def _cells(function: Any) -> dict[str, CellType]:
    return dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))


def _around(app: Flask) -> Iterator[Any]:
    """What stands around the app's own `wsgi_app`, as far as functions and objects say what they stand around."""
    waiting, seen = [app.wsgi_app], {id(app)}
    while waiting and len(seen) < _MAX_LOOKED_AT:
        item: Any = waiting.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        inner = [content for cell in getattr(item, "__closure__", None) or () for content in _contents(cell)]
        if not isinstance(item, type):
            inner += getattr(item, "__dict__", {}).values()
        waiting += [found for found in inner if callable(found) and not isinstance(found, type)]


def _contents(cell: CellType) -> tuple[Any, ...]:
    """What is in a cell; nothing where its variable is not set yet."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def both(first: Callable[..., Any] | None, second: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """A hook that calls both, whatever one of them does."""
    if first is None or second is None or first is second:
        return first or second

    def hook(*arguments: Any) -> None:
        for each in (first, second):
            guard.call_hook(getattr(each, "__name__", "hook"), each, *arguments)

    return hook
