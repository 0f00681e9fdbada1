"""Celery's jobs that are sent: a span each, which ends also where the broker refuses the job."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from celery import Celery, signals
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from otelflask._internal import guard
from otelflask._internal.instrumentation.jobs import origin
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.patches import all_of, replace

_ID = "otelflask-publish"


class _Publish(NamedTuple):
    span: Span
    token: Any


#: What the innermost `send_task` of this context is about to publish.
_publishing: ContextVar[list[_Publish] | None] = ContextVar("otelflask_publishing", default=None)


def observe(runs: Runs) -> Callable[[], None]:
    """Record each publish.

    OpenTelemetry's instrumentation leaves the span open, and active, where the broker refuses the
    message. Where this process does not know the task, it ends the span before the message is sent.

    Returns:
        A function that undoes it.
    """
    signals.before_task_publish.connect(functools.partial(_before, runs), weak=False, dispatch_uid=_ID)
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

    def undo() -> None:
        for signal in (signals.before_task_publish, signals.after_task_publish):
            signal.disconnect(dispatch_uid=_ID)

    return all_of([undo, replace(Celery, "send_task", send_task)])


@guard.guarded("starting the span of a publish")
def _before(runs: Runs, sender: Any = "", headers: Any = None, routing_key: Any = None, **message: Any) -> None:
    name = str(sender)
    attributes = origin.sent_attributes("celery", name)
    if routing_key:
        attributes["messaging.destination.name"] = str(routing_key)
    if headers and headers.get("id"):
        attributes["messaging.message.id"] = str(headers["id"])
    span = runs.tracer.start_span(f"send {name}", kind=SpanKind.PRODUCER, attributes=attributes)
    within = trace.set_span_in_context(span)
    if headers is not None:
        origin.write(headers, within)
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
        origin.fail(span, error)
