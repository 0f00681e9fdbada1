"""What waits for its export costs Python's garbage collector nothing."""

from __future__ import annotations

import enum
import gc
from typing import Any

import pytest
from opentelemetry.trace import Link, SpanContext, StatusCode, TraceFlags, TraceState

from otelflask._internal.sdk.flat_items import (
    LIST,
    MAP,
    flat_attributes,
    flat_record,
    flat_scope,
    flat_span,
    flat_value,
)
from otelflask.testing import CapturedTelemetry

REMOTE = SpanContext(0xABC, 0xDEF, True, TraceFlags(1), TraceState([("vendor", "value")]))


class _Colour(enum.IntEnum):
    RED = 7


class _Text(str):
    __slots__ = ()


class _Unreadable:
    def __str__(self) -> str:
        raise ValueError("no text")


def _collect() -> None:
    # Each full collection untracks the tuples whose items it has untracked before.
    for _ in range(8):
        gc.collect()


@pytest.mark.parametrize(
    ("value", "flat"),
    [
        ("text", "text"),
        (5, 5),
        (True, True),
        (1.5, 1.5),
        (b"bytes", b"bytes"),
        (bytearray(b"bytes"), b"bytes"),
        (_Colour.RED, 7),
        (_Text("text"), "text"),
        (["a", None, 2], (LIST, "a", None, 2)),
        ({"a": [1], 2: {}}, (MAP, "a", (LIST, 1), "2", (MAP,))),
    ],
)
def test_a_value_becomes_flat(value: Any, flat: Any) -> None:
    assert flat_value(value) == flat
    assert type(flat_value(value)) is type(flat)


def test_a_value_is_bounded_and_always_readable() -> None:
    deep: Any = "end"
    for _ in range(100):
        deep = [deep]
    assert "[too deep]" in str(flat_value(deep))
    assert len(flat_value(list(range(100_000)))) < 300
    assert "unprintable" in flat_value(_Unreadable())


def test_attributes_without_a_value_are_left_out() -> None:
    assert flat_attributes({"a": 1, "b": None, "c": [2]}) == ("a", 1, "c", (LIST, 2))
    assert flat_attributes(None) == ()


def test_spans_and_records_are_not_tracked(telemetry: CapturedTelemetry) -> None:
    tracer = telemetry.tracer_provider.get_tracer("scope", "1", "https://schema.test", {"kind": ["a"]})
    with tracer.start_as_current_span("full", links=[Link(REMOTE, {"list": [1, 2]})]) as span:
        span.set_attribute("list", ["a", "b"])
        span.add_event("event", {"list": [True]})
        span.record_exception(ValueError("bad"))
        span.set_status(StatusCode.ERROR, "bad")
        logger = telemetry.logger_provider.get_logger("scope")
        logger.emit(body={"nested": [1, {"deep": ["text"]}]}, attributes={"map": {"list": [1.5]}})
    (ended,) = telemetry.spans
    (record,) = telemetry._records.get_finished_logs()
    items = [
        flat_scope(ended.instrumentation_scope),
        flat_span(ended, lambda layer: b""),
        flat_record(record, lambda layer: b""),
    ]
    _collect()
    assert [gc.is_tracked(item) for item in items] == [False] * 3
