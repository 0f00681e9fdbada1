"""What one worker has seen lately: appended as it is, looked at later, if anybody looks."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode


class Ring(SpanProcessor, LogRecordProcessor):
    """The newest spans and log records; those of requests that failed or were slow stay longer.

    In: how many items are kept, how many of them of such requests, and from
    how many seconds on a request is slow. An append is all that a request
    costs; what is kept longer is picked out by whoever reads.
    """

    def __init__(self, size: int, notable: int, slow: float) -> None:
        self._slow_ns = int(slow * 1e9)
        self._size = size
        self.closed = False
        self._notable_size = notable
        self.after_fork()

    def after_fork(self) -> None:
        """What the parent has seen, the parent shows."""
        self._items: deque[Any] = deque(maxlen=self._size)
        self._notable: deque[Any] = deque(maxlen=self._notable_size)
        #: Spans of requests that nobody has looked at yet.
        self._requests: deque[Any] = deque(maxlen=self._size)
        self._lock = threading.Lock()

    def on_end(self, span: Any) -> None:
        self._items.append(span)
        if span.kind is SpanKind.SERVER:
            self._requests.append(span)

    def on_emit(self, log_record: Any) -> None:
        self._items.append(log_record)

    def drain(self) -> list[Any]:
        """Pick out what belongs to requests that failed or were slow, before newer items push it out.

        Out: the spans of requests that have ended since the last time.
        """
        with self._lock:
            ended = []
            while self._requests:
                ended.append(self._requests.popleft())
            wanted = {trace_id_of(span) for span in ended if self._is_notable(span)}
            if wanted:
                self._notable.extend(item for item in self._newest() if trace_id_of(item) in wanted)
            return ended

    def _is_notable(self, span: Any) -> bool:
        failed = span.status.status_code is StatusCode.ERROR
        return failed or span.end_time - span.start_time >= self._slow_ns

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
        self.closed = True

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is waiting."""
        return True


def trace_id_of(item: Any) -> int:
    """The trace that a span or a log record belongs to; 0 for none."""
    record = getattr(item, "log_record", None)
    if record is not None:
        return int(record.trace_id or 0)
    return int(item.get_span_context().trace_id)
