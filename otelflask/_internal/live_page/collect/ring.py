"""The latest items of one worker: appended as they are, and processed only when somebody reads them."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from opentelemetry.sdk.trace import SpanProcessor

from otelflask._internal.compat.otel_logs import LogRecordProcessor
from otelflask._internal.observers import RequestObserver
from otelflask._internal.request_record import RequestRecord

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


class Ring(RequestObserver, SpanProcessor, LogRecordProcessor):
    """The latest spans and log records. Those of failed and slow requests are kept longer.

    A request only appends. The reader selects what is kept longer. There is one reader at a time.

    Args:
        size: How many items are kept.
        notable: How many of them belong to failed or slow requests.
        slow: Seconds from which a request is slow.
    """

    #: The reader selects a request's items by its span, which must be among them.
    after_span = True
    only_ended_spans = True

    def __init__(self, size: int, notable: int, slow: float) -> None:
        self._slow = slow
        self._size = size
        self.has_ended = False
        self._notable_size = notable
        self.after_fork()

    def after_fork(self) -> None:
        self._items: deque[Any] = deque(maxlen=self._size)
        self._notable: deque[Any] = deque(maxlen=self._notable_size)
        #: Requests that nobody has read yet.
        self._requests: deque[EndedRequest] = deque(maxlen=MAX_UNCOUNTED)

    def on_end(self, span: Any) -> None:
        self._items.append(span)

    def on_emit(self, log_record: Any) -> None:
        self._items.append(log_record)

    def closed(self, record: RequestRecord) -> None:
        trace_id = record.span.get_span_context().trace_id
        failed = record.error_type is not None or record.status >= 500
        self._requests.append(
            EndedRequest(record.started_at, record.duration, record.route or "", record.status, failed, trace_id)
        )

    def drain(self) -> list[EndedRequest]:
        """Select the items of failed and slow requests, before newer items displace them.

        Returns:
            The requests that have ended since the last call.
        """
        ended = []
        while self._requests:
            ended.append(self._requests.popleft())
        wanted = {request.trace_id for request in ended if request.failed or request.duration >= self._slow}
        if wanted:
            self._notable.extend(item for item in self._newest() if trace_id_of(item) in wanted)
        return ended

    def read(self) -> list[Any]:
        """All items, oldest first. An item may occur twice."""
        return [*self._notable, *self._newest()]

    def _newest(self) -> list[Any]:
        while True:
            try:
                return list(self._items)
            except RuntimeError:
                # Another thread has appended meanwhile.
                continue

    def shutdown(self) -> None:
        """Do nothing: the provider has ended."""
        self.has_ended = True

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: no item waits."""
        return True


def trace_id_of(item: Any) -> int:
    """The trace id of a span or log record; 0 for none."""
    record = getattr(item, "log_record", None)
    if record is not None:
        return int(record.trace_id or 0)
    return int(item.get_span_context().trace_id)
