"""The console view: each ended request as a tree of spans, with its log lines and its error in place.

It is made for a developer's terminal. A span and a log processor feed it. Values are masked before
they are printed. It is bounded: traces that never end are dropped.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from otelflask._internal import event_names, guard
from otelflask._internal.app_code import is_in_app
from otelflask._internal.compat.otel_logs import LogRecordProcessor
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.limits import clean_text
from otelflask._internal.local_output.lines import escaping
from otelflask._internal.locks import new_lock
from otelflask._internal.redaction import Scrubber

#: Events that a request's tree shows in another form, or not at all.
_SHOWN_OTHERWISE = frozenset({event_names.REQUEST, *event_names.REPORTS, event_names.ERROR_GROUP})
#: The most unfinished traces, and the most items of one trace.
MAX_TRACES = 500
MAX_ITEMS = 400
_WIDTH = 118
_FILE = re.compile(r'File "([^"]+)"')
_COLOURS = {"red": "31", "yellow": "33", "green": "32", "blue": "34", "grey": "90", "bold": "1"}
_without_controls = escaping(dict.fromkeys([*range(32), *range(127, 160), 8232, 8233], "·"))


@dataclass
class _Trace:
    spans: list[ReadableSpan] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)


class ConsoleView(Component, SpanProcessor, LogRecordProcessor):
    """Prints a request's trace when its SERVER span ends. Other traces are not printed.

    Args:
        stream: Where to print.
        scrubber: Masks secrets.
        colour: Whether to use colours (default: on a terminal without ``NO_COLOR``).
    """

    takes_last = True

    only_ended_spans = True

    def __init__(self, stream: TextIO, scrubber: Scrubber, colour: bool | None = None) -> None:
        self._stream = stream
        self._scrubber = scrubber
        self._colour = stream.isatty() and "NO_COLOR" not in os.environ if colour is None else colour
        self._lock = new_lock()
        self.after_fork()

    def after_fork(self) -> None:
        self._traces: OrderedDict[int, _Trace] = OrderedDict()

    def _trace(self, trace_id: int) -> _Trace:
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = _Trace()
            if len(self._traces) > MAX_TRACES:
                self._traces.popitem(last=False)
        return trace

    def on_end(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if context is None:
            return
        is_root = span.parent is None or span.parent.is_remote
        with self._lock:
            trace = self._trace(context.trace_id)
            if len(trace.spans) < MAX_ITEMS or is_root:
                trace.spans.append(span)
            if is_root:
                del self._traces[context.trace_id]
        if is_root and span.kind is SpanKind.SERVER:
            self._write(trace, span)

    @guard.guarded("writing the console view")
    def _write(self, trace: _Trace, root: ReadableSpan) -> None:
        self._stream.write("\n".join(self._lines(trace, root)) + "\n")
        self._stream.flush()

    def on_emit(self, log_record: Any) -> None:
        record = log_record.log_record
        # The tree itself is the request, and an error stands where it was logged.
        if not record.trace_id or record.event_name in _SHOWN_OTHERWISE:
            return
        with self._lock:
            trace = self._trace(record.trace_id)
            if len(trace.records) < MAX_ITEMS:
                trace.records.append(record)

    def shutdown(self) -> None:
        """Do nothing: no trace waits."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: no trace waits."""
        return True

    def _lines(self, trace: _Trace, root: ReadableSpan) -> Iterator[str]:
        children: dict[int, list[Any]] = {}
        known = {span.get_span_context().span_id for span in trace.spans}  # type: ignore[union-attr]
        root_id = root.get_span_context().span_id  # type: ignore[union-attr]
        for span in trace.spans:
            if span is not root:
                parent = span.parent.span_id if span.parent is not None else root_id
                children.setdefault(parent if parent in known else root_id, []).append((span.start_time, span))
        for record in trace.records:
            owner = record.span_id if record.span_id in known else root_id
            children.setdefault(owner, []).append((record.timestamp, record))
        yield self._span_line(root)
        raised = [event.attributes or {} for event in root.events if event.name == "exception"]
        yield from self._children(root_id, children, "", has_error_below=bool(raised))
        for attributes in raised:
            yield from self._error_lines(attributes, "   ")

    def _children(
        self, parent: int, children: dict[int, list[Any]], indent: str, has_error_below: bool
    ) -> Iterator[str]:
        """The lines of a span's children.

        Args:
            parent: The span's id.
            children: The children by this id, with their times.
            indent: What is in front of them.
            has_error_below: Whether the exception of the request follows. Flask logs it too.
        """
        items = sorted(children.get(parent, ()), key=lambda item: item[0] or 0)
        for position, (_, item) in enumerate(items):
            last = position == len(items) - 1
            branch = self._paint("grey", indent + ("└─ " if last else "├─ "))
            below = indent + ("   " if last else "│  ")
            if isinstance(item, ReadableSpan):
                yield branch + self._span_line(item)
                context = item.get_span_context()
                if context is not None and len(indent) < 60:
                    yield from self._children(context.span_id, children, below, has_error_below)
            else:
                colour = "red" if (item.severity_number.value >= 17) else "yellow"
                if item.severity_number.value < 13:
                    colour = "blue"
                yield branch + self._paint(colour, item.severity_text) + " " + self._text(str(item.body), 90)
                attributes = item.attributes or {}
                if "exception.type" in attributes and not has_error_below:
                    yield from self._error_lines(attributes, below)

    def _span_line(self, span: ReadableSpan) -> str:
        attributes = span.attributes or {}
        milliseconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e6
        failed = span.status.status_code is StatusCode.ERROR
        if span.kind is SpanKind.SERVER:
            status = int(str(attributes.get("http.response.status_code", 0)))
            colour = "red" if status >= 500 or failed else "yellow" if status >= 400 else "green"
            context = span.get_span_context()
            label = f"{attributes.get('http.request.method', '')} {attributes.get('url.path', '')}"
            trace_id = self._paint("grey", f" trace {context.trace_id:032x}") if context is not None else ""
            return (
                f"{self._paint(colour, str(status))} {self._paint('bold', self._text(label, 60))} "
                f"{milliseconds:.1f} ms{trace_id}"
            )
        label = str(attributes.get("db.query.text") or span.name)
        mark = self._paint("red", "✗ ") if failed else ""
        return f"{mark}{self._text(label, 90)} {self._paint('grey', f'{milliseconds:.1f} ms')}"

    def _error_lines(self, attributes: Mapping[str, Any], indent: str) -> Iterator[str]:
        """An exception, and its last two frames: of the app, where it has some."""
        start = self._paint("grey", indent)
        kind, message = attributes.get("exception.type"), attributes.get("exception.message")
        yield start + self._paint("red", self._text(f"{kind}: {message}", _WIDTH))
        lines = [line.strip() for line in str(attributes.get("exception.stacktrace", "")).splitlines()]
        frames = [(line, is_in_app(file[1])) for line in lines if (file := _FILE.match(line))]
        own = [line for line, is_own in frames if is_own]
        for line in (own or [line for line, _ in frames])[-2:]:
            yield start + self._paint("grey", self._text(line, _WIDTH))

    def _text(self, text: str, width: int) -> str:
        """One line: masked, without control characters, cut to `width` characters."""
        text = _without_controls(clean_text(self._scrubber.text(" ".join(text[:4_096].split()))))
        return text if len(text) <= width else text[: width - 1] + "…"

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._colour else text


def attach_tree(pipeline: Any, stream: TextIO) -> ConsoleView | None:
    """Print the pipeline's traces to `stream`.

    Returns:
        The view; None where the providers take no processors.
    """
    if not hasattr(pipeline.tracer_provider, "add_span_processor"):
        return None
    view = ConsoleView(stream, pipeline.scrubber)
    pipeline.tracer_provider.add_span_processor(view)
    if hasattr(pipeline.logger_provider, "add_log_record_processor"):
        pipeline.logger_provider.add_log_record_processor(view)
    return view
