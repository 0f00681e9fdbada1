"""Observers of requests. They are called in the order of the list that `Observers` gets."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from otelflask._internal import guard
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.request_record import RequestRecord


class RequestObserver(Component):
    """Base class of observers. Each method but `around` does nothing by default.

    The methods of a request run in its thread. An exception of one is logged; the app and the other
    observers do not notice it. The context managers of `stream_context` are not guarded.
    """

    #: Whether `closed` is called after the request's span has ended, instead of before. `InstrumentedApp` reads it.
    after_span: ClassVar[bool] = False

    def opened(self, record: RequestRecord) -> None:
        """Called when a request has arrived."""

    def failed(self, record: RequestRecord, error: Exception) -> None:
        """Called from `Flask.handle_exception`: the app has no error handler for this exception.

        Its frames still exist, and database sessions are not rolled back yet. A handler for status 500 may still
        answer.
        """

    def closed(self, record: RequestRecord) -> None:
        """Called when a request has ended and its record is complete."""

    def around(self, record: RequestRecord) -> AbstractContextManager[Any]:
        """A context manager around the app's code while it makes the response. At most one observer has one."""
        raise NotImplementedError

    def stream_context(self, record: RequestRecord) -> Callable[[], AbstractContextManager[Any]] | None:
        """Return a factory of context managers, one for each chunk of a streamed response. None for no context."""


class Observers:
    """The observers of one app's requests, in order. Only overridden methods are called.

    `opened(record)` calls all observers. `enter(record)` enters the context manager of the observer
    with `around`, and returns it. `leave` exits it. Without such an observer both do nothing.
    """

    def __init__(self, observers: Iterable[RequestObserver]) -> None:
        self.all = tuple(observers)
        opened = [item.opened for item in self.all if type(item).opened is not RequestObserver.opened]
        self._failed = [item.failed for item in self.all if type(item).failed is not RequestObserver.failed]
        self._closed = [item.closed for item in self.all if type(item).closed is not RequestObserver.closed]
        surrounding = [item for item in self.all if type(item).around is not RequestObserver.around]
        self.opened = functools.partial(guard.notify_each, "opening a request", opened)
        around = surrounding[0].around if surrounding else nullcontext
        self.enter = functools.partial(guard.enter, "entering a request's scopes", around)
        self.leave = functools.partial(guard.leave, "leaving a request's scopes")
        #: The `stream_context` of the one observer that surrounds the app.
        self.stream_context = surrounding[0].stream_context if surrounding else None

    def failed(self, record: RequestRecord, error: Exception) -> None:
        """Call `failed` of all observers."""
        guard.notify_each(
            "handling an exception of a request",
            [functools.partial(listener, record) for listener in self._failed],
            error,
        )

    def closed(self, record: RequestRecord) -> None:
        """Call `closed` of all observers."""
        # The request's own come first: their log records are emitted before the request's span ends.
        rest = iter(
            [*(item.closed for item in record.own_observers), *self._closed] if record.own_observers else self._closed
        )
        try:
            guard.notify_each("closing a request", rest, record)
        except BaseException:
            # A BaseException (from a signal handler or a greenlet) ends one of them. `rest` goes on behind it.
            for listener in rest:
                guard.call_hook("observer of a request", listener, record)
            raise
