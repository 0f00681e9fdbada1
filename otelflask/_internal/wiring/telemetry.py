"""What a process has once, however many apps it has: the pipeline, the observers, and other components."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from flask import Flask
from flask.helpers import get_debug_flag

from otelflask._internal import guard
from otelflask._internal.breaker.registry import Breakers
from otelflask._internal.error_reports.reporter import Reporter
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.health.checks import Checks
from otelflask._internal.instrumentation.database.request_queries import RequestQueries
from otelflask._internal.instrumentation.http.metrics import HttpMetrics
from otelflask._internal.instrumentation.http.views import RequestViews
from otelflask._internal.instrumentation.logs.events import Events
from otelflask._internal.instrumentation.users.active_users import ActiveUsers
from otelflask._internal.lifecycle import forks
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.lifecycle.shared_end import SharedEnd
from otelflask._internal.observers import RequestObserver
from otelflask._internal.settings import Settings

if TYPE_CHECKING:
    # Imported on use, because each needs a library.
    from otelflask._internal.live_page.live_page import LivePage
    from otelflask._internal.metrics_page.endpoint import MetricsPage
    from otelflask._internal.profiles.continuous_profiler import ContinuousProfiler


@dataclass(eq=False)
class Telemetry:
    """A process's telemetry. `service` is what the processes of one service have in common."""

    settings: Settings
    pipeline: Pipeline
    service: str
    events: Events
    breakers: Breakers
    metrics: HttpMetrics
    views: RequestViews
    #: Settings that the process has used, by name. A later app that differs gets a log line.
    made_with: dict[str, Any] = field(default_factory=dict)
    queries: RequestQueries | None = None
    users: ActiveUsers | None = None
    reports: Reporter | None = None
    monitor: LivePage | None = None
    #: Components that neither observe requests nor send. They are flushed first.
    parts: list[Component] = field(default_factory=list)
    #: Components that apps share, made for the first app that wants them.
    health: Checks | None = None
    metrics_page: MetricsPage | None = None
    pyroscope: ContinuousProfiler | None = None
    has_logged_start: bool = False
    #: The apps that it is installed into.
    apps: WeakSet[Flask] = field(default_factory=WeakSet)
    #: Held while a request is profiled.
    profiles: threading.Lock | None = None
    _end: SharedEnd = field(default_factory=SharedEnd)

    @property
    def is_debug(self) -> bool:
        """Whether an app is in debug mode now, or ``flask run --debug`` has started the process."""
        return get_debug_flag() or any(app.debug for app in list(self.apps))

    def repeated_query_time(self) -> float:
        """The minimum total time of an N+1, in seconds: none in development, where databases are small, unless set."""
        seconds = self.settings.repeated_query_time
        is_development = self.is_debug or self.settings.is_development
        return 0.0 if is_development and seconds == Settings.repeated_query_time else seconds

    @property
    def observers(self) -> list[RequestObserver]:
        """The observers of requests beside those of their own signals, in the order in which they are called."""
        ring = self.monitor.ring if self.monitor is not None else None
        observers = (self.queries, self.users, self.reports, ring)
        return [observer for observer in observers if observer is not None]

    def observers_of(self, has_live_page: bool) -> list[RequestObserver]:
        """The observers of one app's requests.

        Args:
            has_live_page: Whether somebody may see its live page.
        """
        ring = self.monitor.ring if self.monitor is not None else None
        return [observer for observer in self.observers if has_live_page or observer is not ring]

    def job_begins(self) -> None:
        """Show this process on the live page of a server, where it runs jobs and serves no request."""
        if self.monitor is not None:
            self.monitor.publisher.join()

    @property
    def shutdown_timeout(self) -> float:
        """Seconds that the end of the process may wait."""
        return self.pipeline.shutdown_timeout

    @property
    def is_serving(self) -> bool:
        """Whether a request is being answered."""
        return self.metrics.active() > 0

    def after_fork(self) -> None:
        """Reset everything in a forked child."""
        for part in (self.metrics, *self.observers, *self.parts):
            forks.reset(part)
        forks.reset(self.pipeline)

    def flush(self, timeout: float | None = None) -> bool:
        """Send everything now.

        Args:
            timeout: Seconds (default: `shutdown_timeout`).

        Returns:
            Whether everything was tried in time.
        """
        return self._within(timeout, self.pipeline.flush)

    def shutdown(self, timeout: float | None = None) -> None:
        """Flush and end. A second call does nothing.

        Args:
            timeout: Seconds (default: what is left of `shutdown_timeout` for this process's tree).
        """
        if self.pipeline.is_closed:
            return
        began = time.monotonic()
        self._within(self._end.seconds(self.shutdown_timeout) if timeout is None else timeout, self.pipeline.shutdown)
        self._end.note(began)

    def _within(self, timeout: float | None, send: Callable[[float], Any]) -> bool:
        # What a process has from its parent, the parent sends.
        forks.notice()
        deadline = time.monotonic() + (self.shutdown_timeout if timeout is None else timeout)
        done = [
            guard.call_hook("flush of a component", part.flush, deadline) for part in (*self.observers, *self.parts)
        ]
        return send(max(0.0, deadline - time.monotonic())) is not False and False not in done
