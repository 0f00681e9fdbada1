"""Instrument SQLAlchemy as soon as the app has imported it. Before, nothing of it is imported."""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable

from otelflask._internal import guard
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.import_hooks import when_imported
from otelflask._internal.instrumentation.database.request_queries import RequestQueries
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.locks import new_lock
from otelflask._internal.settings import Settings

_INSTRUMENTOR = "otelflask._internal.instrumentation.database.instrumentor"
_lock = new_lock()

#: Called with the telemetry of the engines, once it has started.
Started = Callable[[Component], None]


def await_sqlalchemy(settings: Settings, pipeline: Pipeline, queries: RequestQueries, started: Started) -> None:
    """Instrument SQLAlchemy when it is imported. Either of two modules may come first, and imports the other."""
    action = functools.partial(_start, settings, pipeline, queries, started)
    for name in ("sqlalchemy", _INSTRUMENTOR):
        when_imported(name, action)


def _start(
    settings: Settings, pipeline: Pipeline, queries: RequestQueries, started: Started, again: bool = True
) -> None:
    try:
        module = importlib.import_module(_INSTRUMENTOR)
    except ImportError:
        if not again:
            raise
        # Another thread is importing a part of it, and may wait for this thread. Neither may wait for the other.
        threading.Thread(
            target=_start_later, args=(settings, pipeline, queries, started), name="otelflask-database", daemon=True
        ).start()
        return
    kind = getattr(module, "SQLAlchemyInstrumentor", None)
    if kind is None:
        # The other module is importing SQLAlchemy. It is waited for too.
        return
    if not _lock.acquire(blocking=False):
        # Another thread is importing it, and may wait for this import: waiting here could last for ever.
        return
    try:
        instrumentor = kind()
        if instrumentor.is_instrumented_by_opentelemetry:
            return
        instrumentor.instrument(
            tracer_provider=pipeline.tracer_provider,
            meter_provider=pipeline.meter_provider,
            logger_provider=pipeline.logger_provider,
            settings=settings,
            queries=queries,
            pipeline=pipeline,
        )
    finally:
        _lock.release()
    if instrumentor.telemetry is not None:
        started(instrumentor.telemetry)


def _start_later(settings: Settings, pipeline: Pipeline, queries: RequestQueries, started: Started) -> None:
    with guard.log_errors("library:sqlalchemy", "SQLAlchemy cannot be instrumented; the app is not affected"):
        # Returns when the other thread has imported it.
        importlib.import_module("sqlalchemy.orm")
        _start(settings, pipeline, queries, started, again=False)
