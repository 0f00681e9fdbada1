"""What is the same each time one statement runs on one server."""

from __future__ import annotations

from typing import Any

from opentelemetry.metrics import Histogram

from otelflask._internal.attribute_layers import Layer
from otelflask._internal.instrumentation.database.lexis import Rules
from otelflask._internal.instrumentation.database.sql import read
from otelflask._internal.sdk.bound_histogram import BoundHistogram

#: Operations that write nothing. A ROLLBACK after only these gets no span.
_NON_WRITING_OPERATIONS = frozenset({"SELECT", "PRAGMA", "SHOW", "EXPLAIN", "BEGIN", "DESCRIBE", "VALUES", "SET"})
#: The characters of a statement that are read.
MAX_READ = 20_000


class KnownStatement:
    """A statement that has been read.

    Args:
        statement: What is sent to the driver.
        rules: The rules by which the server reads it.
        server: The attributes of the server.
        duration: The histogram of durations.

    Attributes:
        text: The text without literals.
        name: The name of its spans.
        layer: The attributes of its spans.
        duration: The histogram of its durations.
        writes: Whether it may write.
    """

    __slots__ = ("duration", "layer", "name", "text", "writes")

    def __init__(self, statement: str, rules: Rules, server: dict[str, Any], duration: Histogram) -> None:
        found = read(statement, rules)
        labels: dict[str, Any] = dict(server)
        if found.operation:
            labels["db.operation.name"] = found.operation
        if found.collection:
            labels["db.collection.name"] = found.collection
        self.text = found.text
        self.writes = found.operation not in _NON_WRITING_OPERATIONS
        self.duration = BoundHistogram(duration, labels)
        self.layer = Layer({**labels, "db.query.summary": found.summary, "db.query.text": found.text})
        if not found.summary:
            del self.layer["db.query.summary"]
        self.name = found.summary or str(server.get("db.namespace") or server["db.system.name"])
