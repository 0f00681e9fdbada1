"""Our SQLAlchemy instrumentor, in place of OpenTelemetry's. It accepts the same arguments.

OpenTelemetry's declares ``sqlalchemy < 2.1``. With 2.1 installed it does nothing but log one line.
This one works with both versions.
"""

from __future__ import annotations

import gc
from collections.abc import Collection
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.metrics import get_meter_provider
from sqlalchemy.engine import Dialect, Engine

from otelflask._internal import guard
from otelflask._internal.compat.otel_api import get_logger_provider
from otelflask._internal.compat.sqlalchemy import when_made
from otelflask._internal.instrumentation.database.commenter import Commenter
from otelflask._internal.instrumentation.database.plan import PlanReader
from otelflask._internal.instrumentation.database.request_queries import RequestQueries
from otelflask._internal.instrumentation.database.slow_queries import SlowQueries
from otelflask._internal.instrumentation.database.telemetry import DatabaseTelemetry
from otelflask._internal.instrumentation.database.views import SCHEMA_URL, StatementViews
from otelflask._internal.sdk.spans import SpanStarter
from otelflask._internal.settings import Settings
from otelflask._internal.supported_versions import OLDEST, is_supported
from otelflask._internal.version import __version__


class SQLAlchemyInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Instruments all SQLAlchemy engines of the process, sync and async, made before or afterwards.

    Takes the arguments of OpenTelemetry's `SQLAlchemyInstrumentor`: ``engine``, ``engines`` (then only
    these), ``tracer_provider``, ``meter_provider``, ``logger_provider``, ``enable_commenter``,
    ``commenter_options``, ``enable_attribute_commenter``. The arguments ``settings``, ``queries``
    and ``pipeline`` are for otelflask itself.
    """

    telemetry: DatabaseTelemetry | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        return (f"sqlalchemy >= {OLDEST['SQLAlchemy']}",)

    def instrument(self, **kwargs: Any) -> None:
        """Instrument the engines. A SQLAlchemy that is too old is left alone."""
        if is_supported("SQLAlchemy"):
            super().instrument(**kwargs)

    def _instrument(self, **kwargs: Any) -> None:
        settings: Settings = kwargs.get("settings") or Settings()
        tracer = trace_api.get_tracer(
            "otelflask.database", __version__, kwargs.get("tracer_provider"), schema_url=SCHEMA_URL
        )
        self.telemetry = DatabaseTelemetry(
            SpanStarter(tracer),
            kwargs.get("meter_provider") or get_meter_provider(),
            SlowQueries(
                kwargs.get("logger_provider") or get_logger_provider(),
                settings.slow_query_threshold,
                PlanReader() if settings.slow_query_plan else None,
            ),
            kwargs.get("queries") or self._joining(kwargs.get("logger_provider") or get_logger_provider(), settings),
            Commenter(kwargs.get("commenter_options") or {}, bool(kwargs.get("enable_attribute_commenter", False)))
            if kwargs.get("enable_commenter", False)
            else None,
            StatementViews(kwargs["pipeline"]) if "pipeline" in kwargs else None,
        )
        given = [engine for engine in [kwargs.get("engine"), *(kwargs.get("engines") or ())] if engine is not None]
        self._all = not given
        if given:
            for engine in given:
                self.telemetry.instrument_engine(getattr(engine, "sync_engine", engine))
            return
        for engine in _made_before():
            self.telemetry.instrument_engine(engine)
        self._no_more = when_made(Dialect, self._made)

    @staticmethod
    def _joining(logger_provider: Any, settings: Settings) -> RequestQueries:
        return RequestQueries(
            logger_provider, settings.repeated_query_count, lambda: settings.repeated_query_time, joins=True
        )

    def _made(self, engine: Engine) -> None:
        if self.telemetry is not None:
            guard.notify_each("instrumenting an engine", (self.telemetry.instrument_engine,), engine)

    def _uninstrument(self, **kwargs: Any) -> None:
        if self._all:
            self._no_more()
        if self.telemetry is not None:
            self.telemetry.detach_all()
            self.telemetry = None


def _made_before() -> list[Engine]:
    """The engines that exist already, found as referrers of their class.

    Not by `gc.get_objects()`: while its list exists, `tuple(...)` of a generator raises SystemError
    in other threads.
    """
    classes: list[type[Engine]] = [Engine]
    for each in classes:
        classes.extend(each.__subclasses__())
    return [item for item in gc.get_referrers(*classes) if isinstance(item, Engine)]
