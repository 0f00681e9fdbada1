"""The views of a statement that the exporting thread makes: its span and its duration."""

from __future__ import annotations

import functools
import struct
from typing import Any, NamedTuple

from opentelemetry.metrics import Histogram
from opentelemetry.trace import SpanKind

from otelflask._internal.attribute_layers import Interned
from otelflask._internal.export.otlp_encoder import SPAN_ATTRIBUTE, SPAN_KINDS, field, framed, tagged
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.export.processors import hands_over
from otelflask._internal.instrumentation.database.lexis import Rules
from otelflask._internal.instrumentation.database.statements import KnownStatement
from otelflask._internal.randomness import getrandbits
from otelflask._internal.sdk.bound_histogram import BoundHistogram, measures_by_default
from otelflask._internal.sdk.flat_items import Flat, flags_of, flat_scope
from otelflask._internal.sdk.meter_provider import MeterProvider
from otelflask._internal.sdk.spans import SpanStarter

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
#: The most statements whose plan is kept.
_MAX_KEPT = 1_000
_MAX_FRAMES = 100
_times = struct.Struct("<BQBQ").pack
_ids = struct.Struct(">2sQ2sQ").pack
#: Bytes of three ids and two times, with their tags.
_SIZE_OF_IDS_AND_TIMES = (2 + 16) + (2 + 8) + (2 + 8) + 2 * (1 + 8)
#: No status, and a local parent.
_END = b"\x7a\x00\x85\x01" + flags_of(None).to_bytes(4, "little")


class _Plan(NamedTuple):
    """What all runs of one statement on one server have in common."""

    #: The name, kind and attributes of its spans.
    about: bytes
    #: Beginning and end of its spans, by the numbers of rows and of sets of parameters.
    frames: Interned[tuple[bytes, bytes]]
    duration: BoundHistogram


class StatementViews:
    """Hands statements over, and makes their views.

    Only statements that succeed, within a sampled span of ours, and whose spans and durations the user sees
    as no objects.

    Args:
        pipeline: Where the views go.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._handover = pipeline.handover
        self._spans = pipeline.spans
        # What decides, and the decision: replaced as a whole, because threads read it.
        self._known: tuple[tuple[Any, ...], SpanStarter | None, Histogram | None, bool] = ((), None, None, False)
        #: The scope of the spans; empty where nobody wants them.
        self._scope: Flat = ()
        self._duration: Histogram | None = None
        self._plans: Interned[_Plan] = Interned(self._plan, _MAX_KEPT)
        self._generation = pipeline.spans.encoder.generation
        self._kind = pipeline.handover.add_view(self._view, lambda item, error: self._spans.count_lost(error))
        if isinstance(pipeline.meter_provider, MeterProvider):
            pipeline.meter_provider.before_collect.append(self.offer_exemplars)

    def takes(self, starter: SpanStarter, duration: Histogram) -> bool:
        """Whether statements may be handed over.

        Args:
            starter: What would start their spans.
            duration: The histogram of their durations.
        """
        known = self._known
        if starter is not known[1] or duration is not known[2] or not starter.has_parts(known[0]):
            parts = starter.stock_parts()
            processors = parts[0] if parts else None
            # Without any processor, nobody wants spans.
            takes = processors == () or hands_over(processors, self._spans)
            takes = takes and starter.keeps_what_is_sampled and measures_by_default(duration)
            self._scope, self._duration = flat_scope(starter.scope) if processors else (), duration
            known = self._known = (parts, starter, duration, takes)
        return known[3]

    def hand_over(
        self,
        server: Flat,
        statement: str,
        trace_id: int,
        parent_id: int,
        started_at: int,
        elapsed: int,
        rows: int,
        batch: int,
    ) -> None:
        """Hand a statement over that has succeeded.

        Args:
            server: The server: its `Rules` as a number, and its attributes (`flat_items.flat_attributes`).
            statement: The statement.
            trace_id: Its trace.
            parent_id: The span around it.
            started_at: Epoch nanoseconds.
            elapsed: Nanoseconds.
            rows: The number of rows; -1 where it is unknown.
            batch: The number of sets of parameters; 0 for a single one.
        """
        span_id = getrandbits(64) or 1
        self._handover.append(
            (self._kind, self._scope, server, statement, trace_id, span_id, parent_id, started_at, elapsed, rows, batch)
        )

    def _view(self, item: Flat) -> None:
        _, scope, server, statement, trace_id, _, parent_id, started_at, elapsed, *_ = item
        encoder = self._spans.encoder
        if self._generation is not encoder.generation:
            # What is cached was masked by other rules.
            self._generation, self._plans = encoder.generation, Interned(self._plan, _MAX_KEPT)
        plan = self._plans(server, statement)
        # The exemplar is the span around it.
        plan.duration.add(elapsed / 1e9, started_at + elapsed, trace_id, parent_id, True)
        if scope:
            self._spans.give((scope, self._encoded(item, plan), trace_id), True)

    def _encoded(self, item: Flat, plan: _Plan) -> bytes:
        """The span as a field of ``ScopeSpans``."""
        *_, trace_id, span_id, parent_id, started_at, elapsed, rows, batch = item
        beginning, end = plan.frames(rows, batch)
        ids = _ids(b"\x12\x08", span_id, b"\x22\x08", parent_id)
        times = _times(0x39, started_at, 0x41, started_at + elapsed)
        return b"".join((beginning, trace_id.to_bytes(16, "big"), ids, times, plan.about, end))

    def _frame(self, size_of_about: int, rows: int, batch: int) -> tuple[bytes, bytes]:
        """What is at the beginning and end of a span. Ids and times have one size, so the span's size is known."""
        end = (self._own(rows, batch) if rows >= 0 or batch else b"") + _END
        size = _SIZE_OF_IDS_AND_TIMES + size_of_about + len(end)
        return framed(bytes(size))[:-size] + b"\x0a\x10", end

    def _own(self, rows: int, batch: int) -> bytes:
        attributes: dict[str, Any] = {}
        if batch:
            attributes["db.operation.batch.size"] = batch
        if rows >= 0:
            attributes["db.response.returned_rows"] = rows
        return tagged(self._spans.encoder.pairs(attributes), SPAN_ATTRIBUTE)

    def _plan(self, server: Flat, statement: str) -> _Plan:
        assert self._duration is not None
        rules, *attributes = server
        flat = iter(attributes)
        known = KnownStatement(statement, Rules(rules), dict(zip(flat, flat, strict=True)), self._duration)
        encoder = self._spans.encoder
        about = field(b"\x2a", encoder.short_text(known.name)) + SPAN_KINDS[SpanKind.CLIENT.value]
        about += encoder.layer_of_span(known.layer)
        return _Plan(about, Interned(functools.partial(self._frame, len(about)), _MAX_FRAMES), known.duration)

    def offer_exemplars(self) -> None:
        """Offer what was kept as exemplars, before metrics are collected."""
        for plan in self._plans.values():
            plan.duration.offer_exemplars()
