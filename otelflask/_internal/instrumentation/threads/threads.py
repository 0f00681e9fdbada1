"""Threads and executors run in the context in which they were started, or their work was submitted.

OpenTelemetry's ``ThreadingInstrumentor`` does not reach threads of a class with a `run` of its own,
which is how many apps write them, and keeps the context as long as the thread's object lives.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from opentelemetry.context import Context

from otelflask._internal import guard
from otelflask._internal.compat.otel_api import attach, detach
from otelflask._internal.current_request import context_of_new_work
from otelflask._internal.patches import replace

#: Executors that pickle their work (Python 3.14); a context cannot be pickled.
_OTHER_INTERPRETERS: tuple[type, ...] = tuple(
    kind for kind in (getattr(futures, "InterpreterPoolExecutor", None),) if kind is not None
)


def carry_into_threads() -> Callable[[], None]:
    """Let each `threading.Thread` run in the context in which it is started.

    Returns:
        A function that undoes it.
    """
    original = threading.Thread.start

    @functools.wraps(original)
    def start(self: threading.Thread) -> None:
        undo = _run_within(self)
        try:
            original(self)
        except BaseException:
            # No more threads, or it was started before.
            if undo is not None:
                undo()
            raise

    return replace(threading.Thread, "start", start)


@guard.guarded("carrying the context into a thread")
def _run_within(thread: threading.Thread) -> Callable[[], None] | None:
    context = context_of_new_work()
    if not context:
        return None
    # What sentry-sdk may have put in its place. Only there: a thread that refers to itself waits for the collector.
    known = vars(thread).get("run")
    waiting = [context]

    def run(*_: Any) -> None:
        if waiting:
            # For good, so that who handles an exception that ends the thread has it too.
            attach(waiting.pop())
        if known is not None:
            known()
        else:
            thread = threading.current_thread()
            type(thread).run(thread)

    def undo() -> None:
        waiting.clear()
        if vars(thread).get("run") is not run:
            return
        if known is None:
            del thread.run
        else:
            thread.run = known  # type: ignore[method-assign]

    thread.run = run  # type: ignore[method-assign]
    return undo


def carry_into_executors() -> Callable[[], None]:
    """Let work of each `concurrent.futures.ThreadPoolExecutor` run in the context in which it is submitted.

    Returns:
        A function that undoes it.
    """
    original: Callable[..., Future[Any]] = ThreadPoolExecutor.submit

    @functools.wraps(original)
    def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        context = guard.attempt(context_of_new_work, on_error=lambda error: Context())
        if not context or isinstance(self, _OTHER_INTERPRETERS):
            return original(self, fn, *arguments, **options)
        # The pool may start a thread now, which outlives this work.
        token = attach(Context())
        try:
            return original(self, functools.partial(_work, context, fn), *arguments, **options)
        finally:
            detach(token)

    return replace(ThreadPoolExecutor, "submit", submit)


def _work(context: Context, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
    token = attach(context)
    try:
        return function(*arguments, **options)
    finally:
        detach(token)
        # The traceback of an exception keeps this frame, for as long as the app keeps the future.
        del context, token
