"""Threads and executors run in the context in which they were started, or their work was submitted.

OpenTelemetry's ``ThreadingInstrumentor`` does not reach threads of a class with a `run` of its own,
which is how many apps write them, and keeps the context as long as the thread's object lives.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from opentelemetry.context import Context

from otelflask._internal import guard
from otelflask._internal.compat.otel_api import attach, detach
from otelflask._internal.current_request import context_of_new_work
from otelflask._internal.exceptions.walk import forget


def carry_into_threads() -> Callable[[], None]:
    """Let each `threading.Thread` run in the context in which it is started.

    Returns:
        A function that undoes it.
    """
    original = threading.Thread.start

    @functools.wraps(original)
    def start(self: threading.Thread) -> None:
        _run_within(self)
        original(self)

    return _replace(threading.Thread, "start", start)


@guard.guarded("carrying the context into a thread")
def _run_within(thread: threading.Thread) -> None:
    context = context_of_new_work()
    if not context:
        return
    # What sentry-sdk may have put in its place. Only there: a thread that refers to itself waits for the collector.
    known = vars(thread).get("run")
    waiting = [context]

    def run(*arguments: Any) -> None:
        if waiting:
            # For good, so that who handles an exception that ends the thread has it too.
            attach(waiting.pop())
        if known is not None:
            known(*arguments)
        else:
            thread = threading.current_thread()
            type(thread).run(thread)

    thread.run = run  # type: ignore[method-assign]


def carry_into_executors() -> Callable[[], None]:
    """Let work of each `concurrent.futures.ThreadPoolExecutor` run in the context in which it is submitted.

    Returns:
        A function that undoes it.
    """
    original: Callable[..., Future[Any]] = ThreadPoolExecutor.submit

    @functools.wraps(original)
    def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        context = guard.attempt(context_of_new_work, on_error=lambda error: Context())
        if not context:
            return original(self, fn, *arguments, **options)
        # The pool may start a thread now, which outlives this work.
        token = attach(Context())
        try:
            return original(self, functools.partial(_work, context, fn), *arguments, **options)
        finally:
            detach(token)

    return _replace(ThreadPoolExecutor, "submit", submit)


def _work(context: Context, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
    token = attach(context)
    try:
        return function(*arguments, **options)
    finally:
        detach(token)
        forget(context)


def _replace(owner: type, name: str, wrapped: Callable[..., Any]) -> Callable[[], None]:
    original = getattr(owner, name)
    setattr(owner, name, wrapped)

    def undo() -> None:
        # What another library has wrapped around it stays.
        if vars(owner).get(name) is wrapped:
            setattr(owner, name, original)

    return undo
