"""The latest items of one worker: appended as they are, and processed only when somebody reads them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from otelflask._internal.observers import RequestObserver
from otelflask._internal.request_record import RequestRecord
from otelflask._internal.sdk.flat_items import Flat

#: Requests that are counted from one read to the next. A thread reads four times a second.
MAX_UNCOUNTED = 100_000


class EndedRequest(NamedTuple):
    """An ended request, sampled or not. `time` is in epoch nanoseconds, `duration` in seconds."""

    time: int
    duration: float
    route: str
    status: int
    failed: bool
    trace_id: int


#: What an item is: its first element. The others are scope, message as bytes, and trace id (0 for none).
SPAN, RECORD = 0, 1


class Ring(RequestObserver):
    """The latest encoded spans and log records. Those of failed and slow requests are kept longer.

    The exporting thread only appends. The reader selects what is kept longer. There is one reader at a time.

    Args:
        size: How many items are kept.
        notable: How many of them belong to failed or slow requests.
        slow: Seconds from which a request is slow.
        catch_up: Called before a read. It appends what has ended and is not encoded yet.
    """

    #: The reader selects a request's items by its span, which must be among them.
    after_span = True

    def __init__(self, size: int, notable: int, slow: float, catch_up: Callable[[], object]) -> None:
        self._slow = slow
        self._catch_up = catch_up
        self._size = size
        self.has_ended = False
        self._notable_size = notable
        self.after_fork()

    def after_fork(self) -> None:
        self._items: deque[Flat] = deque(maxlen=self._size)
        self._notable: deque[Flat] = deque(maxlen=self._notable_size)
        #: Requests that nobody has read yet, as plain tuples, which the garbage collector does not track.
        self._requests: deque[Flat] = deque(maxlen=MAX_UNCOUNTED)

    def take_span(self, item: Flat) -> None:
        """Take an encoded span (`outputs.EncodedItem`)."""
        self._items.append((SPAN, *item))

    def take_record(self, item: Flat) -> None:
        """Take an encoded log record."""
        self._items.append((RECORD, *item))

    def end(self) -> None:
        """The provider has ended."""
        self.has_ended = True

    def closed(self, record: RequestRecord) -> None:
        trace_id = record.span_context.trace_id
        failed = record.error_type is not None or record.status >= 500
        self._requests.append((record.started_at, record.duration, record.route or "", record.status, failed, trace_id))

    def drain(self) -> list[EndedRequest]:
        """Select the items of failed and slow requests, before newer items displace them.

        Returns:
            The requests that have ended since the last call.
        """
        self._catch_up()
        ended = []
        while self._requests:
            ended.append(EndedRequest(*self._requests.popleft()))
        wanted = {request.trace_id for request in ended if request.failed or request.duration >= self._slow}
        if wanted:
            self._notable.extend(item for item in self._newest() if item[-1] in wanted)
        return ended

    def read(self) -> list[Flat]:
        """All items, oldest first. An item may occur twice."""
        return [*self._notable, *self._newest()]

    def _newest(self) -> list[Flat]:
        while True:
            try:
                return list(self._items)
            except RuntimeError:
                # Another thread has appended meanwhile.
                continue
