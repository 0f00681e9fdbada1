"""What there is once a process: pipeline, log capture, error reports, database, other libraries, runtime metrics."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otelflask import guard, libraries, lifecycle
from otelflask.circuits import telemetry as breakers
from otelflask.errors.emission import Report
from otelflask.errors.engine import SentryFlush
from otelflask.errors.making import Fingerprint, ReportMaker
from otelflask.errors.reports import Reports
from otelflask.health.checks import Checks
from otelflask.imports import when_imported
from otelflask.logs import capture, events, output
from otelflask.pipeline import environment, providers
from otelflask.pipeline.providers import Pipeline
from otelflask.pipeline.state import state_folder, state_path
from otelflask.runtime import RuntimeMetrics
from otelflask.settings import Settings
from otelflask.users import ActiveUsers
from otelflask.versions import is_supported

if TYPE_CHECKING:
    from otelflask.exposition.page import MetricsPage
    from otelflask.monitor.process import Monitor
    from otelflask.profiling.continuous import ContinuousProfiler

#: Settings of what there is once a process; all others may differ from app to app.
OF_PROCESS = (
    "service_name", "service_version", "logs", "log_level", "log_dir", "log_file_format", "log_file_size",
    "log_file_count", "log_file_queue_size", "console", "active_users", "runtime_metrics", "reports", "report_level",
    "reports_per_minute", "state_dir", "mail_to", "mail_from", "mail_server", "mail_security", "mail_user",
    "mail_password", "mail_per_day", "database", "slow_query_threshold", "slow_query_plan", "repeated_query_count",
    "repeated_query_time", "libraries", "breaker_redis", "value_length", "attribute_count", "metric_sets",
    "metric_interval", "shutdown_timeout", "span_queue_size", "span_batch_size", "span_schedule_delay",
    "log_queue_size", "log_batch_size", "log_schedule_delay",
)  # fmt: skip

_INSTRUMENTOR = "otelflask.database.instrumentor"
_lock = threading.Lock()
_database_lock = threading.Lock()
_process: Process | None = None


@dataclass
class Process:
    """What there is once a process, however many apps it has."""

    settings: Settings
    pipeline: Pipeline
    #: What the processes of one service have in common.
    of_service: str
    events: events.Events
    breakers: breakers.Breakers
    runtime: RuntimeMetrics | None = None
    reports: Reports | None = None
    users: ActiveUsers | None = None
    health: Checks | None = None
    metrics: MetricsPage | None = None
    pyroscope: ContinuousProfiler | None = None
    monitor: Monitor | None = None

    @property
    def resource(self) -> dict[str, Any]:
        """Attributes of the resource, as logs have it."""
        found = getattr(self.pipeline.logger_provider, "resource", None)
        return dict(found.attributes) if found is not None else {}


def start(
    settings: Settings,
    service_name: str,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    error_fingerprint: Fingerprint | None = None,
) -> Process:
    """Start what there is once a process: pipeline, log capture, error reports, database, runtime metrics.

    With providers of the caller's a second app gets a process state of its
    own; otherwise all apps share the first one's.
    """
    global _process
    brought = any(provider is not None for provider in (tracer_provider, meter_provider, logger_provider))
    with _lock:
        if _process is not None and not brought:
            _join(_process, settings, error_fingerprint)
            return _process
        if settings.mail_to or settings.state_dir:
            # Before anything is started: a folder that cannot be used is an error of the settings'.
            state_folder(settings)
        other_libraries = libraries.chosen(settings.libraries)
        environment.use_stable_names()
        pipeline = providers.build(settings, service_name, tracer_provider, meter_provider, logger_provider)
        of_service = f"{settings.service_name or service_name}/{settings.environment}"
        process = Process(
            settings,
            pipeline,
            of_service,
            events.Events(pipeline.logger_provider, pipeline.meter_provider, pipeline.log_limits),
            breakers.Breakers(pipeline.logger_provider, pipeline.meter_provider, settings.breaker_redis, of_service),
        )
        events.use(process.events)
        breakers.use(process.breakers)
        lifecycle.on_fork(process.breakers)
        if settings.console == "traces":
            from otelflask.console import attach

            attach(pipeline, sys.stderr)
        if settings.log_dir:
            output.attach_files(pipeline, settings)
        if settings.logs:
            capture.install(pipeline.logger_provider, settings.log_level, pipeline.log_limits)
        if settings.reports:
            tell = _start_mail(process) if settings.mail_to else None
            maker = ReportMaker(
                pipeline.logger_provider, pipeline.meter_provider, settings, pipeline.scrubber, error_fingerprint, tell
            )
            process.reports = Reports(pipeline.logger_provider, maker, settings)
            capture.add(process.reports)
            lifecycle.on_fork(process.reports)
            pipeline.before_flush.append(process.reports.flush)
            pipeline.senders.append(SentryFlush())
        if settings.active_users:
            process.users = ActiveUsers(pipeline.meter_provider, state_path(settings), of_service)
            lifecycle.on_fork(process.users)
        if settings.runtime_metrics:
            process.runtime = RuntimeMetrics(pipeline.meter_provider)
            lifecycle.on_fork(process.runtime)
        if settings.database and is_supported("SQLAlchemy"):
            _await_database(settings, pipeline)
        libraries.instrument(other_libraries, pipeline)
        lifecycle.on_fork(pipeline)
        lifecycle.end_in_time(pipeline)
        if _process is None:
            _process = process
        return process


def _join(process: Process, settings: Settings, error_fingerprint: Fingerprint | None) -> None:
    """One more app: what it wants masked is masked, and what it wants otherwise than the process has it is named."""
    scrubber = process.pipeline.scrubber
    scrubber.add(settings.redact_names.split(","), settings.redact_patterns.split())
    differs = [name for name in OF_PROCESS if getattr(settings, name) != getattr(process.settings, name)]
    said = [
        f"{name}={scrubber.value(name, getattr(settings, name))!r} (it has "
        f"{scrubber.value(name, getattr(process.settings, name))!r})"
        for name in differs
    ]
    if error_fingerprint is not None:
        said.append("error_fingerprint")
    if said:
        guard.say(
            "joined",
            "what a process has once was set by its first app, or by zero code: %s is not used; set it there",
            ", ".join(said),
        )


def _start_mail(process: Process) -> Callable[[Report, int], None]:
    # Imported where it is wanted: it brings the mail and TLS modules.
    from otelflask.errors.mail import ErrorMail

    pipeline = process.pipeline
    mail = ErrorMail(
        process.settings, process.resource, pipeline.scrubber, pipeline.log_limits, pipeline.meter_provider
    )
    pipeline.senders.append(mail)
    return mail.told


def _await_database(settings: Settings, pipeline: Pipeline) -> None:
    """Follow SQLAlchemy's engines as soon as it is there. Whichever of the two is imported first imports the other."""
    action = functools.partial(_start_database, settings, pipeline)
    for name in ("sqlalchemy", _INSTRUMENTOR):
        when_imported(name, action)


def _start_database(settings: Settings, pipeline: Pipeline, again: bool = True) -> None:
    try:
        module = importlib.import_module(_INSTRUMENTOR)
    except ImportError:
        if not again:
            raise
        # Another thread is at a part of it, and may wait for what this one imports: neither may wait for the other.
        threading.Thread(
            target=_start_database_later, args=(settings, pipeline), name="otelflask-database", daemon=True
        ).start()
        return
    kind = getattr(module, "SQLAlchemyInstrumentor", None)
    if kind is None:
        # It is what imports SQLAlchemy: it is waited for too.
        return
    if not _database_lock.acquire(blocking=False):
        # Another thread is at it. To wait for it here, within an import that it may wait for, would be for ever.
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
        )
    finally:
        _database_lock.release()
    if instrumentor.telemetry is not None:
        lifecycle.on_fork(instrumentor.telemetry)
        plans = instrumentor.telemetry.query_watch.plans
        if plans is not None:
            pipeline.before_flush.append(plans.flush)


def _start_database_later(settings: Settings, pipeline: Pipeline) -> None:
    try:
        # Returns when whoever is at it has imported it.
        importlib.import_module("sqlalchemy.orm")
        _start_database(settings, pipeline, again=False)
    except Exception:
        guard.say("library:sqlalchemy", "SQLAlchemy cannot be instrumented; the app is not affected", exc_info=True)


def is_reloader_parent() -> bool:
    """Whether this is the process that only watches files for Flask's reloader.

    Werkzeug runs the app again in a child with ``WERKZEUG_RUN_MAIN``; a
    parent is recognised by being about to start it.
    """
    if os.environ.get("WERKZEUG_RUN_MAIN") == "true":
        return False
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    if program in ("flask", "__main__.py") and "run" in sys.argv:
        arguments = sys.argv
        if "--no-reload" in arguments:
            return False
        debug = os.environ.get("FLASK_DEBUG", "").lower() not in ("", "0", "false", "no")
        return "--reload" in arguments or "--debug" in arguments or debug
    return False


def flush(timeout: float | None = None) -> bool:
    """Send everything now, such as before an ``os._exit``.

    In: seconds to wait (default: setting `shutdown_timeout`). Out: whether
    all was tried in time; True where nothing was started.
    """
    return _process.pipeline.flush(timeout) if _process is not None else True


def shutdown(timeout: float | None = None) -> None:
    """Flush and end the process's telemetry within `timeout` seconds (default: setting `shutdown_timeout`)."""
    if _process is not None:
        _process.pipeline.shutdown(timeout)
