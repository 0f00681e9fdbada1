"""The first row of a dashboard: how old its data are, whether each source answers, and which alerts fire.

Figures stay on a page when nothing new arrives, and an empty panel looks the same whether nothing
happened or nobody knows.
"""

from __future__ import annotations

from grafana.source.colors import ATTENTION, BAD, NEUTRAL, no_value, override, thresholds
from grafana.source.panels import alerts, stat
from grafana.source.queries import Json, loki, prometheus, traceql
from grafana.source.selectors import LOGS, SERVICE, SPANS

#: The age of the newest sample in seconds: of the last five minutes exactly, of the last hour to a minute, else -1.
_STAMP = f"timestamp(target_info{{{SERVICE}}})"
AGE_OF_METRICS = f"time() - max({_STAMP}) or time() - max(max_over_time({_STAMP}[1h:1m])) or vector(-1)"


def _lines_within(minutes: int) -> str:
    """This number, if there was a line within these minutes."""
    return f"{minutes} * (sum(count_over_time({LOGS} [{minutes}m])) > bool 0)"


AGE_OF_LOGS = f"{_lines_within(1)} or {_lines_within(5)} or vector(0)"


def _said(value: int, text: str, color: str) -> Json:
    return {"type": "value", "options": {str(value): {"text": text, "color": color}}}


def freshness() -> tuple[int, list[tuple[int, Json]]]:
    """A row of a dashboard."""
    return (
        4,
        [
            (
                5,
                stat(
                    "Newest metrics",
                    "The age of the newest sample of the service. With otelflask, apps send every 15 seconds, and others once a minute. "
                    "The figures below are as old.",
                    prometheus(AGE_OF_METRICS),
                    unit="suffix: s",
                    decimals=0,
                    steps=thresholds((None, NEUTRAL), (75, ATTENTION), (120, BAD)),
                    mappings=[no_value("Prometheus does not answer", BAD), _said(-1, "none for an hour", ATTENTION)],
                ),
            ),
            (
                5,
                stat(
                    "Newest log",
                    "When did the service last log a line?",
                    loki(AGE_OF_LOGS),
                    unit="none",
                    steps=thresholds((None, NEUTRAL)),
                    mappings=[
                        no_value("Loki does not answer", BAD),
                        _said(1, "within a minute", NEUTRAL),
                        _said(5, "within 5 minutes", NEUTRAL),
                        _said(0, "none for 5 minutes", ATTENTION),
                    ],
                ),
            ),
            (
                5,
                stat(
                    "Newest trace",
                    "When did the newest trace of this time range begin?",
                    # Not one: Tempo asks parts of its data at the same time, and the first of them may be enough.
                    traceql(f"{{ {SPANS} }}", limit=20),
                    unit="dateTimeFromNow",
                    steps=thresholds((None, NEUTRAL)),
                    mappings=[no_value("Tempo does not answer", BAD)],
                    # An answer without traces has this field, and no answer has none.
                    overrides=[override("Start time", mappings=[no_value("none in this time", ATTENTION)])],
                    field="Start time",
                    of_rows="max",
                ),
            ),
            (9, alerts("Firing alerts", "Alerts that fire now, and whether a server of the stack is down.")),
        ],
    )
