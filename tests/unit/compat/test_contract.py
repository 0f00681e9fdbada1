"""Private names of others exist and do what their names here say. A new version fails here first."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator

import flask
import psutil
import pytest
from opentelemetry import context as context_api
from opentelemetry import propagate
from opentelemetry import trace as trace_api
from opentelemetry.instrumentation import flask as contrib
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind

from otelflask._internal.compat import (
    otel_api,
    otel_clock,
    otel_configuration,
    otel_exporters,
    otel_grpc,
    otel_instrumentation,
    otel_logs,
    otel_prometheus,
    otel_trace,
)
from otelflask.testing import FakeCollector, Reply

OTHER = Resource({"service.name": "other"})


def test_the_key_that_suppresses_instrumentation() -> None:
    token = context_api.attach(context_api.set_value(otel_api.SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        assert not is_instrumentation_enabled()
    finally:
        context_api.detach(token)
    assert is_instrumentation_enabled()


def test_a_context_that_is_made_the_current_one_is_opentelemetrys() -> None:
    mine = context_api.set_value("color", "red")
    token = otel_api.attach(mine)
    try:
        assert context_api.get_current() is otel_api.current_context() is mine
    finally:
        otel_api.detach(token)
    assert context_api.get_value("color") is None
    assert otel_api.without_instrumentation()[otel_api.SUPPRESS_INSTRUMENTATION_KEY] is True
    span = trace_api.NonRecordingSpan(trace_api.SpanContext(1, 2, False))
    assert trace_api.get_current_span(context_api.Context({otel_api.SPAN_KEY: span})) is span


def test_the_parts_of_a_composite_propagator() -> None:
    assert len(otel_api.parts_of_propagator(propagate.get_global_textmap())) == 2


def test_providers_that_are_set_globally() -> None:
    assert len(otel_api.providers_that_are_set()) == 3


def test_an_attribute_value_as_the_sdk_takes_it() -> None:
    assert otel_api.clean_attribute_value("lamp", None) == "lamp"
    assert otel_api.clean_attribute_value([1, 2], None) == (1, 2)


def test_a_generator_that_is_a_context_manager_and_a_decorator() -> None:
    @otel_api.context_manager
    def numbers() -> Iterator[int]:
        yield 7

    with numbers() as found:
        assert found == 7


class _Notes(sdk_trace.SpanProcessor):
    def __init__(self) -> None:
        self.endings: list[str] = []

    def _on_ending(self, span: sdk_trace.Span) -> None:
        self.endings.append(span.name)


@pytest.fixture
def notes() -> _Notes:
    return _Notes()


@pytest.fixture
def provider(notes: _Notes) -> sdk_trace.TracerProvider:
    processors = otel_trace.SpanProcessorList()
    provider = sdk_trace.TracerProvider(active_span_processor=processors, shutdown_on_exit=False)
    provider.add_span_processor(notes)
    return provider


def test_a_list_of_span_processors_knows_which_do_something_when(
    provider: sdk_trace.TracerProvider, notes: _Notes
) -> None:
    class Ends(sdk_trace.SpanProcessor):
        only_ended_spans = True

    ends = Ends()
    provider.add_span_processor(ends)
    processors = provider._active_span_processor
    assert isinstance(processors, otel_trace.SpanProcessorList)
    assert processors.processors == (notes, ends)
    assert processors.listeners_before_end == (notes,)
    # As tests do, to remove all of them.
    processors._span_processors = ()
    assert processors.processors == processors.listeners_before_end == ()


def test_a_span_of_the_sdk_and_its_tracer(provider: sdk_trace.TracerProvider, notes: _Notes) -> None:
    tracer = provider.get_tracer("shop")
    span = tracer.start_span("work", record_exception=False)
    assert otel_trace.is_tracer_enabled(tracer)
    assert type(span) is otel_trace.SdkSpan
    assert otel_trace.exception_options_of(span) == (False, True)
    assert otel_trace.trace_flags_of(span) & 1
    getattr(notes, otel_trace.ENDING)(span)
    assert notes.endings == ["work"]


def test_the_samplers_that_a_parent_based_one_asks() -> None:
    class Mine(sampling.StaticSampler):
        pass

    mine = Mine(sampling.Decision.DROP)
    sampler = sampling.ParentBased(sampling.ALWAYS_OFF)
    assert otel_trace.sampler_of_roots(sampler) is sampling.ALWAYS_OFF
    for alone in (sampler, sampling.ALWAYS_ON, sampling.ParentBased(sampler), sampling.ParentBasedTraceIdRatio(0.5)):
        assert otel_trace.asks_nobody_else(alone)
    for asks in (mine, sampling.ParentBased(mine), sampling.ParentBased(sampling.ParentBased(mine))):
        assert not otel_trace.asks_nobody_else(asks)


def test_what_samplers_do_with_roots_and_with_children() -> None:
    on, off = sampling.ALWAYS_ON, sampling.ALWAYS_OFF
    assert otel_trace.samples_roots(on)
    assert otel_trace.samples_roots(sampling.ParentBased(on))
    assert not otel_trace.samples_roots(sampling.ParentBased(off))
    assert otel_trace.samples_children(sampling.ParentBased(off))
    assert not otel_trace.samples_children(sampling.ParentBased(on, local_parent_sampled=off))
    assert not otel_trace.samples_children(off)


def test_a_tracers_processors_and_scope(provider: sdk_trace.TracerProvider) -> None:
    tracer = provider.get_tracer("shop", "1.2")
    before = otel_trace.processors_of_tracer(tracer)
    assert before == provider._active_span_processor._span_processors
    provider.add_span_processor(sdk_trace.SpanProcessor())
    after = otel_trace.processors_of_tracer(tracer)
    assert before is not None
    assert after is not None
    assert len(after) == len(before) + 1
    assert otel_trace.scope_of_tracer(tracer).name == "shop"
    assert otel_trace.processors_of_tracer(trace_api.NoOpTracer()) is None


def test_a_layered_span_makes_its_attributes_when_something_reads_them(provider: sdk_trace.TracerProvider) -> None:
    tracer = provider.get_tracer("shop")
    assert isinstance(tracer, sdk_trace.Tracer)
    made: list[int] = []

    def make() -> tuple[dict[str, str], ...]:
        made.append(1)
        return ({"color": "red"},)

    context = trace_api.SpanContext(1, 2, False)
    span = otel_trace.LayeredSpan(tracer, "work", context, None, SpanKind.SERVER, make, 5)
    assert made == []
    assert span.attributes == span.attributes == {"color": "red"}
    assert made == [1]
    assert span.is_untouched
    span.set_status(trace_api.StatusCode.OK)
    assert not span.is_untouched


def test_a_layered_span_is_a_whole_span_of_the_sdk(provider: sdk_trace.TracerProvider) -> None:
    tracer = provider.get_tracer("shop")
    assert isinstance(tracer, sdk_trace.Tracer)
    ids = RandomIdGenerator()
    context = trace_api.SpanContext(ids.generate_trace_id(), ids.generate_span_id(), False)
    span = otel_trace.LayeredSpan(tracer, "work", context, None, SpanKind.SERVER, ({"color": "red"},), 5)
    assert not span.has_events
    assert not span.has_links
    span.own["size"] = 7
    span.update_name("better")
    span.add_event("lamp")
    span.add_made_event(sdk_trace.Event("bulb"))
    span.add_link(context)
    span.set_status(trace_api.StatusCode.OK)
    assert span.is_recording()
    span.ended_at = 9
    assert not span.is_recording()
    read = span._readable_span()
    assert (read.name, read.kind, read.start_time, read.end_time) == ("better", SpanKind.SERVER, 5, 9)
    assert read.attributes == {"color": "red", "size": 7}
    assert [event.name for event in read.events] == ["lamp", "bulb"]
    assert [link.context for link in read.links] == [context]
    assert (read.resource, read.instrumentation_scope) == (provider.resource, tracer._instrumentation_scope)
    assert not span.is_over_limit
    assert span.dropped_attributes == 0
    assert '"name": "better"' in span.to_json()


def test_another_resource_for_a_tracer_provider(provider: sdk_trace.TracerProvider) -> None:
    tracer = provider.get_tracer("shop")
    otel_trace.set_provider_resource(provider, OTHER)
    span = tracer.start_span("work")
    assert isinstance(span, sdk_trace.ReadableSpan)
    assert provider.resource is span.resource is OTHER


def test_a_logger_its_parts_and_another_resource() -> None:
    processors = otel_logs.LogRecordProcessorList()
    provider = LoggerProvider(multi_log_record_processor=processors, shutdown_on_exit=False)
    provider.add_log_record_processor(otel_logs.SimpleLogRecordProcessor(otel_logs.InMemoryLogRecordExporter()))  # type: ignore[no-untyped-call]
    logger = provider.get_logger("shop")
    assert len(processors.processors) == 1
    assert otel_logs.is_logger_enabled(logger)
    otel_logs.set_provider_resource(provider, OTHER)
    resource, scope, limits, of_logger = otel_logs.parts_of_logger(logger)
    assert (resource, scope.name, of_logger) == (OTHER, "shop", processors)
    assert isinstance(limits, otel_logs.LogRecordLimits)


def test_samplers_ids_and_exporters_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    assert otel_configuration.sampler() is None
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    sampler = otel_configuration.sampler()
    assert isinstance(sampler, sampling.StaticSampler)
    assert sampler.get_description() == "AlwaysOffSampler"
    assert isinstance(otel_configuration.id_generator(), RandomIdGenerator)
    assert otel_configuration.exporter_entry_point("console", "traces") == "console"
    traces, metrics, logs = otel_configuration.exporter_classes(["console"], [], [])
    assert (list(traces), metrics, logs) == (["console"], {}, {})


def test_the_stable_names_are_used_where_nobody_has_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    known = otel_configuration._OpenTelemetrySemanticConventionStability
    monkeypatch.setattr(known, "_initialized", False)
    otel_configuration.use_stable_names()
    mode = known._get_opentelemetry_stability_opt_in_mode(otel_configuration._OpenTelemetryStabilitySignalType.HTTP)
    assert mode is otel_configuration._StabilityMode.HTTP


def test_bytes_of_our_own_by_the_exporters_clients(
    fake_collector: FakeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in fake_collector.environment().items():
        monkeypatch.setenv(name, value)
    client = otel_exporters.HttpClient("traces", None)
    assert client.endpoint.endswith("/v1/traces")
    fake_collector.script.append(Reply(rejected=1))
    answer = client.post(b"", client.timeout)
    assert (answer.status_code, answer.error) == (200, None)
    assert answer.headers()["content-type"] == "application/x-protobuf"
    assert answer.content()
    client.close()


def test_bytes_of_our_own_by_grpc(fake_collector: FakeCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", fake_collector.grpc_endpoint)
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    client = otel_grpc.GrpcClient("traces", None, method, bytes)
    assert client.endpoint in fake_collector.grpc_endpoint
    assert client.call(b"", client.timeout) == b""
    client.close()


def test_what_contrib_leaves_on_an_app() -> None:
    app = flask.Flask("shop")
    before = app.wsgi_app
    contrib.FlaskInstrumentor().instrument_app(app)
    assert otel_instrumentation.is_marked(app)
    assert otel_instrumentation.original_wsgi_app(app) == before
    assert app.wsgi_app.__code__ is otel_instrumentation.WRAPPER  # type: ignore[attr-defined]
    befores, teardowns = app.before_request_funcs[None], app.teardown_request_funcs[None]
    assert [item.__code__ for item in befores] == [otel_instrumentation.BEFORE_REQUEST]
    assert [item.__code__ for item in teardowns] == [otel_instrumentation.TEARDOWN_REQUEST]
    otel_instrumentation.forget_functions(app)
    assert otel_instrumentation.original_wsgi_app(app) is None
    otel_instrumentation.mark(app, False)
    assert not otel_instrumentation.is_marked(app)


def test_classes_and_defaults_of_contrib() -> None:
    assert issubclass(otel_instrumentation.InstrumentedFlask, flask.Flask)
    assert not otel_instrumentation.EXCLUDED_BY_ENVIRONMENT.url_disabled("http://127.0.0.1/")

    class Own(otel_instrumentation.FlaskInstrumentorBase):
        pass

    assert Own() is Own()
    assert Own() is not contrib.FlaskInstrumentor()


def test_what_the_apis_stand_ins_stand_for() -> None:
    tracer = trace_api.NoOpTracer()
    assert otel_instrumentation.real_instrument(tracer) is tracer
    proxy = trace_api.ProxyTracer("shop")
    assert otel_instrumentation.real_instrument(proxy) in (proxy, proxy._real_tracer)


def test_a_statement_with_a_comment() -> None:
    assert otel_instrumentation.add_sql_comment("SELECT 1", route="/") == "SELECT 1 /*route='/'*/"
    assert otel_instrumentation.traceparent_values() == {}


def test_process_metrics_of_this_process() -> None:
    instrumentor = SystemMetricsInstrumentor(config={})
    otel_instrumentation.measure_this_process(instrumentor)
    assert instrumentor._proc == psutil.Process()


def test_the_names_of_redis_pipelines() -> None:
    from opentelemetry.instrumentation import redis as contrib_redis

    class Pipeline:
        command_stack = (((("SET", "a", 1)), {}), ((("GET", "a")), {}))

    otel_instrumentation.replace_pipeline_names(lambda commands: f"PIPELINE {len(commands.split())}")
    otel_instrumentation.replace_pipeline_names(lambda commands: "twice")
    commands, _text, name = contrib_redis._build_span_meta_data_for_pipeline(Pipeline())
    assert (len(commands), name.startswith("PIPELINE")) == (2, True)


def test_prometheus_collector_lets_a_metric_be_translated() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("shop").create_counter("lamps").add(2)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    (family,) = [item for item in otel_prometheus.PrometheusCollector(data).collect() if item.name == "lamps"]
    assert [sample.value for sample in family.samples] == [2]
    assert otel_prometheus.map_unit("s") == "seconds"


@pytest.mark.parametrize("module", otel_clock.MODULES_THAT_READ_THE_TIME)
def test_where_the_sdk_reads_the_time(module: str) -> None:
    assert importlib.import_module(module).time_ns is time.time_ns
