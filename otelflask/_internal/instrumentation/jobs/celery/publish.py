"""Celery's jobs that are sent: a span each, which ends also where the broker refuses the job."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from celery import Celery, signals

from otelflask._internal import guard
from otelflask._internal.instrumentation.jobs import origin
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.instrumentation.jobs.sending import Sending
from otelflask._internal.patches import all_of, replace

_ID = "otelflask-publish"


#: What the innermost `send_task` of this context is about to publish.
_publishing: ContextVar[list[Sending] | None] = ContextVar("otelflask_publishing", default=None)


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
    attributes = {}
    if routing_key:
        attributes["messaging.destination.name"] = str(routing_key)
    if headers and headers.get("id"):
        attributes["messaging.message.id"] = str(headers["id"])
    sending = Sending(runs.tracer, "celery", str(sender), attributes)
    if headers is not None:
        origin.write(headers, sending.context)
    publishing = _publishing.get()
    if publishing is None:
        # Nobody says when it ends.
        sending.end()
    else:
        sending.enter()
        publishing.append(sending)


def _after(**message: Any) -> None:
    publishing = _publishing.get()
    while publishing:
        publishing.pop().end()


def _fail(error: BaseException) -> None:
    for sending in _publishing.get() or ():
        sending.fail(error)
