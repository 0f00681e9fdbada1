"""Build the three providers, or use those of the host application.

Providers that are set already are used as they are, so that nothing is sent twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry import metrics as metrics_api
from opentelemetry import trace as trace_api
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, sampling

from otelflask._internal.compat import mod_wsgi, otel_configuration
from otelflask._internal.compat.otel_api import get_logger_provider, providers_that_are_set, set_logger_provider
from otelflask._internal.compat.otel_exporters import HTTP_EXPORTERS
from otelflask._internal.compat.otel_logs import LogRecordLimits
from otelflask._internal.compat.otel_metrics import preferences_of
from otelflask._internal.export.destinations import (
    Destination,
    GrpcDestination,
    HttpDestination,
    SdkDestination,
    Signal,
)
from otelflask._internal.export.environment import exporter_names
from otelflask._internal.export.otlp_encoder import Encoder
from otelflask._internal.export.otlp_framing import Framing
from otelflask._internal.export.outputs import Output
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.export.processors import QueueLogProcessor, QueueSpanProcessor
from otelflask._internal.export.queue import ExportQueue, QueueOptions
from otelflask._internal.export.scrubbed import scrubbed_records, scrubbed_spans
from otelflask._internal.export.self_metrics import QueueMetrics
from otelflask._internal.lifecycle.servers import is_worker
from otelflask._internal.limits import Limits
from otelflask._internal.redaction import Scrubber
from otelflask._internal.sdk import resource as resources
from otelflask._internal.sdk.ids import RandomIds, are_random
from otelflask._internal.sdk.logger_provider import LoggerProvider
from otelflask._internal.sdk.meter_provider import MeterProvider
from otelflask._internal.sdk.periodic_reader import PeriodicReader
from otelflask._internal.sdk.tracer_provider import TracerProvider
from otelflask._internal.settings import SettingError, Settings

_OTLP: dict[str, Callable[[Signal], Destination]] = {
    "otlp_proto_http": HttpDestination,
    "otlp_proto_grpc": GrpcDestination,
}


def _stock_exporter(signal: Signal, name: str) -> Any:
    names: dict[str, list[str]] = {"traces": [], "metrics": [], "logs": [], signal: [name]}
    try:
        found = otel_configuration.exporter_classes(names["traces"], names["metrics"], names["logs"])
    except RuntimeError:
        variable = f"OTEL_{signal.upper()}_EXPORTER"
        raise SettingError(
            f"{variable} names {name!r}, and no installed package offers such an exporter; "
            "allowed are otlp, console, none and what is installed"
        ) from None
    return found[("traces", "metrics", "logs").index(signal)][name]


def _destination(signal: Signal, name: str) -> Destination:
    if name in _OTLP:
        return _OTLP[name](signal)
    return SdkDestination(_stock_exporter(signal, name)(), f"{name}_exporter")


def build(
    settings: Settings,
    service_name: str,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
) -> Pipeline:
    """Build the pipeline of this process.

    A provider that is neither given nor set globally is built, with exporters by the standard
    variables, and set globally.

    Args:
        settings: The settings.
        service_name: The service's name, unless a setting gives one.
        tracer_provider: The caller's tracer provider.
        meter_provider: The caller's meter provider.
        logger_provider: The caller's logger provider.

    Raises:
        SettingError: A standard variable has a value that cannot work.
    """
    span_limits, log_limits = _limits_of(settings)
    scrubber = Scrubber(settings.redact_names.split(","), settings.redact_patterns.split())
    resource = resources.build(
        {
            "service.name": settings.service_name or service_name,
            "service.version": settings.service_version,
            "deployment.environment.name": settings.environment,
        },
        is_worker=is_worker(),
    )
    tracers, meters, loggers = providers_that_are_set()
    pipeline = Pipeline(
        tracer_provider or tracers,
        meter_provider or meters,
        logger_provider or loggers,
        scrubber,
        span_limits=Limits(
            _or(span_limits.max_span_attribute_length, settings.value_length),
            _or(span_limits.max_span_attributes, settings.attribute_count),
        ),
        log_limits=Limits(
            _or(log_limits.max_log_record_attribute_length, settings.value_length),
            _or(log_limits.max_log_record_attributes, settings.attribute_count),
        ),
        metric_limits=Limits(settings.value_length, settings.attribute_count),
        shutdown_timeout=min(settings.shutdown_timeout, mod_wsgi.seconds_at_end()),
        explicit_instance_id=resources.explicit_instance_id(),
    )
    if pipeline.meter_provider is None:
        _build_metrics(pipeline, settings, resource)
    if isinstance(pipeline.meter_provider, MeterProvider):
        # Before other functions, which complete what it measures.
        pipeline.meter_provider.before_collect.insert(0, pipeline.handover.drain)
    queue_metrics = pipeline.queue_metrics = QueueMetrics(pipeline.meter_provider)
    for queue in pipeline.queues:
        queue.on_result = queue_metrics.recorder("metrics", queue)
    if pipeline.tracer_provider is None:
        _build_traces(pipeline, settings, resource, span_limits, queue_metrics)
    if pipeline.logger_provider is None:
        _build_logs(pipeline, settings, resource, log_limits, queue_metrics)
    for queue in pipeline.queues:
        queue_metrics.add_queue(queue)
    return pipeline


def _queues(
    pipeline: Pipeline,
    signal: Signal,
    output: Output,
    framing: Framing,
    copies: Callable[[Sequence[Any]], Any],
    sizes: QueueOptions,
    queue_metrics: QueueMetrics,
) -> list[ExportQueue]:
    """Make the queues of a signal.

    Args:
        pipeline: The pipeline.
        signal: The signal.
        output: Gives encoded items to the queues of OTLP.
        framing: Makes requests of OTLP.
        copies: Makes masked copies for exporters with the SDK's interface.
        sizes: The sizes of a queue.
        queue_metrics: Counts what a queue does.

    Returns:
        The queues for the SDK's objects.
    """
    of_objects: list[ExportQueue] = []
    for name in exporter_names(signal):
        destination = _destination(signal, name)
        takes_objects = isinstance(destination, SdkDestination)
        encode: Callable[[Sequence[Any]], Any] = copies if takes_objects else framing.request
        queue = ExportQueue({"traces": "spans", "logs": "log records"}[signal], encode, destination, sizes)
        queue.on_result = queue_metrics.recorder(signal, queue)
        (of_objects if takes_objects else output.queues).append(queue)
        pipeline.queues.append(queue)
    return of_objects


def _limits_of(settings: Settings) -> tuple[SpanLimits, LogRecordLimits]:
    """The SDK's limits. They read the variables of spans, events, links and log records before the common ones.

    Raises:
        SettingError: A variable is not a number.
    """
    common = {"max_attributes": settings.attribute_count, "max_attribute_length": settings.value_length}
    try:
        return SpanLimits(**common), LogRecordLimits(**common)
    except ValueError as error:
        raise SettingError(f"{error}; allowed is a whole number of at least 0") from None


def _or(limit: int | None, otherwise: int) -> int:
    return otherwise if limit is None else limit


def _build_traces(
    pipeline: Pipeline, settings: Settings, resource: Resource, span_limits: SpanLimits, queue_metrics: QueueMetrics
) -> None:
    ids = otel_configuration.id_generator()
    provider = TracerProvider(
        sampler=otel_configuration.sampler() or sampling.DEFAULT_ON,
        resource=resource,
        shutdown_on_exit=False,
        id_generator=RandomIds() if are_random(ids) else ids,
        span_limits=span_limits,
    )
    sizes = QueueOptions(settings.span_queue_size, settings.span_batch_size, settings.span_schedule_delay / 1000)
    framing = Framing(Encoder(pipeline.scrubber, pipeline.span_limits), lambda: provider.resource)

    def copies(spans: Sequence[Any]) -> Any:
        return scrubbed_spans(spans, pipeline.scrubber, pipeline.span_limits)

    for queue in _queues(pipeline, "traces", pipeline.spans, framing, copies, sizes, queue_metrics):
        provider.add_span_processor(QueueSpanProcessor(queue, pipeline.shutdown_timeout))
    trace_api.set_tracer_provider(provider)
    pipeline.tracer_provider = provider
    if pipeline.spans.queues:
        pipeline.hand_over_spans()
    pipeline.owned.append(provider)


def _build_logs(
    pipeline: Pipeline, settings: Settings, resource: Resource, log_limits: LogRecordLimits, queue_metrics: QueueMetrics
) -> None:
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False, log_record_limits=log_limits)
    sizes = QueueOptions(settings.log_queue_size, settings.log_batch_size, settings.log_schedule_delay / 1000)
    framing = Framing(Encoder(pipeline.scrubber, pipeline.log_limits), lambda: provider.resource)

    def copies(records: Sequence[Any]) -> Any:
        return scrubbed_records(records, pipeline.scrubber, pipeline.log_limits)

    for queue in _queues(pipeline, "logs", pipeline.logs, framing, copies, sizes, queue_metrics):
        provider.add_log_record_processor(QueueLogProcessor(queue, pipeline.shutdown_timeout))
    set_logger_provider(provider)
    pipeline.logger_provider = get_logger_provider()
    if pipeline.logs.queues:
        pipeline.hand_over_logs()
    pipeline.owned.append(provider)


def _points(data: Any) -> int:
    """The number of data points in a collection."""
    return sum(
        len(metric.data.data_points)
        for resource_metrics in data.resource_metrics
        for scope_metrics in resource_metrics.scope_metrics
        for metric in scope_metrics.metrics
    )


def _build_metrics(pipeline: Pipeline, settings: Settings, resource: Resource) -> None:
    readers: list[MetricReader] = []

    def encode(batch: Sequence[Any]) -> bytes:
        # MetricsData messages may be concatenated: protobuf merges repeated fields.
        return b"".join(encode_metrics(pipeline.scrubbed_metrics(data)).SerializePartialToString() for data in batch)

    queues = []
    temporality: Mapping[type, Any] | None = None
    aggregation: Mapping[type, Any] | None = None
    for name in exporter_names("metrics"):
        if name in _OTLP:
            destination: Destination = _OTLP[name]("metrics")
            # The stock exporter reads the variables for temporality and aggregation.
            preferences = HTTP_EXPORTERS["metrics"]()
            encode_batch: Callable[[Sequence[Any]], Any] = encode
        else:
            component = _stock_exporter("metrics", name)
            if issubclass(component, MetricReader):
                readers.append(component())
                continue
            preferences = component()
            destination = SdkDestination(preferences, f"{name}_exporter")

            def encode_batch(batch: Sequence[Any]) -> Any:
                return pipeline.scrubbed_metrics(batch[-1])

        if isinstance(preferences, MetricExporter):
            temporality, aggregation = preferences_of(preferences)
        # Each collection replaces the one before: a few are enough for a receiver that is away.
        queues.append(
            ExportQueue(
                "metrics", encode_batch, destination, QueueOptions(8, 1, settings.metric_interval / 1000), _points
            )
        )
    if queues:

        def deliver(data: Any) -> None:
            for queue in queues:
                queue.append(data)

        def send(seconds: float) -> bool:
            deadline = time.monotonic() + seconds
            # Each queue is tried, also after one that was late.
            done = [queue.flush(max(0.0, deadline - time.monotonic())) for queue in queues]
            return all(done)

        pipeline.reader = PeriodicReader(
            deliver,
            send,
            settings.metric_interval / 1000,
            dict(temporality) if temporality else None,
            dict(aggregation) if aggregation else None,
        )
        readers.append(pipeline.reader)
    provider = MeterProvider(metric_readers=readers, resource=resource, cap=settings.metric_sets)
    metrics_api.set_meter_provider(provider)
    pipeline.meter_provider = provider
    pipeline.queues += queues
    pipeline.owned.append(provider)
    if pipeline.reader is not None:
        pipeline.reader.start()
