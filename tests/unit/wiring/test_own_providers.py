"""A process without providers makes its own, and sends all signals by OTLP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
import sqlalchemy
from opentelemetry import trace
from opentelemetry._logs import _internal as logs_internal
from opentelemetry._logs import get_logger_provider
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

import otelflask
from otelflask._internal.lifecycle import ending
from otelflask._internal.wiring import install, providers
from otelflask.testing import FakeCollector

Start = Callable[..., flask.Flask]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start an app as if the process had no telemetry before."""
    for module, name in (
        (trace, "_TRACER_PROVIDER"),
        (metrics_internal, "_METER_PROVIDER"),
        (logs_internal, "_LOGGER_PROVIDER"),
    ):
        monkeypatch.setattr(module, name, None)
        monkeypatch.setattr(module, f"{name}_SET_ONCE", Once())
    monkeypatch.setattr(install, "_telemetry", None)
    # The process of the tests goes on.
    monkeypatch.setattr(ending, "register", lambda item: None)
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "otlp")
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)

    def started(collector: FakeCollector, protocol: str = "http/protobuf", **settings: Any) -> flask.Flask:
        for name, value in collector.environment(protocol).items():
            monkeypatch.setenv(name, value)
        app = flask.Flask("shop")

        @app.get("/items/<int:item>")
        def item(item: int) -> str:
            with engine.connect() as connection:
                return str(connection.execute(sqlalchemy.text("SELECT :item"), {"item": item}).scalar())

        @app.get("/broken")
        def broken() -> str:
            with engine.connect() as connection:
                return str(connection.execute(sqlalchemy.text("SELECT color FROM nowhere")))

        otelflask.init(app, runtime_metrics=False, log_level="INFO", **settings)
        return app

    yield started
    telemetry = install._telemetry
    assert telemetry is not None
    telemetry.shutdown(10)
    install.withdraw(telemetry.pipeline.logger_provider)
    engine.dispose()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_all_signals_of_requests_and_statements_arrive(
    start: Start, fake_collector: FakeCollector, protocol: str
) -> None:
    client = start(fake_collector, protocol).test_client()
    for item in (1, 2):
        assert client.get(f"/items/{item}").text == str(item)
    assert client.get("/broken").status_code == 500
    assert otelflask.flush(30)
    spans = sorted(span.name for span in fake_collector.spans if span.name != "ROLLBACK")
    assert spans == ["GET /broken", *["GET /items/<int:item>"] * 2, *["SELECT"] * 2, "SELECT nowhere"]
    by_name = {span.name: span for span in fake_collector.spans}
    assert by_name["SELECT nowhere"].message.parent_span_id == by_name["GET /broken"].message.span_id
    assert by_name["SELECT nowhere"].attributes["error.type"]
    bodies = [record.name for record in fake_collector.logs]
    assert sum(body.startswith("GET /items/") for body in bodies) == 2
    assert [record for record in fake_collector.logs if record.message.event_name == "exception"]
    assert sum(point.count for _, _, point in fake_collector.points("http.server.request.duration")) == 3
    statements = fake_collector.points("db.client.operation.duration")
    assert sum(point.count for _, found, point in statements if found["db.operation.name"] == "SELECT") == 3


def test_exporters_of_others_get_masked_copies(
    start: Start, fake_collector: FakeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans, records = InMemorySpanExporter(), InMemoryLogRecordExporter()
    exporters = {"traces": lambda: spans, "logs": lambda: records, "metrics": InMemoryMetricReader}
    monkeypatch.setattr(providers, "_stock_exporter", lambda signal, name: exporters[signal])
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "theirs")
    client = start(fake_collector).test_client()
    client.get("/items/1?password=Tr0ub4dor")
    assert otelflask.flush(30)
    (span,) = [span for span in spans.get_finished_spans() if span.name == "GET /items/<int:item>"]
    assert span.attributes is not None
    assert span.attributes["url.query"] == "password=[redacted]"
    found = [item.log_record for item in records.get_finished_logs()]
    (line,) = [record for record in found if record.event_name == "http.server.request"]
    assert line.attributes is not None
    assert line.attributes["url.query"] == "password=[redacted]"


class _Redactor(LogRecordProcessor):
    """A user's processor, which changes what it gets."""

    def on_emit(self, log_record: Any) -> None:
        record = log_record.log_record
        if record.attributes and "order" in record.attributes:
            record.attributes["order"] = "left out"
            record.attributes["seen"] = True
            record.body = f"{record.body}, changed"

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def test_a_log_processor_that_the_app_adds_changes_what_is_sent_and_written(start: Start, tmp_path: Path) -> None:
    with FakeCollector() as collector:
        app = start(collector, log_dir=str(tmp_path), log_file_format="json")
        get_logger_provider().add_log_record_processor(_Redactor())

        @app.get("/paid")
        def paid() -> str:
            app.logger.warning("paid", extra={"order": 7, "lamps": 3})
            return "ok"

        app.test_client().get("/paid")
        assert otelflask.flush(10)
        (line,) = (line for line in collector.logs if line.name.startswith("paid"))
        assert line.name == "paid, changed"
        assert {name: line.attributes.get(name) for name in ("order", "lamps", "seen")} == {
            "order": "left out",
            "lamps": 3,
            "seen": True,
        }
        assert '"order":"left out"' in Path(tmp_path, "app.log").read_text()
