"""What the engines of a process share: span starter, instruments, options."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from opentelemetry.metrics import MeterProvider
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from otelflask._internal.compat.sqlalchemy import engine_below
from otelflask._internal.instrumentation.database.commenter import Commenter
from otelflask._internal.instrumentation.database.engine import EngineTelemetry, Shared
from otelflask._internal.instrumentation.database.pools import PoolMetrics
from otelflask._internal.instrumentation.database.request_queries import RequestQueries
from otelflask._internal.instrumentation.database.slow_queries import SlowQueries
from otelflask._internal.instrumentation.database.views import SCHEMA_URL, StatementViews
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.locks import new_lock
from otelflask._internal.sdk import durations
from otelflask._internal.sdk.spans import SpanStarter
from otelflask._internal.version import __version__


class DatabaseTelemetry(Component):
    """What all engines share: span starter, instruments, options.

    Args:
        starter: Starts spans.
        meter_provider: Where durations and connections are measured.
        slow: Records slow statements.
        queries: Counts the statements of a request, and finds repeated ones.
        commenter: Adds comments to statements; None for no comments.
        views: Takes statements that need not be objects in the app's thread; None where all must.
    """

    def __init__(
        self,
        starter: SpanStarter,
        meter_provider: MeterProvider,
        slow: SlowQueries,
        queries: RequestQueries,
        commenter: Commenter | None,
        views: StatementViews | None,
    ) -> None:
        meter = meter_provider.get_meter("otelflask.database", __version__, SCHEMA_URL)
        self.slow = slow
        self._shared = Shared(
            starter,
            slow,
            queries,
            PoolMetrics(meter, self._named_pools),
            meter.create_histogram(
                "db.client.operation.duration",
                unit="s",
                description="Duration of database client operations.",
                explicit_bucket_boundaries_advisory=durations.DATABASE,
            ),
            commenter,
            views,
        )
        # Weak, so that an engine that the app drops is freed, with its connections.
        self._engines: WeakKeyDictionary[Engine, EngineTelemetry] = WeakKeyDictionary()
        self._lock = new_lock()

    def after_fork(self) -> None:
        if self.slow.plans is not None:
            self.slow.plans.after_fork()

    def flush(self, deadline: float) -> bool:
        """Wait up to one second for plans that are being read, then emit the records without a plan.

        `deadline` is not used.
        """
        if self.slow.plans is not None:
            self.slow.plans.flush()
        return True

    def instrument_engine(self, engine: Engine) -> None:
        """Instrument an engine. A second call changes nothing."""
        engine = engine_below(engine)
        with self._lock:
            if engine not in self._engines:
                self._engines[engine] = EngineTelemetry(self._shared, engine)

    def engines(self) -> list[Engine]:
        """All engines that the app has, used or not."""
        with self._lock:
            return list(self._engines)

    def detach_all(self) -> None:
        """Detach from all engines."""
        with self._lock:
            for engine, telemetry in self._engines.items():
                telemetry.detach(engine)
            self._engines.clear()

    def _named_pools(self) -> list[tuple[str, Pool]]:
        with self._lock:
            return [
                (telemetry.pool_name, engine.pool) for engine, telemetry in self._engines.items() if telemetry.is_used
            ]
