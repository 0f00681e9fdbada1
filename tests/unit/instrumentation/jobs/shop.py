"""An app, and what has come of its jobs."""

from __future__ import annotations

from typing import Any

import flask
from opentelemetry.trace import SpanKind

import otelflask
from otelflask._internal import event_names
from otelflask.testing import CapturedTelemetry


class Shop:
    """An app with telemetry."""

    def __init__(self, telemetry: CapturedTelemetry, **settings: Any) -> None:
        self.telemetry = telemetry
        self.app = flask.Flask("shop")
        otelflask.init(self.app, runtime_metrics=False, log_level="INFO", **telemetry.providers, **settings)

    def records(self, count: int = 1) -> list[Any]:
        """The records of runs, as soon as there are so many and their spans have ended."""

        def found() -> list[Any]:
            return [record for record in self.telemetry.logs if record.event_name == event_names.JOB]

        self.telemetry.wait_for(
            lambda: len(found()) >= count and all(not item.span_id or self._has(item.span_id) for item in found())
        )
        return found()

    def _has(self, span_id: int) -> bool:
        return any(span.context.span_id == span_id for span in self.telemetry.spans)

    def runs(self) -> list[Any]:
        """The spans of runs of jobs that were sent."""
        return [span for span in self.telemetry.spans if span.kind is SpanKind.CONSUMER]

    def reports(self) -> list[Any]:
        """The error reports."""
        return [item for item in self.telemetry.logs if item.event_name in event_names.REPORTS]
