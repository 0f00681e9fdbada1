"""Celery: the span of each publish ends, and so does the telemetry of a process that exits by itself.

OpenTelemetry's instrumentation leaves the span open, and active, where the broker refuses the
message. Where this process does not know the task, it ends the span before the message is sent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from celery import Celery, signals
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.instrumentation.celery import utils
from opentelemetry.propagate import inject
from opentelemetry.trace import Span, SpanKind, Tracer, TracerProvider
from opentelemetry.trace.status import Status, StatusCode

from otelflask._internal import guard
from otelflask._internal.compat.otel_instrumentation import celery_publish_receivers
from otelflask._internal.version import __version__

_ID = "otelflask"


class _Publish(NamedTuple):
    span: Span
    token: Any


#: What the innermost `send_task` of this context is about to publish.
_publishing: ContextVar[list[_Publish] | None] = ContextVar("otelflask_publishing", default=None)


def correct(instrumentor: Any, tracer_provider: TracerProvider | None, end: Callable[[], None]) -> Callable[[], None]:
    """Correct the instrumentation of this process.

    Args:
        instrumentor: OpenTelemetry's, which is in use.
        tracer_provider: Where the spans go.
        end: Ends the telemetry of a process that exits by itself.

    Returns:
        A function that undoes it.
    """
    before, after = celery_publish_receivers(instrumentor)
    signals.before_task_publish.disconnect(before)
    signals.after_task_publish.disconnect(after)
    tracer = trace.get_tracer("otelflask.celery", __version__, tracer_provider)
    signals.before_task_publish.connect(functools.partial(_before, tracer), weak=False, dispatch_uid=_ID)
    signals.after_task_publish.connect(_after, weak=False, dispatch_uid=_ID)
    original = Celery.send_task

    @functools.wraps(original)
    def send_task(self: Celery, *arguments: Any, **options: Any) -> Any:
        token = _publishing.set([])
        try:
            return original(self, *arguments, **options)
        except BaseException as error:
            _fail(error)
            raise
        finally:
            _after()
            _publishing.reset(token)

    Celery.send_task = send_task

    @guard.guarded("ending a Celery process")
    def ends(**values: Any) -> None:
        # The process ends by os._exit, so that what waits would not be sent (contrib#4916).
        end()

    signals.worker_process_shutdown.connect(ends, weak=False, dispatch_uid=_ID)

    def undo() -> None:
        for signal in (signals.before_task_publish, signals.after_task_publish, signals.worker_process_shutdown):
            signal.disconnect(dispatch_uid=_ID)
        if Celery.send_task is send_task:
            Celery.send_task = original

    return undo


@guard.guarded("starting the span of a publish")
def _before(tracer: Tracer, sender: Any = "", headers: Any = None, **message: Any) -> None:
    name = str(sender)
    span = tracer.start_span(f"apply_async/{name}", kind=SpanKind.PRODUCER)
    if span.is_recording():
        span.set_attribute("celery.action", "apply_async")
        span.set_attribute("celery.task_name", name)
        task_id = utils.retrieve_task_id_from_message({"headers": headers, **message})
        if task_id is not None:
            span.set_attribute("messaging.message.id", task_id)
        utils.set_attributes_from_context(span, {"headers": headers, **message})
    within = trace.set_span_in_context(span)
    if headers is not None:
        inject(headers, context=within)
    publishing = _publishing.get()
    if publishing is None:
        # Nobody says when it ends.
        span.end()
    else:
        publishing.append(_Publish(span, context_api.attach(within)))


@guard.guarded("ending the span of a publish")
def _after(**message: Any) -> None:
    publishing = _publishing.get()
    while publishing:
        span, token = publishing.pop()
        context_api.detach(token)
        span.end()


@guard.guarded("recording a publish that failed")
def _fail(error: BaseException) -> None:
    for span, _ in _publishing.get() or ():
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, guard.safe_text(error)))
