"""Tables of single requests: the slowest from the request log, the newest from the traces."""

from __future__ import annotations

from grafana.source.colors import override
from grafana.source.panels import table
from grafana.source.queries import TRACE_LINK, Json, loki, traceql

#: Tempo's fields of a search, and Grafana's headings for them.
TRACE_COLUMNS = {"traceID": "Trace ID", "startTime": "Start time", "traceName": "Name", "traceDuration": "Duration"}
TRACE_WIDTHS = [
    override("Trace ID", custom__width=130),
    override("Start time", custom__width=180),
    override("Duration", custom__width=95),
]
#: Tempo's field with the id of a span's trace.
TRACE_OF_SPAN = "traceIdHidden"
#: The time of a line as a label, so that a ranked line keeps it.
_AT = "label_format at=`{{ __timestamp__ | unixEpochMillis }}`"


def slowest(
    title: str,
    description: str,
    lines: str,
    *,
    value: str,
    columns: dict[str, str],
    overrides: list[Json],
    more: str = "",
) -> Json:
    """A table of the fifty lines with the largest durations.

    Args:
        title: The panel's title.
        description: What it answers.
        lines: A LogQL query of lines.
        value: The label with the duration in seconds.
        columns: Labels and their headings. Time, duration and trace are there besides.
        overrides: For these columns.
        more: Further labels that tell lines apart.
    """
    labels = ", ".join(filter(None, (*columns, "trace_id", more)))
    largest = f"max_over_time({lines} | {_AT} | unwrap {value} | __error__=`` [$__range]) by ({labels}, at)"
    return table(
        title,
        description,
        [loki(f"topk(50, {largest})", instant=True)],
        columns={"at": "Time", **columns, "Value #A": "Duration", "trace_id": "Trace ID"},
        sort="Duration",
        # The label becomes a number, which is shown as a time.
        transformations=[
            {
                "id": "convertFieldType",
                "options": {"fields": {}, "conversions": [{"targetField": "at", "destinationType": "number"}]},
            }
        ],
        overrides=[
            override("Time", unit="dateTimeAsSystem", custom__width=180, custom__align="left"),
            *overrides,
            override("Duration", unit="s", custom__width=95),
            override("Trace ID", custom__width=130, links=[TRACE_LINK]),
        ],
    )


def newest(title: str, description: str, query: str) -> Json:
    """The newest traces of a TraceQL query."""
    return table(
        title,
        description,
        [traceql(query)],
        columns=TRACE_COLUMNS,
        sort="Start time",
        overrides=TRACE_WIDTHS,
    )


def newest_spans(
    title: str, description: str, query: str, *, attributes: dict[str, str], overrides: list[Json] | None = None
) -> Json:
    """The newest spans of a TraceQL query, where the name of the trace would be that of another work.

    Args:
        title: The panel's title.
        description: What it answers.
        query: A TraceQL query of spans.
        attributes: Attributes of the spans and their headings.
        overrides: For these columns.
    """
    asked = ", ".join(f"span.{name}" for name in attributes)
    return table(
        title,
        description,
        [traceql(f"{query} | select({asked})", spans=True)],
        columns={
            "Start time": "Start time",
            **attributes,
            "Duration": "Duration",
            "Span ID": "Span",
            TRACE_OF_SPAN: TRACE_OF_SPAN,
        },
        sort="Start time",
        overrides=[
            override("Start time", custom__width=160),
            *(overrides or []),
            override("Duration", custom__width=75),
            override("Span", custom__width=135),
            # The link of the span needs it.
            override(TRACE_OF_SPAN, custom__hideFrom__viz=True),
        ],
    )
