"""What one worker has seen lately: appended as it is, looked at later, if anybody looks."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from opentelemetry.sdk.trace import SpanProcessor

from otelflask._internal.compat.otel_logs import LogRecordProcessor
from otelflask._internal.observers import RequestObserver
from otelflask._internal.request_record import RequestRecord

#: Requests that are counted from one look to the next: a thread looks four times a second.
MAX_UNCOUNTED = 100_000


class Ended(NamedTuple):
    """A request that has ended, whether its span is sampled or not; times in epoch ns and seconds."""

    time: int
    duration: float
    route: str
    status: int
    failed: bool
    trace_id: int


class Ring(RequestObserver, SpanProcessor, LogRecordProcessor):
    """The newest spans and log records; those of requests that failed or were slow stay longer.

    In: how many items are kept, how many of them of such requests, and from
    how many seconds on a request is slow. Appends are all that a request
    costs; what is kept longer is picked out by whoever reads, one at a time.
    """

    #: Whoever picks out what belongs to a request looks for its span among the items.
    after_span = True
    told_of_ends_only = True

    def __init__(self, size: int, notable: int, slow: float) -> None:
        self._slow = slow
        self._size = size
        self.has_ended = False
        self._notable_size = notable
        self.after_fork()

    def after_fork(self) -> None:
        self._items: deque[Any] = deque(maxlen=self._size)
        self._notable: deque[Any] = deque(maxlen=self._notable_size)
        #: Requests that nobody has looked at yet.
        self._requests: deque[Ended] = deque(maxlen=MAX_UNCOUNTED)

    def on_end(self, span: Any) -> None:
        self._items.append(span)

    def on_emit(self, log_record: Any) -> None:
        self._items.append(log_record)

    def closed(self, record: RequestRecord) -> None:
        trace_id = record.span.get_span_context().trace_id
        failed = record.error_type is not None or record.status >= 500
        self._requests.append(
            Ended(record.started_at, record.duration, record.route or "", record.status, failed, trace_id)
        )

    def drain(self) -> list[Ended]:
        """Pick out what belongs to requests that failed or were slow, before newer items push it out.

        Out: the requests that have ended since the last time.
        """
        ended = []
        while self._requests:
            ended.append(self._requests.popleft())
        wanted = {request.trace_id for request in ended if request.failed or request.duration >= self._slow}
        if wanted:
            self._notable.extend(item for item in self._newest() if trace_id_of(item) in wanted)
        return ended

    def read(self) -> list[Any]:
        """All items, oldest first; one may be there twice."""
        return [*self._notable, *self._newest()]

    def _newest(self) -> list[Any]:
        while True:
            try:
                return list(self._items)
            except RuntimeError:
                # Another thread has appended meanwhile.
                continue

    def shutdown(self) -> None:
        """The provider ends: nothing more comes."""
        self.has_ended = True

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is waiting."""
        return True


def trace_id_of(item: Any) -> int:
    """The trace that a span or a log record belongs to; 0 for none."""
    record = getattr(item, "log_record", None)
    if record is not None:
        return int(record.trace_id or 0)
    return int(item.get_span_context().trace_id)
