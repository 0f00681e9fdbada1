"""The page of OpenTelemetry's variables, for the docs: ``make docs``. ``test_environment`` tries each of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from otelflask._internal.settings import Settings
from otelflask._internal.wiring.variables import WITHOUT_EFFECT
from otelflask.testing import FakeCollector


@dataclass(frozen=True)
class Sent:
    """What a small app has sent and said."""

    collector: FakeCollector
    said: str

    def span(self, name: str) -> Any:
        """The only span of a name."""
        (found,) = (span for span in self.collector.spans if span.name == name)
        return found

    @property
    def line(self) -> Any:
        """The only line of the app."""
        (found,) = (line for line in self.collector.logs if line.name.startswith("counted"))
        return found

    def points(self, kind: str) -> list[Any]:
        """The points of all metrics of a kind: ``histogram``, ``exponential_histogram``, ``sum``."""
        found = []
        for metric in self.collector.metrics:
            if metric.message.WhichOneof("data") == kind:
                found += list(getattr(metric.message, kind).data_points)
        return found

    def headers(self, signal: str) -> dict[str, str]:
        """The headers of the first export of a signal, in lower case."""
        first = next(headers for kind, headers, _ in self.collector.requests if kind == signal)
        return {name.lower(): value for name, value in first.items()}


class Variable(NamedTuple):
    """A variable of OpenTelemetry that otelflask follows.

    Attributes:
        names: Its name, or those that belong together.
        about: What it does.
        environ: Values to try it with, given the collector; empty where another test does.
        holds: Whether it has been followed.
    """

    names: tuple[str, ...]
    about: str
    environ: Callable[[FakeCollector], Mapping[str, str]] = lambda collector: {}
    holds: Callable[[Sent], bool] | None = None


_SIGNALS = ("TRACES", "METRICS", "LOGS")


def _set(**environ: str) -> Callable[[FakeCollector], Mapping[str, str]]:
    return lambda collector: environ


def _signals(name: str) -> tuple[str, ...]:
    return tuple(f"OTEL_EXPORTER_OTLP_{part}{name}" for part in ("", *(f"{signal}_" for signal in _SIGNALS)))


REQUEST, BROKEN = "GET /lamps/<int:lamp>", "GET /broken"
VARIABLES = (
    Variable(
        ("OTEL_RESOURCE_ATTRIBUTES",),
        "Attributes of all that the process sends. They replace those that are found.",
        _set(OTEL_RESOURCE_ATTRIBUTES="team=lamps,host.name=mine"),
        lambda sent: {"team": "lamps", "host.name": "mine"}.items() <= sent.line.resource.items(),
    ),
    Variable(
        ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS",),
        "What these detectors find is added. Without it, the command line is left out, because it may have secrets.",
        _set(OTEL_EXPERIMENTAL_RESOURCE_DETECTORS="process"),
        lambda sent: "process.command" in sent.line.resource,
    ),
    Variable(
        ("OTEL_TRACES_EXPORTER",),
        "`otlp` (default), `console`, `none`, or the name of an installed exporter; several with commas.",
        _set(OTEL_TRACES_EXPORTER="none"),
        lambda sent: not sent.collector.spans and bool(sent.line),
    ),
    Variable(
        ("OTEL_METRICS_EXPORTER",),
        "The same.",
        _set(OTEL_METRICS_EXPORTER="none"),
        lambda sent: not sent.collector.metrics and bool(sent.line),
    ),
    Variable(
        ("OTEL_LOGS_EXPORTER",),
        "The same.",
        _set(OTEL_LOGS_EXPORTER="none"),
        lambda sent: not sent.collector.logs and bool(sent.span(REQUEST)),
    ),
    Variable(
        _signals("ENDPOINT"),
        "The receiver. That of a signal is used as it is, with HTTP.",
        lambda collector: {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.http_endpoint}/v1/traces",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        },
        lambda sent: bool(sent.span(REQUEST)),
    ),
    Variable(
        _signals("PROTOCOL"),
        "`http/protobuf` (default) or `grpc`. OpenTelemetry's own default is `grpc`.",
        lambda collector: collector.environment("grpc"),
        lambda sent: bool(sent.span(REQUEST)) and bool(sent.line),
    ),
    Variable(
        _signals("HEADERS"),
        "Headers of each export.",
        _set(OTEL_EXPORTER_OTLP_HEADERS="x-key=a%20b"),
        lambda sent: {sent.headers(signal)["x-key"] for signal in ("traces", "metrics", "logs")} == {"a b"},
    ),
    Variable(
        _signals("COMPRESSION"),
        "`gzip` or `none`. Default: `none` for a receiver on the same machine, else `gzip`.",
        _set(OTEL_EXPORTER_OTLP_COMPRESSION="gzip"),
        lambda sent: sent.headers("traces")["content-encoding"] == "gzip",
    ),
    Variable(
        _signals("TIMEOUT"),
        "Seconds for one export, as in OpenTelemetry's Python; 10 by default. At the end, `shutdown_timeout` counts.",
    ),
    Variable(
        (*_signals("CERTIFICATE"), *_signals("CLIENT_CERTIFICATE"), *_signals("CLIENT_KEY"), *_signals("INSECURE")),
        "TLS to the receiver.",
    ),
    Variable(
        ("OTEL_TRACES_SAMPLER",),
        "Which traces are recorded. Default: all. A caller's flag counts by `remote_sampling`.",
        _set(OTEL_TRACES_SAMPLER="always_off"),
        lambda sent: not sent.collector.spans and bool(sent.line),
    ),
    Variable(
        ("OTEL_TRACES_SAMPLER_ARG",),
        "The share for `traceidratio`.",
        _set(OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="0"),
        lambda sent: not sent.collector.spans and bool(sent.line),
    ),
    Variable(
        ("OTEL_PROPAGATORS",),
        "The formats in which a caller's trace is read and passed on. Default: `tracecontext,baggage`.",
        _set(OTEL_PROPAGATORS="none"),
        lambda sent: not sent.span(REQUEST).message.parent_span_id,
    ),
    Variable(
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",),
        "The most attributes of a span.",
        _set(OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="2"),
        lambda sent: len(sent.span("own").attributes) == 2,
    ),
    Variable(
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",),
        "The longest text of a span's attributes, in characters.",
        _set(OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT="5"),
        lambda sent: max(len(str(value)) for value in sent.span("own").attributes.values()) == 5,
    ),
    Variable(
        ("OTEL_SPAN_EVENT_COUNT_LIMIT",),
        "The most events of a span.",
        _set(OTEL_SPAN_EVENT_COUNT_LIMIT="1"),
        lambda sent: len(sent.span("own").message.events) == 1,
    ),
    Variable(
        ("OTEL_SPAN_LINK_COUNT_LIMIT",),
        "The most links of a span.",
        _set(OTEL_SPAN_LINK_COUNT_LIMIT="1"),
        lambda sent: len(sent.span("own").message.links) == 1,
    ),
    Variable(
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",),
        "The most attributes of an event of a span.",
        _set(OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT="1"),
        lambda sent: {len(event.attributes) for event in sent.span("own").message.events} == {1},
    ),
    Variable(
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",),
        "The most attributes of a link.",
        _set(OTEL_LINK_ATTRIBUTE_COUNT_LIMIT="1"),
        lambda sent: {len(link.attributes) for link in sent.span("own").message.links} == {1},
    ),
    Variable(
        ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",),
        "The most attributes of a log record.",
        _set(OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT="1"),
        lambda sent: len(sent.line.attributes) == 1,
    ),
    Variable(
        ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",),
        "The longest text of a log record's attributes, in characters.",
        _set(OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT="5"),
        lambda sent: len(sent.line.attributes["text"]) == 5,
    ),
    Variable(
        ("OTEL_METRICS_EXEMPLAR_FILTER",),
        "Which measurements may be exemplars. Default: those within a recorded trace.",
        _set(OTEL_METRICS_EXEMPLAR_FILTER="always_off"),
        lambda sent: not any(point.exemplars for point in sent.points("histogram")) and bool(sent.points("histogram")),
    ),
    Variable(
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",),
        "`cumulative` (default), `delta` or `lowmemory`. The dashboards need `cumulative`.",
        _set(OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta"),
        lambda sent: 1 in {metric.message.histogram.aggregation_temporality for metric in sent.collector.metrics},
    ),
    Variable(
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",),
        "`explicit_bucket_histogram` (default) or `base2_exponential_bucket_histogram`.",
        _set(OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="base2_exponential_bucket_histogram"),
        lambda sent: bool(sent.points("exponential_histogram")) and not sent.points("histogram"),
    ),
    Variable(("OTEL_PYTHON_ID_GENERATOR",), "Makes the ids of traces and spans."),
    Variable(
        ("OTEL_PYTHON_CONTEXT", "OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER"),
        "Read by OpenTelemetry's API. Providers that are set before `init` are used.",
    ),
    Variable(
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",),
        "Turns single parts off: see [Turn things off](configuration.md#turn-things-off).",
        _set(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="sqlalchemy"),
        lambda sent: "SELECT" not in {span.name for span in sent.collector.spans} and bool(sent.span(REQUEST)),
    ),
    Variable(
        ("OTEL_PYTHON_EXCLUDED_URLS",),
        "The same as `OTEL_PYTHON_FLASK_EXCLUDED_URLS`, which goes before.",
        _set(OTEL_PYTHON_EXCLUDED_URLS="lamps"),
        lambda sent: REQUEST not in {span.name for span in sent.collector.spans} and bool(sent.span(BROKEN)),
    ),
)
#: Variables of parts that otelflask does not have.
_OF_OTHERS = {
    "OTEL_EXPORTER_PROMETHEUS_HOST": "of OpenTelemetry's Prometheus exporter; `metrics_path` is the page of metrics",
    "OTEL_EXPORTER_PROMETHEUS_PORT": "of OpenTelemetry's Prometheus exporter; `metrics_path` is the page of metrics",
    "OTEL_EXPORTER_ZIPKIN_ENDPOINT": "of OpenTelemetry's Zipkin exporter, if it is installed and named",
    "OTEL_EXPORTER_ZIPKIN_TIMEOUT": "of OpenTelemetry's Zipkin exporter, if it is installed and named",
    "OTEL_LOG_LEVEL": "not implemented by OpenTelemetry's Python; the logger `otelflask` has a level as any",
    "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "the metrics `otel.sdk.*` are always there",
}
#: Where a default differs from OpenTelemetry's, and why.
_DEFAULTS = {
    "OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER, OTEL_LOGS_EXPORTER": (
        "`otlp`",
        "In OpenTelemetry's Python nothing is sent without them.",
    ),
    "OTEL_EXPORTER_OTLP_PROTOCOL": (
        "`http/protobuf`",
        "The specification recommends it, and gRPC's threads do not survive a fork.",
    ),
    "OTEL_EXPORTER_OTLP_COMPRESSION": ("`gzip` to other machines", "It makes batches some ten times smaller."),
    "OTEL_METRIC_EXPORT_INTERVAL": (
        "15 s, not 60 s",
        "Dashboards show rates over two minutes, and alerts must see an outage within one.",
    ),
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": (
        "8,192, no limit there",
        "A text without a limit can fill a process's memory.",
    ),
    "OTEL_SEMCONV_STABILITY_OPT_IN": ("`http,database`", "Only the stable names of requests and statements are used."),
    "OTEL_TRACES_SAMPLER": (
        "all; a caller's flag is not followed",
        "A stranger could turn the recording of their own requests off. `remote_sampling` changes it.",
    ),
}


def names() -> set[str]:
    """All variables that the page explains."""
    settings = {item.metadata["env"] for item in fields(Settings)}
    followed = {name for variable in VARIABLES for name in variable.names}
    return settings | followed | set(WITHOUT_EFFECT) | set(_OF_OTHERS) | {"OTEL_SEMCONV_STABILITY_OPT_IN"}


_BEGINNING = """\
# OpenTelemetry's variables

otelflask is a distribution of OpenTelemetry, and reads its variables. For those that are settings of otelflask too,
[Settings](settings.md) has ranges and defaults. A wrong value is ignored, and a log line at start names it. An empty
variable is unset.

"""


def page() -> str:
    """The page."""
    settings = sorted(item.metadata["env"] for item in fields(Settings) if item.metadata["env"].startswith("OTEL_"))
    rows = ["## Followed", "", "| variable | what it does |", "|---|---|"]
    rows += [f"| {_short(variable.names)} | {variable.about} |" for variable in VARIABLES]
    rows += [f"| {', '.join(f'`{name}`' for name in settings)} | [Settings](settings.md) |"]
    rows += ["", "## Without effect", "", "Each is named at start, with what to write instead.", ""]
    rows += ["| variable | instead |", "|---|---|"]
    rows += [f"| `{name}` | {instead} |" for name, instead in WITHOUT_EFFECT.items()]
    rows += ["", "## Of parts that otelflask does not have", "", "| variable | |", "|---|---|"]
    rows += [f"| `{name}` | {about} |" for name, about in _OF_OTHERS.items()]
    rows += ["", "## Other defaults than OpenTelemetry's", "", "| variable | default | why |", "|---|---|---|"]
    rows += [
        f"| {', '.join(f'`{name}`' for name in of.split(', '))} | {default} | {why} |"
        for of, (default, why) in _DEFAULTS.items()
    ]
    return _BEGINNING + "\n".join(rows) + "\n"


def _short(of: tuple[str, ...]) -> str:
    """Names, those of the signals as one."""
    of_signals = {name for name in of if any(f"_OTLP_{signal}_" in name for signal in _SIGNALS)}
    general = {name.replace(f"_OTLP_{signal}_", "_OTLP_") for name in of for signal in _SIGNALS} - of_signals
    shown = [name for name in of if name not in of_signals or not general & {*of}]
    signals = "; also for one signal: `OTEL_EXPORTER_OTLP_TRACES_…`" if len(shown) < len(of) else ""
    return ", ".join(f"`{name}`" for name in shown) + signals


if __name__ == "__main__":
    sys.stdout.write(page())
