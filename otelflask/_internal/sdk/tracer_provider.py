"""The tracer provider: the SDK's, with processors, tracers and spans that never raise into the app."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal import guard
from otelflask._internal.compat.otel_api import context_manager
from otelflask._internal.compat.otel_trace import (
    ENDING,
    ForkSafeTracerProvider,
    SdkSpan,
    SpanProcessorList,
    exception_options_of,
)
from otelflask._internal.guard import safe_text
from otelflask._internal.sdk.user_parts import (
    end_each,
    flushed,
    notify_started,
    processor_failed,
    provided,
    safe_attributes,
    takes_last,
)


class SpanProcessors(SpanProcessorList):
    """The SDK's list of processors. An exception of one reaches neither the others nor the app."""

    def add_span_processor(self, span_processor: Any) -> None:
        self.add_processor(span_processor, takes_last)

    def on_start(self, span: sdk_trace.Span, parent_context: Context | None = None) -> None:
        notify_started(self.listeners_before_end, span, parent_context)

    def notify_ending(self, span: sdk_trace.Span) -> None:
        guard.call_each(self.listeners_before_end, ENDING, span, processor_failed)

    def on_end(self, span: sdk_trace.ReadableSpan) -> None:
        guard.call_each(self.processors, "on_end", span, processor_failed)

    def shutdown(self) -> None:
        end_each(self.processors)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return flushed(super().force_flush, timeout_millis)


class AppSpan(SdkSpan):
    """The SDK's span. It accepts any value that the app passes, even one that raises when it is read."""

    def set_attribute(self, key: str, value: Any) -> None:
        again = super().set_attribute

        def as_text(error: Exception) -> None:
            guard.call_hook("attribute of a span", again, safe_text(key), safe_text(value))

        guard.attempt(again, key, value, on_error=as_text)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        again = super().set_attributes

        def as_text(error: Exception) -> None:
            guard.call_hook("mapping of attributes", again, safe_attributes(attributes))

        guard.attempt(again, attributes, on_error=as_text)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        again = super().add_event

        def as_text(error: Exception) -> None:
            guard.call_hook("event of a span", again, safe_text(name), safe_attributes(attributes), timestamp)

        guard.attempt(again, name, attributes, timestamp, on_error=as_text)

    def add_link(self, context: trace_api.SpanContext, attributes: Any = None) -> None:
        again = super().add_link

        def as_text(error: Exception) -> None:
            guard.call_hook("link of a span", again, context, safe_attributes(attributes))

        guard.attempt(again, context, attributes, on_error=as_text)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        guard.call_hook("status of a span", super().set_status, status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Any = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        def what_can_be_read(error: Exception) -> None:
            kind = type(exception)
            found = {
                "exception.type": f"{kind.__module__}.{kind.__qualname__}",
                "exception.message": safe_text(exception),
            }
            self.add_event("exception", {**found, **safe_attributes(attributes)}, timestamp)

        record = super().record_exception
        guard.attempt(record, exception, attributes, timestamp, escaped, on_error=what_can_be_read)

    def __exit__(self, exc_type: Any, exc_val: BaseException | None, exc_tb: Any) -> None:
        if exc_val is not None and self.is_recording():
            self.note_exception(exc_val, *exception_options_of(self), escaped=True)
        self.end()

    def note_exception(self, error: BaseException, record: bool, set_status: bool, escaped: bool = False) -> None:
        """Record the exception that ended a block: as an event, and as the span's status, where these are wanted."""
        if record:
            self.record_exception(error, escaped=escaped)
        if set_status:
            self.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {safe_text(error)}"))


def no_span(context: Context | None, error: Exception) -> trace_api.Span:
    """A replacement for a span that cannot be started. It keeps the parent's context."""
    guard.user_code_failed("start of a span", error)
    return trace_api.NonRecordingSpan(trace_api.get_current_span(context).get_span_context())


class Tracer(sdk_trace.Tracer):
    """The SDK's tracer. Its spans start whatever a sampler, an id generator or an attribute does."""

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
        start = super().start_span

        def as_text(error: Exception) -> trace_api.Span:
            given = (safe_text(name), context, kind, safe_attributes(attributes), *options)
            return guard.attempt(start, *given, on_error=functools.partial(no_span, None))

        span = guard.attempt(start, name, context, kind, attributes, *options, on_error=as_text)
        if type(span) is SdkSpan:
            # The SDK instantiates its own class.
            span.__class__ = AppSpan
        return span

    @context_manager
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
        # use_span would read the exception's text itself.
        with trace_api.use_span(span, end_on_exit, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except Exception as error:
                if isinstance(span, AppSpan) and span.is_recording():
                    span.note_exception(error, record_exception, set_status_on_exception)
                raise


class TracerProvider(ForkSafeTracerProvider):
    """The SDK's tracer provider. It never raises into the app."""

    def __init__(self, **options: Any) -> None:
        super().__init__(active_span_processor=SpanProcessors(), **options)

    def get_tracer(self, *arguments: Any, **options: Any) -> trace_api.Tracer:
        make = functools.partial(super().get_tracer, *arguments, **options)
        tracer: trace_api.Tracer = provided(make, sdk_trace.Tracer, Tracer, trace_api.NoOpTracer())
        return tracer
