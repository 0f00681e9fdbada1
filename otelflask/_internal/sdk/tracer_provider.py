"""The tracer provider: the SDK's, whose processors, tracers and spans raise nothing into the app."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util._decorator import _agnosticcontextmanager

from otelflask._internal import guard
from otelflask._internal.guard import safe_text
from otelflask._internal.sdk.guarded import end_each, flushed, processor_failed, provided, safe_attributes


class SpanProcessors(SynchronousMultiSpanProcessor):
    """The SDK's list of processors, none of which keeps the others, or the app, from going on."""

    def on_start(self, span: sdk_trace.Span, parent_context: Context | None = None) -> None:
        for processor in self._span_processors:
            try:
                processor.on_start(span, parent_context=parent_context)
            except Exception:
                processor_failed(processor)

    def _on_ending(self, span: sdk_trace.Span) -> None:
        for processor in self._span_processors:
            try:
                processor._on_ending(span)
            except Exception:
                processor_failed(processor)

    def on_end(self, span: sdk_trace.ReadableSpan) -> None:
        for processor in self._span_processors:
            try:
                processor.on_end(span)
            except Exception:
                processor_failed(processor)

    def shutdown(self) -> None:
        end_each(self._span_processors)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return flushed(super().force_flush, timeout_millis)


class AppSpan(sdk_trace._Span):
    """The SDK's span, which takes what the app gives it, whatever that does when it is read."""

    def set_attribute(self, key: str, value: Any) -> None:
        try:
            super().set_attribute(key, value)
        except Exception:
            self._again(super().set_attribute, safe_text(key), safe_text(value))

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        try:
            super().set_attributes(attributes)
        except Exception:
            self._again(super().set_attributes, safe_attributes(attributes))

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        try:
            super().add_event(name, attributes, timestamp)
        except Exception:
            self._again(super().add_event, safe_text(name), safe_attributes(attributes), timestamp)

    def add_link(self, context: trace_api.SpanContext, attributes: Any = None) -> None:
        try:
            super().add_link(context, attributes)
        except Exception:
            self._again(super().add_link, context, safe_attributes(attributes))

    @staticmethod
    def _again(method: Callable[..., None], *arguments: Any) -> None:
        """Once more, with what can be read."""
        guard.call_hook("use of a span", method, *arguments)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        try:
            super().set_status(status, description)
        except Exception:
            guard.users_failed("status of a span")

    def record_exception(
        self,
        exception: BaseException,
        attributes: Any = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        try:
            super().record_exception(exception, attributes, timestamp, escaped)
        except Exception:
            # Its message or its frames cannot be read.
            kind = type(exception)
            found = {
                "exception.type": f"{kind.__module__}.{kind.__qualname__}",
                "exception.message": safe_text(exception),
            }
            self.add_event("exception", {**found, **safe_attributes(attributes)}, timestamp)

    def __exit__(self, exc_type: Any, exc_val: BaseException | None, exc_tb: Any) -> None:
        if exc_val is not None and self.is_recording():
            self._note(exc_val, self._record_exception, self._set_status_on_exception, escaped=True)
        self.end()

    def _note(self, error: BaseException, record: bool, set_status: bool, escaped: bool = False) -> None:
        if record:
            self.record_exception(error, escaped=escaped)
        if set_status:
            self.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {safe_text(error)}"))


class Tracer(sdk_trace.Tracer):
    """The SDK's tracer, whose spans start whatever a sampler, an id generator or an attribute does."""

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace_api.SpanKind = trace_api.SpanKind.INTERNAL,
        attributes: Any = None,
        links: Sequence[trace_api.Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace_api.Span:
        options = (links, start_time, record_exception, set_status_on_exception)
        try:
            span = super().start_span(name, context, kind, attributes, *options)
        except Exception:
            try:
                span = super().start_span(safe_text(name), context, kind, safe_attributes(attributes), *options)
            except Exception:
                guard.users_failed("start of a span")
                return trace_api.NonRecordingSpan(trace_api.get_current_span().get_span_context())
        if type(span) is sdk_trace._Span:
            # The SDK makes it by that class's name.
            span.__class__ = AppSpan
        return span

    @_agnosticcontextmanager
    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace_api.SpanKind = trace_api.SpanKind.INTERNAL,
        attributes: Any = None,
        links: Sequence[trace_api.Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[trace_api.Span]:
        span = self.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        # It would take the exception's text itself.
        with trace_api.use_span(span, end_on_exit, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except Exception as error:
                if isinstance(span, AppSpan) and span.is_recording():
                    span._note(error, record_exception, set_status_on_exception)
                raise


class TracerProvider(sdk_trace.TracerProvider):
    """The SDK's tracer provider, which raises nothing into the app."""

    def __init__(self, **options: Any) -> None:
        super().__init__(active_span_processor=SpanProcessors(), **options)

    def get_tracer(self, *arguments: Any, **options: Any) -> trace_api.Tracer:
        make = functools.partial(super().get_tracer, *arguments, **options)
        tracer: trace_api.Tracer = provided(make, sdk_trace.Tracer, Tracer, trace_api.NoOpTracer())
        return tracer
