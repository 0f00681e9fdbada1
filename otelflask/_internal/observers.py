"""Observers of requests, in one list. They are called in its order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from otelflask._internal import guard
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.request_record import RequestRecord


class RequestObserver(Component):
    """Base class of observers. Each method does nothing by default.

    All methods run on the request's thread. An exception of one is logged; the app and the other
    observers do not notice it. Only what `stream_context` surrounds may raise into the app.
    """

    #: Whether `closed` is called after the request's span has ended, instead of before.
    after_span: ClassVar[bool] = False

    def opened(self, record: RequestRecord) -> None:
        """Called when a request has arrived."""

    def failed(self, record: RequestRecord, error: Exception) -> None:
        """Called when no handler of the app takes an exception. Frames and sessions are still intact."""

    def closed(self, record: RequestRecord) -> None:
        """Called when a request has ended and its record is complete."""

    def around(self, record: RequestRecord) -> AbstractContextManager[Any]:
        """A context manager around the app's code while it makes the response. At most one observer has one."""
        raise NotImplementedError

    def stream_context(self, record: RequestRecord) -> Callable[[], AbstractContextManager[Any]] | None:
        """What makes a context manager around each further step of a stream; None where there is none."""


class Observers:
    """The observers of one app's requests, in order. Only overridden methods are called.

    `opened(record)` calls all observers. `enter(record)` enters what surrounds the app's code and
    returns it, and `leave` exits it. Both do nothing where no observer surrounds the app.
    """

    def __init__(self, observers: Iterable[RequestObserver]) -> None:
        self.all = tuple(observers)
        opened = [item.opened for item in self.all if type(item).opened is not RequestObserver.opened]
        self._failed = [item.failed for item in self.all if type(item).failed is not RequestObserver.failed]
        self._closed = [item.closed for item in self.all if type(item).closed is not RequestObserver.closed]
        surrounding = [item for item in self.all if type(item).around is not RequestObserver.around]
        self.opened = functools.partial(guard.notify_each, "opening a request", opened)
        around = surrounding[0].around if surrounding else nullcontext
        self.enter = functools.partial(guard.enter, "what surrounds a request", around)
        self.leave = functools.partial(guard.leave, "what surrounds a request")
        #: The `stream_context` of the one observer that surrounds the app.
        self.stream_context = surrounding[0].stream_context if surrounding else None

    def failed(self, record: RequestRecord, error: Exception) -> None:
        """Call `failed` of all observers."""
        guard.notify_each(
            "an exception of a request", [functools.partial(tell, record) for tell in self._failed], error
        )

    def closed(self, record: RequestRecord) -> None:
        """Call `closed` of all observers."""
        # Observers of this one request come first, because what they record belongs to it.
        rest = iter([*(item.closed for item in record.joined), *self._closed] if record.joined else self._closed)
        try:
            guard.notify_each("closing a request", rest, record)
        except BaseException:
            # A BaseException (from a signal handler or a greenlet) ends one of them, and not the others.
            for tell in rest:
                guard.call_hook("observer", tell, record)
            raise
