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
#: The time of a line as a label, so that a ranked line keeps it.
_AT = "label_format at=`{{ __timestamp__ | unixEpochMillis }}`"


def ranked(lines: str, value: str, labels: str, most: int = 50) -> Json:
    """The lines with the largest values, one row each.

    Args:
        lines: A LogQL query of lines.
        value: The label with the value.
        labels: The labels that a row has besides, which must tell lines apart.
        most: The number of rows.
    """
    largest = f"max_over_time({lines} | {_AT} | unwrap {value} | __error__=`` [$__range]) by ({labels}, at)"
    return loki(f"topk({most}, {largest})", instant=True)


#: Makes the label of `ranked` a number, which `AT` shows as a time.
TIME_OF_LINE = {
    "id": "convertFieldType",
    "options": {"fields": {}, "conversions": [{"targetField": "at", "destinationType": "number"}]},
}
AT = override("Time", unit="dateTimeAsSystem", custom__width=180, custom__align="left")


def slowest(title: str, description: str, lines: str) -> Json:
    """The slowest requests of request-log lines."""
    labels = "trace_id, http_request_method, url_path, http_response_status_code"
    return table(
        title,
        description,
        [ranked(lines, "http_server_request_duration", labels)],
        columns={
            "at": "Time",
            "http_request_method": "Method",
            "url_path": "Path",
            "http_response_status_code": "Status",
            "Value #A": "Duration",
            "trace_id": "Trace ID",
        },
        sort="Duration",
        transformations=[TIME_OF_LINE],
        overrides=[
            AT,
            override("Method", custom__width=75),
            override("Status", custom__width=65, unit="string"),
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
