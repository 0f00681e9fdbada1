"""Spans start and end, whatever processors, samplers and id generators do."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from opentelemetry import trace as trace_api
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import AlwaysRecordSampler, ParentBased, Sampler

from otelflask._internal.sdk.spans import SpanStarter
from tests.unit.sdk.conftest import Ours


class _ByKeyword(SpanProcessor):
    """Takes the parent's context by keyword only, as the SDK passes it."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def on_start(self, span: Any, *, parent_context: Any = None) -> None:  # type: ignore[override]
        self.started.append(span.name)


class _Proxy:
    """Stands for a processor, without being one."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._processor = processor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)


def _set_later() -> tuple[Any, list[str]]:
    class Plain(SpanProcessor):
        """Does nothing until it gets a method."""

    started: list[str] = []
    plain = Plain()
    plain.on_start = lambda span, parent_context=None: started.append(span.name)  # type: ignore[method-assign]
    return plain, started


@pytest.mark.parametrize("kind", ["by keyword", "a proxy", "a mock", "set on the object"])
def test_whatever_kind_of_processor_it_is_it_is_told_of_each_start(ours: Ours, kind: str) -> None:
    processor: Any = _ByKeyword()
    started = processor.started
    if kind == "a proxy":
        processor = _Proxy(processor)
    elif kind == "a mock":
        processor = Mock(spec=SpanProcessor)
        processor.on_start.side_effect = lambda span, parent_context=None: started.append(span.name)
    elif kind == "set on the object":
        processor, started = _set_later()
    ours.tracer_provider.add_span_processor(processor)
    ours.tracer_provider.get_tracer("shop").start_span("by the app").end()
    starter = SpanStarter(ours.tracer_provider.get_tracer("shop"))
    starter.start("by us", trace_api.SpanKind.SERVER, (), 1).end()
    assert started == ["by the app", "by us"]


def test_a_processor_that_lacks_a_method_keeps_no_other_from_its_end(
    ours: Ours, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is our call that fails under pytest.
    monkeypatch.setenv("OTELFLASK_GUARD", "swallow")
    ended: list[str] = []

    class Lacking:
        """Has none of the methods of a processor."""

    class Last(SpanProcessor, LogRecordProcessor):
        def on_emit(self, log_record: Any) -> None:
            """Nothing to do."""

        def shutdown(self) -> None:
            ended.append("last")

    for provider, add in ((ours.tracer_provider, "span"), (ours.logger_provider, "log_record")):
        for processor in (Lacking(), Last()):
            getattr(provider, f"add_{add}_processor")(processor)
    assert ours.logger_provider.get_logger("shop").enabled()
    ours.tracer_provider.shutdown()
    ours.logger_provider.shutdown()
    assert ended == ["last", "last"]
    assert "Lacking raised" in caplog.text


class _RaisingSampler(Sampler):
    def should_sample(self, *given: Any, **options: Any) -> Any:
        raise LookupError("no decision")

    def get_description(self) -> str:
        return "raising"


def _replaced(ours: Ours) -> SpanStarter:
    """A sampler that replaces another after spans have been started."""
    tracer = ours.tracer_provider.get_tracer("shop")
    starter = SpanStarter(tracer)
    tracer.sampler = _RaisingSampler()  # type: ignore[attr-defined]
    return starter


@pytest.mark.parametrize("kind", ["itself", "within a parent-based one", "always recording", "put there later"])
def test_a_sampler_of_the_users_that_raises_wherever_it_stands_costs_its_spans_alone(kind: str) -> None:
    if kind == "put there later":
        starter = _replaced(Ours())
    else:
        samplers: dict[str, Sampler] = {
            "itself": _RaisingSampler(),
            "within a parent-based one": ParentBased(ParentBased(_RaisingSampler())),
            "always recording": AlwaysRecordSampler(_RaisingSampler()),
        }
        starter = SpanStarter(Ours(sampler=samplers[kind]).tracer_provider.get_tracer("shop"))
    assert not starter.start("work", trace_api.SpanKind.SERVER, (), 1).is_recording()


def test_a_name_that_cannot_be_hashed_is_an_attribute_all_the_same(ours: Ours) -> None:
    class Odd(str):
        def __hash__(self) -> int:
            raise RuntimeError("no hash")

    class Name:
        def __str__(self) -> str:
            return Odd("color")

    span = SpanStarter(ours.tracer_provider.get_tracer("shop")).start("work", trace_api.SpanKind.SERVER, (), 1)
    span.set_attribute(Name(), "red")  # type: ignore[arg-type]
    span.end()
    assert ours.spans[0].attributes == {"color": "red"}
