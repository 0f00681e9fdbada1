"""Normalise values that differ from run to run: ids become labels, and times and addresses become names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from tests.scenarios.client import CALLERS_SPAN, CALLERS_TRACE
from tests.scenarios.stacks import shown_path, without_libraries

_HEX_32 = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_HEX_16 = re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")
_UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b")
_TEXTS: list[tuple[re.Pattern[str], str]] = [
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d| UTC)?"), "<time>"),
    (re.compile(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "<date>"),
    (re.compile(r"\b\d+(\.\d+)?(e-\d+)? (ms|µs|s)\b"), "<duration>"),
    (re.compile(r"\b(127\.0\.0\.1|localhost):\d+"), r"\1:<port>"),
    (re.compile(r"\b0x[0-9a-f]{6,}"), "0x<address>"),
    (re.compile(r"\b(duration=)[\d.e-]+"), r"\1<duration>"),
    (re.compile(r"\bThread-\d+"), "Thread-<number>"),
    # The cut depends on the length of the checkout's path.
    (re.compile(r"\b(\w+ )\1{50,}[\w ]*…?"), r"\1… again and again …"),
    (re.compile(r"sqlalche\.me/e/\d+/"), "sqlalche.me/e/<version>/"),
    (re.compile(r"(?<=: otelflask )[\d.]+, Flask [\d.]+, Python [\d.]+, process \d+"), "<versions>, <process>"),
    (re.compile(r"\bWerkzeug/[\d.]+"), "Werkzeug/<version>"),
    (re.compile(r"\bSQLAlchemy-\d+"), "SQLAlchemy-<number>"),
]
#: Attributes, fields and headers that are never the same.
VOLATILE = {
    "client.port": "<port>",
    "network.peer.port": "<port>",
    "server.port": "<port>",
    "thread.id": "<thread>",
    "process.pid": "<pid>",
    "otelflask.db.query.duration": "<duration>",
    "http.server.request.duration": "<duration>",
    "otelflask.duration": "<duration>",
    "otelflask.job.duration": "<duration>",
    "otelflask.job.queue.duration": "<duration>",
    "otelflask.websocket.duration": "<duration>",
    "durationSeconds": "<duration>",
    "response_time_ms": "<duration>",
    "time": "<time>",
    "timestamp": "<time>",
    "ETag": "<etag>",
    "Set-Cookie": "<cookie>",
}
#: Attributes that are JSON.
_JSON = re.compile(r"otelflask\.error\.(tags|breadcrumbs|frames|extra)$")


class Labels:
    """Labels of one scenario's ids, in the order of their appearance.

    Args:
        folder: The folder of the run.
        known: All span ids of the run so far; new ones are added.
    """

    def __init__(self, folder: str, known: set[str]) -> None:
        self._folder = folder
        self._known = known
        self._traces: dict[str, str] = {CALLERS_TRACE: "callers-trace"}
        self._spans: dict[str, str] = {CALLERS_SPAN: "callers-span"}
        self._requests: dict[str, str] = {}
        self._others: dict[str, str] = {}

    def trace(self, trace_id: str) -> str:
        """Label of a trace id in hexadecimal digits; empty for none."""
        return self._traces.setdefault(trace_id, f"trace-{len(self._traces)}") if trace_id.strip("0") else ""

    def span(self, span_id: str) -> str:
        """Label of a span id in hexadecimal digits; empty for none."""
        self._known.add(span_id)
        return self._spans.setdefault(span_id, f"span-{len(self._spans)}") if span_id.strip("0") else ""

    def request(self, request_id: str) -> None:
        """Remember a request id that otelflask made."""
        if _HEX_32.fullmatch(request_id):
            self._requests.setdefault(request_id, f"request-id-{len(self._requests) + 1}")

    def text(self, text: str) -> str:
        """Replace ids, times, addresses and paths by labels and names."""
        text = _HEX_32.sub(lambda found: self._of_32(found[0]), text)
        text = _HEX_16.sub(lambda found: self._of_16(found[0]), text)
        text = _UUID.sub(lambda found: self._other(found[0], "uuid"), text)
        for pattern, name in _TEXTS:
            text = pattern.sub(name, text)
        return shown_path(text.replace(self._folder, "<folder>"))

    def _of_32(self, found: str) -> str:
        return self._requests.get(found) or self._traces.get(found) or self._other(found, "id")

    def _of_16(self, found: str) -> str:
        # Fingerprints of errors look the same, and stay.
        if found in self._known and found not in self._spans:
            return self._other(found, "span-before")
        return self._spans.get(found, found)

    def _other(self, found: str, kind: str) -> str:
        return self._others.setdefault(found, f"{kind}-{len(self._others) + 1}")

    def short(self, beginning: str) -> str:
        """Label of the first digits of a trace id."""
        return self._other(beginning, "short-trace")

    def value(self, value: Any, name: str = "") -> Any:
        """Normalise a value of an attribute, a field or a header. Texts of several lines become lists."""
        if name in VOLATILE:
            return VOLATILE[name]
        if isinstance(value, str):
            if _JSON.match(name) and value[:1] in "[{":
                return self.value(json.loads(value))
            if "\n" in value:
                return {"lines": self.lines(value.splitlines())}
            return self.text(value)
        if isinstance(value, bytes):
            return {"bytes": value.hex()}
        if isinstance(value, dict):
            return self._pairs(value)
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value

    def _pairs(self, values: dict[str, Any]) -> dict[str, Any]:
        shown = {self.text(key): self.value(value, key) for key, value in values.items()}
        path = shown.get("code.file.path")
        if isinstance(path, str) and path.startswith("<lib>") and "code.line.number" in shown:
            shown["code.line.number"] = "<line>"
        return shown

    def lines(self, lines: Iterable[str]) -> list[str]:
        """The lines of a text, without frames of libraries. A stack within one line is split."""
        apart = [part for line in lines for part in (line.split("\\n") if "\\n  File " in line else [line])]
        return [self.text(line) for line in without_libraries(apart)]
