"""Observers: what wants to know of requests. They stand in one list, in the order in which they are told."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from otelflask._internal import guard
from otelflask._internal.lifecycle.part import Part
from otelflask._internal.request_record import RequestRecord


class RequestObserver(Part):
    """Told of requests; each method does nothing unless an observer has something to do.

    All run on the request's own thread. What one raises is said, and neither
    the app nor another observer notices; but for what `again` surrounds.
    """

    #: Whether it is told of a request's end after the request's span has ended, instead of before.
    after_span: ClassVar[bool] = False

    def opened(self, record: RequestRecord) -> None:
        """A request has arrived: what came is known."""

    def failed(self, record: RequestRecord, error: Exception) -> None:
        """No handler of the app's wants this exception; its frames and the app's sessions are still as they were."""

    def closed(self, record: RequestRecord) -> None:
        """A request has ended: its record is complete."""

    def around(self, record: RequestRecord) -> AbstractContextManager[Any]:
        """What surrounds the app's code while it makes the response. Of all observers, at most one has this."""
        raise NotImplementedError

    def again(self, record: RequestRecord) -> Callable[[], AbstractContextManager[Any]] | None:
        """What surrounds the app's code while it goes on with a stream, each time; None where nothing does."""


class Observers:
    """The observers of one app's requests, in order; only those are called that have something to do.

    `opened(record)` tells all of them. `enter(record)` begins what surrounds the app's
    code, and `leave` ends what that has given; both do nothing where nothing does.
    """

    def __init__(self, observers: Iterable[RequestObserver]) -> None:
        self.all = tuple(observers)
        opened = [item.opened for item in self.all if type(item).opened is not RequestObserver.opened]
        self._failed = [item.failed for item in self.all if type(item).failed is not RequestObserver.failed]
        self._closed = [item.closed for item in self.all if type(item).closed is not RequestObserver.closed]
        surrounding = [item for item in self.all if type(item).around is not RequestObserver.around]
        self.opened = functools.partial(guard.tell_each, "opening a request", opened)
        around = surrounding[0].around if surrounding else nullcontext
        self.enter = functools.partial(guard.entered, "what surrounds a request", around)
        self.leave = functools.partial(guard.left, "what surrounds a request")
        #: `again` of the one that has it.
        self.again = surrounding[0].again if surrounding else None

    def failed(self, record: RequestRecord, error: Exception) -> None:
        """Tell all of them."""
        guard.tell_each("an exception of a request", [functools.partial(tell, record) for tell in self._failed], error)

    def closed(self, record: RequestRecord) -> None:
        """Tell all of them."""
        # Those that have joined this request alone come first: what they say belongs to it.
        rest = iter([*(item.closed for item in record.joined), *self._closed] if record.joined else self._closed)
        try:
            guard.tell_each("closing a request", rest, record)
        except BaseException:
            # What is no Exception (a signal's, a greenlet's) ends one of them, and not the others.
            for tell in rest:
                guard.call_hook("observer", tell, record)
            raise
