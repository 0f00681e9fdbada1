"""Make what a process has once, by its settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from flask import Flask

from otelflask._internal.breaker import registry
from otelflask._internal.error_reports.builder import ReportBuilder
from otelflask._internal.error_reports.report import Report
from otelflask._internal.error_reports.reporter import Reporter
from otelflask._internal.error_reports.sentry import SentryFlush
from otelflask._internal.export.environment import use_stable_names
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.instrumentation import jobs, libraries, threads, websockets
from otelflask._internal.instrumentation.database.request_queries import RequestQueries
from otelflask._internal.instrumentation.database.start import await_sqlalchemy
from otelflask._internal.instrumentation.http.instrumentor import EXTENSION_KEY
from otelflask._internal.instrumentation.http.metrics import HttpMetrics
from otelflask._internal.instrumentation.http.views import RequestViews
from otelflask._internal.instrumentation.logs import capture, events
from otelflask._internal.instrumentation.runtime import RuntimeMetrics
from otelflask._internal.instrumentation.users.active_users import ActiveUsers
from otelflask._internal.local_output.attach import attach_files
from otelflask._internal.settings import PER_PROCESS, WHEN_WANTED, Settings
from otelflask._internal.settings.libraries import chosen, is_disabled
from otelflask._internal.shared_folder import SharedFolder
from otelflask._internal.supported_versions import is_supported
from otelflask._internal.wiring import providers, variables
from otelflask._internal.wiring.options import PROVIDERS, Hooks
from otelflask._internal.wiring.telemetry import Telemetry
from otelflask._internal.wsgi import WsgiApp

#: The SDK's name for a service without a name (Resource Semantic Conventions, "service.name").
_UNKNOWN = "unknown_service"


def make_telemetry(settings: Settings, service_name: str, hooks: Hooks) -> Telemetry:
    """Make and start the process's telemetry.

    Args:
        settings: The settings.
        service_name: The service's name, unless a setting gives one.
        hooks: Options of `init` that are not settings.

    Raises:
        SettingError: A value cannot be used here, such as a folder that other users can write to.
    """
    if settings.mail_to or settings.state_dir:
        # Before anything is started, because the folder is a setting.
        SharedFolder.of(settings).check()
    variables.tell(settings, os.environ)
    other_libraries = chosen(settings.libraries)
    use_stable_names()
    pipeline = providers.build(settings, service_name, *(hooks.get(name) for name in PROVIDERS))
    logger_provider, meter_provider = pipeline.logger_provider, pipeline.meter_provider
    service = _service_of(pipeline, settings.service_name or service_name, settings.environment)
    metrics = HttpMetrics.by(meter_provider)
    telemetry = Telemetry(
        settings,
        pipeline,
        service,
        events.Events(logger_provider, meter_provider, pipeline.log_limits),
        registry.Breakers(logger_provider, meter_provider, settings.breaker_redis, service),
        metrics,
        RequestViews(pipeline, metrics),
        made_with={
            name: getattr(settings, name) for name in PER_PROCESS if name not in WHEN_WANTED and name != "environment"
        }
        | {"service_name": settings.service_name or service_name},
    )
    events.in_use.use(telemetry.events)
    registry.in_use.use(telemetry.breakers)
    telemetry.parts.append(telemetry.breakers)
    if settings.console == "traces":
        from otelflask._internal.local_output.trace_tree import attach_tree

        view = attach_tree(pipeline, sys.stderr)
        if view is not None:
            telemetry.parts.append(view)
    if settings.log_dir:
        attach_files(pipeline, settings)
    if settings.logs and not is_disabled("logging"):
        capture.install(logger_provider, settings.log_level, pipeline.log_limits)
    if settings.reports:
        telemetry.reports = _reports(telemetry, hooks)
    if settings.active_users:
        telemetry.users = ActiveUsers(meter_provider, SharedFolder.of(settings), service)
    if settings.runtime_metrics and not is_disabled("system_metrics"):
        telemetry.parts.append(RuntimeMetrics(meter_provider))
    if settings.database and not is_disabled("sqlalchemy") and is_supported("SQLAlchemy"):
        telemetry.queries = RequestQueries(
            logger_provider, settings.repeated_query_count, telemetry.repeated_query_time, joins=False
        )
        await_sqlalchemy(settings, pipeline, telemetry.queries, telemetry.parts.append)
    libraries.instrument(other_libraries, pipeline)
    if not is_disabled("threading"):
        threads.instrument()
    jobs.instrument(pipeline, settings, telemetry.shutdown, telemetry.job_begins)
    if not is_disabled("websockets"):
        websockets.instrument(pipeline, settings.websocket_spans, _surround)
    return telemetry


def _surround(app: Flask, wrap: Callable[[WsgiApp], WsgiApp]) -> bool:
    """Wrap an app within its instrumentation. Return whether it is instrumented."""
    instrumented = app.extensions.get(EXTENSION_KEY)
    if instrumented is None:
        return False
    instrumented.surround(wrap)
    return True


def _service_of(pipeline: Pipeline, name: str, environment: str) -> str:
    """What the processes of one service have in common.

    The resource may belong to the app, and other variables may name it.
    """
    found = pipeline.resource
    known = str(found.get("service.name", ""))
    return f"{name if known.startswith(_UNKNOWN) else known}/{found.get('deployment.environment.name', environment)}"


def _reports(telemetry: Telemetry, hooks: Hooks) -> Reporter:
    pipeline, settings = telemetry.pipeline, telemetry.settings
    notify = _mail(telemetry) if settings.mail_to else None
    maker = ReportBuilder(
        pipeline.logger_provider,
        pipeline.meter_provider,
        settings,
        pipeline.scrubber,
        hooks.get("error_fingerprint"),
        notify,
    )
    reports = Reporter(pipeline.logger_provider, maker, settings)
    capture.add(reports)
    pipeline.senders.append(SentryFlush())
    return reports


def _mail(telemetry: Telemetry) -> Callable[[Report, int], None]:
    # Imported on use, because it imports the mail and TLS modules.
    from otelflask._internal.notifications.mail import ErrorMail

    pipeline = telemetry.pipeline
    mail = ErrorMail(
        telemetry.settings,
        telemetry.service,
        pipeline.resource,
        pipeline.scrubber,
        pipeline.log_limits,
        pipeline.meter_provider,
    )
    pipeline.senders.append(mail)

    def notify(report: Report, count: int) -> None:
        if telemetry.settings.mail_in_debug or not telemetry.is_debug:
            mail.notify(report, count)

    return notify
