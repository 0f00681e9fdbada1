"""The receiver of the matrix, which may be up, down or hanging, and what came to it from each process."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from otelflask.testing import FakeCollector, Reply
from tests.matrix.apps import LINE, PATH, ROUTE
from tests.servers import free_port

UP, DOWN, HANGING = "up", "down", "hanging"
#: Metrics about telemetry that was dropped, by the words of the log line at the end of a process.
_DROPPED = {
    "otel.sdk.processor.span.processed": "spans",
    "otel.sdk.exporter.span.exported": "spans",
    "otel.sdk.processor.log.processed": "log records",
    "otel.sdk.exporter.log.exported": "log records",
}


class Sink:
    """A fake collector at one address. `state` is UP, DOWN or HANGING."""

    def __init__(self) -> None:
        self.collector = FakeCollector()
        self._port = free_port()
        self.state = DOWN
        #: When it was last up, in time.time seconds; None while it is.
        self.away_since: float | None = time.time()
        #: When it first went away, if it did.
        self.first_away: float | None = None
        self.become(UP)

    def environment(self) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._port}"}

    def become(self, state: str) -> None:
        """Change the state. What hangs gets no answer, also when the collector is up again."""
        if state == self.state:
            return
        if state == UP:
            self.collector.default = Reply()
        if self.state == HANGING:
            self.collector.stopping.set()
            time.sleep(0.1)
            self.collector.stopping.clear()
        elif self.state == DOWN:
            self.collector.start(self._port)
        if state == DOWN:
            self.collector.stop()
        elif state == HANGING:
            self.collector.default = Reply(hang=True)
        self.away_since = None if state == UP else self.away_since or time.time()
        self.first_away = self.first_away or self.away_since
        self.state = state


@dataclass
class Arrived:
    """What came from one process: how often each number came as a signal, and counts.

    Attributes:
        spans: Numbers of spans.
        request_logs: Numbers of request logs.
        lines: Numbers of the app's log lines.
        instances: The values of ``service.instance.id``.
        durations: Requests in its last ``http.server.request.duration``.
        dropped: What it says that it has dropped, by signal.
    """

    spans: Counter[int] = field(default_factory=Counter)
    request_logs: Counter[int] = field(default_factory=Counter)
    lines: Counter[int] = field(default_factory=Counter)
    instances: set[str] = field(default_factory=set)
    durations: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def arrived(collector: FakeCollector) -> dict[int, Arrived]:
    """What came, by process id."""
    found: dict[int, Arrived] = defaultdict(Arrived)
    for span in collector.spans:
        item = found[int(span.resource["process.pid"])]
        item.instances.add(str(span.resource["service.instance.id"]))
        path = str(span.attributes.get("url.path", ""))
        if path.startswith(PATH):
            item.spans[int(path.removeprefix(PATH))] += 1
    for record in collector.logs:
        item = found[int(record.resource["process.pid"])]
        item.instances.add(str(record.resource["service.instance.id"]))
        path = str(record.attributes.get("url.path", ""))
        if record.name.startswith(LINE):
            item.lines[int(record.name.removeprefix(LINE))] += 1
        elif path.startswith(PATH):
            item.request_logs[int(path.removeprefix(PATH))] += 1
    for resource, attributes, point in collector.points("http.server.request.duration"):
        item = found[int(resource["process.pid"])]
        item.instances.add(str(resource["service.instance.id"]))
        if attributes.get("http.route") == ROUTE:
            item.durations += point.count
    for name, signal in _DROPPED.items():
        for resource, attributes, point in collector.points(name):
            if "error.type" in attributes:
                found[int(resource["process.pid"])].dropped[signal] += int(point.as_int or point.as_double)
    return dict(found)
