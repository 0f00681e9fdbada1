"""The console view: a finished request as a tree."""

from __future__ import annotations

import io

import flask
import pytest

from otelflask._internal.local_output.trace_tree import ConsoleView
from otelflask._internal.redaction import Scrubber
from otelflask.testing import CapturedTelemetry


@pytest.fixture
def printed(app: flask.Flask, telemetry: CapturedTelemetry) -> io.StringIO:
    stream = io.StringIO()
    view = ConsoleView(stream, Scrubber(), colour=False)
    telemetry.tracer_provider.add_span_processor(view)
    telemetry.logger_provider.add_log_record_processor(view)

    @app.get("/tree")
    def tree() -> str:
        tracer = telemetry.tracer_provider.get_tracer("app")
        with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
            app.logger.warning("careful with password=canary\x1b[31m\nforged line")
        return ""

    return stream


def test_spans_and_logs_are_in_their_places(app: flask.Flask, printed: io.StringIO) -> None:
    app.test_client().get("/tree")
    lines = printed.getvalue().splitlines()
    assert lines[0].startswith("200 GET /tree ")
    assert lines[1].startswith("└─ outer ")
    assert lines[2].startswith("   └─ inner ")
    assert lines[3].startswith("      └─ WARN careful with password=[redacted]")
    assert len(lines) == 4


def test_an_error_is_shown_with_its_place(app: flask.Flask, printed: io.StringIO) -> None:
    app.test_client().get("/boom")
    text = printed.getvalue()
    assert text.startswith("500 GET /boom ")
    assert text.count("LookupError: no such thing") == 1
    assert "conftest.py" in text
    assert "flask" not in text


def test_an_error_that_is_logged_and_handled_is_shown_below_its_line(app: flask.Flask, printed: io.StringIO) -> None:
    @app.get("/handled")
    def handled() -> tuple[str, int]:
        try:
            raise KeyError("lamp")
        except KeyError:
            app.logger.exception("no such lamp")
            app.logger.warning("sorry")
        return "sorry", 500

    app.test_client().get("/handled")
    lines = printed.getvalue().splitlines()
    assert lines[1:3] == ["├─ ERROR no such lamp", "│  KeyError: 'lamp'"]
    assert lines[3].startswith('│  File "')
    assert lines[3].endswith("in handled")
    assert lines[4:] == ["└─ WARN sorry"]


def test_user_text_cannot_draw_on_the_terminal(app: flask.Flask, printed: io.StringIO) -> None:
    app.test_client().get("/x%1b%5b31m%0aforged")
    assert "\x1b" not in printed.getvalue()
    assert len(printed.getvalue().splitlines()) == 1


def test_traces_that_never_end_are_let_go(telemetry: CapturedTelemetry, app: flask.Flask, printed: io.StringIO) -> None:
    (view,) = [
        p for p in telemetry.tracer_provider._active_span_processor._span_processors if isinstance(p, ConsoleView)
    ]
    tracer = telemetry.tracer_provider.get_tracer("app")
    for _ in range(600):
        root = tracer.start_span("root")
        from opentelemetry import trace

        tracer.start_span("child", trace.set_span_in_context(root)).end()
    assert len(view._traces) <= 500
