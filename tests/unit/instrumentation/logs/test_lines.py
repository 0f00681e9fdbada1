"""A line is the same whether it is handed over as a flat tuple or emitted as an object."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from otelflask._internal.attribute_layers import Layer
from otelflask._internal.compat.otel_logs import ReadableLogRecord
from otelflask._internal.instrumentation.logs.lines import flat_line, record_of
from otelflask._internal.limits import Limits
from otelflask._internal.logging_records import Raised
from otelflask._internal.sdk.flat_items import flat_record


class Text(str):
    """A text of a class of the app's, such as MarkupSafe's."""

    __slots__ = ()


class Label:
    """An object whose text is of such a class."""

    def __str__(self) -> str:
        return Text("lamp")


def _exc_info() -> Any:
    try:
        raise ValueError("no")
    except ValueError:
        return sys.exc_info()


def _line(level: int = logging.INFO, message: Any = "lamp %s", *args: Any, **more: Any) -> logging.LogRecord:
    exc_info, stack = more.pop("exc_info", None), more.pop("stack_info", None)
    line = logging.LogRecord("shop", level, "/srv/shop.py", 7, message, args, exc_info, "sell", stack)
    line.__dict__.update(more)
    return line


LINES = {
    "plain": _line(logging.INFO, "lamp %s", 7),
    "lowest level": _line(1, "lamp"),
    "extras": _line(logging.WARNING, "lamp", color="red", size=(1, 2), parts={"bulb": 1}),
    "an extra of a name of ours": _line(logging.INFO, "lamp", **{"code.line.number": 8}),
    "an event": _line(logging.INFO, "lamp", **{"event.name": "lamp.sold"}),
    "an exception": _line(logging.ERROR, "lamp", exc_info=_exc_info()),
    "a stack": _line(logging.INFO, "lamp", stack_info="Stack (most recent call last):"),
    "an object as text": _line(logging.INFO, Label()),
    "a text of a class of the app": _line(logging.INFO, Text("lamp")),
    "wrong arguments": _line(logging.INFO, "lamp %d", "x"),
}


def _layer_bytes(layer: Layer) -> bytes:
    return repr(dict(layer)).encode()


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_both_ways_give_the_same(line: logging.LogRecord) -> None:
    limits = Limits()
    record = record_of(line, limits, Raised(line))
    expected = flat_record(ReadableLogRecord(record, Resource.get_empty()), _layer_bytes)
    found = flat_line(line, limits, Raised(line), None, _layer_bytes)
    # The second field is the time at which it was observed.
    assert (found[0], *found[2:]) == (expected[0], *expected[2:])
    assert type(found[4]) is str


def test_a_line_with_too_many_attributes_is_no_flat_tuple() -> None:
    line = LINES["extras"]
    assert flat_line(line, Limits(), Raised(line), 3, _layer_bytes) == ()
    assert flat_line(line, Limits(), Raised(line), 6, _layer_bytes)
