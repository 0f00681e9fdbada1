"""Variables of the environment that nothing reads or that cannot work: a log line at start says what to write."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib.metadata import entry_points
from itertools import chain
from urllib.parse import urlsplit

from opentelemetry import environment_variables as api_variables
from opentelemetry.sdk import environment_variables as sdk_variables

from otelflask._internal import guard
from otelflask._internal.settings import Settings
from otelflask._internal.settings.libraries import DISABLED, is_disabled
from otelflask._internal.settings.loading import ignored
from otelflask._internal.settings.otel_defaults import STABLE_NAMES

_PREFIX = "OTELFLASK_"
#: Read by the guard, for our own tests.
_OWN = frozenset({"OTELFLASK_GUARD"})
_OTEL = frozenset(
    name for module in (api_variables, sdk_variables) for name in vars(module) if name.startswith("OTEL_")
)
_SIGNALS = ("traces", "metrics", "logs")
#: The SDK's samplers (Environment Variable Specification, "General SDK Configuration").
_SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
#: Variables of OpenTelemetry that have no effect here, and what has.
WITHOUT_EFFECT = {
    "OTEL_CONFIG_FILE": "write its values as OTEL_* variables, or as arguments of otelflask.init",
    "OTEL_EXPERIMENTAL_CONFIG_FILE": "write its values as OTEL_* variables, or as arguments of otelflask.init",
    "OTEL_PYTHON_TRACER_CONFIGURATOR": "pass a tracer_provider of yours to otelflask.init",
    "OTEL_PYTHON_METER_CONFIGURATOR": "pass a meter_provider of yours to otelflask.init",
    "OTEL_PYTHON_LOGGER_CONFIGURATOR": "pass a logger_provider of yours to otelflask.init",
    "OTEL_BSP_EXPORT_TIMEOUT": "OTEL_EXPORTER_OTLP_TIMEOUT limits a request, and shutdown_timeout the end",
    "OTEL_BLRP_EXPORT_TIMEOUT": "OTEL_EXPORTER_OTLP_TIMEOUT limits a request, and shutdown_timeout the end",
    "OTEL_METRIC_EXPORT_TIMEOUT": "OTEL_EXPORTER_OTLP_TIMEOUT limits a request, and shutdown_timeout the end",
    "OTEL_PYTHON_LOG_CORRELATION": "the formats of `logging` stay; log_console and log_dir write lines with the trace",
    "OTEL_PYTHON_LOG_FORMAT": "the formats of `logging` stay; log_file_format is the format of log_dir",
    "OTEL_PYTHON_LOG_LEVEL": "the levels of `logging` stay; OTEL_PYTHON_LOG_HANDLER_LEVEL is the level of what is sent",
    "OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS": "an unknown method is _OTHER, by the semantic conventions",
}
#: Parts of otelflask that have the names of OpenTelemetry's instrumentations. `flask` is for zero code only.
_PARTS = ("logging", "sqlalchemy", "system_metrics")
_CREDENTIALS = re.compile(r"(?<=//)[^/]*@")
#: Usual names of `environment`.
_ENVIRONMENTS = ("production", "staging", "development", "testing")
_SHORT = {"dev": "development", "devel": "development", "prod": "production", "stage": "staging", "test": "testing"}
#: The ports of OTLP (OpenTelemetry Protocol Exporter, "Endpoint").
_HTTP_PORT, _GRPC_PORT = 4318, 4317


def tell(settings: Settings, environ: Mapping[str, str]) -> None:
    """Log what is wrong.

    Args:
        settings: The process's settings.
        environ: The environment.
    """
    problems = (find(environ) for find in (_unknown, ignored, _without_effect, _endpoints, _headers, _sampler))
    for text in chain(*problems, _environment(settings)):
        guard.log(f"variable:{text}", "%s", text)


def _unknown(environ: Mapping[str, str]) -> Iterator[str]:
    """Variables that no setting has, and misspelt ones of OpenTelemetry."""
    known = {item.metadata["env"]: item.name for item in fields(Settings)}
    variables = {name: variable for variable, name in known.items()}
    otel = {*_OTEL, *(variable for variable in known if variable.startswith("OTEL_"))}
    for variable in sorted(environ):
        if variable.startswith("OTEL_") and variable not in otel:
            # Other libraries have names of their own.
            for near in difflib.get_close_matches(variable, otel, n=1, cutoff=0.93):
                yield f"the environment variable {variable} is not used; did you mean {near}?"
        if not variable.startswith(_PREFIX) or variable in known or variable in _OWN:
            continue
        # A setting that OpenTelemetry names has no variable of ours.
        name = variable[len(_PREFIX) :].lower()
        near = [name] if name in variables else difflib.get_close_matches(name, variables, n=1)
        meant = f"; did you mean {variables[near[0]]}?" if near else "; docs/settings.md lists all variables"
        yield f"the environment variable {variable} is not used{meant}"


def _without_effect(environ: Mapping[str, str]) -> Iterator[str]:
    """Variables of OpenTelemetry that otelflask does not follow."""
    for variable, instead in WITHOUT_EFFECT.items():
        if environ.get(variable, "").strip():
            yield f"the environment variable {variable} has no effect: {instead}"
    off = [name for name in _PARTS if is_disabled(name)]
    if off:
        yield f"{DISABLED} turns off what otelflask records of {', '.join(off)}"
    opted = {item.strip() for item in environ.get(STABLE_NAMES, "").split(",")} - {""}
    if opted and not {"http", "database"} <= opted:
        yield (
            f"{STABLE_NAMES} is {environ[STABLE_NAMES]!r}; requests and statements have the stable names all the same "
            "(http,database)"
        )


def _endpoints(environ: Mapping[str, str]) -> Iterator[str]:
    """Endpoints of OTLP that cannot work."""
    for signal in _SIGNALS:
        if environ.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp").strip().lower() == "none":
            continue
        own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
        variable = own if environ.get(own) else "OTEL_EXPORTER_OTLP_ENDPOINT"
        # Without a user and password.
        value = _CREDENTIALS.sub("", environ.get(variable, "").strip())
        protocol = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL") or environ.get(
            "OTEL_EXPORTER_OTLP_PROTOCOL", ""
        )
        wrong = _wrong(value, protocol.strip().lower() == "grpc", signal if variable == own else "") if value else ""
        if wrong:
            yield f"{variable} is {value!r}, which cannot work: {wrong}"


def _wrong(value: str, is_grpc: bool, signal: str) -> str:
    """What is wrong with an endpoint, and what to write; empty if nothing is known to be.

    Args:
        value: The endpoint.
        is_grpc: Whether the protocol is gRPC.
        signal: The signal that it is for alone; empty for all.
    """
    has_scheme = "://" in value
    try:
        parts = urlsplit(value if has_scheme else f"//{value}")
        port = parts.port
    except ValueError as error:
        return f"{error}; write an address such as http://localhost:{_GRPC_PORT if is_grpc else _HTTP_PORT}"
    if is_grpc:
        if port == _HTTP_PORT:
            other = "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
            return f"{_HTTP_PORT} is the port of HTTP; write port {_GRPC_PORT}, or {other}"
        return ""
    if not has_scheme and port != _GRPC_PORT:
        return f"it has no scheme; write http://{value} or https://{value}"
    if not has_scheme:
        right = f"http://{value.replace(str(_GRPC_PORT), str(_HTTP_PORT))}"
        return f"it has no scheme, and {_GRPC_PORT} is the port of gRPC; write {right}"
    if port == _GRPC_PORT:
        return f"{_GRPC_PORT} is the port of gRPC; write port {_HTTP_PORT}, or OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
    if not signal and parts.path.rstrip("/").endswith(tuple(f"/v1/{each}" for each in _SIGNALS)):
        return f"/v1/… is added for each signal; write {value.rstrip('/').rpartition('/v1/')[0]}"
    if signal and parts.path in ("", "/"):
        return f"a signal's endpoint is used as it is; write {value.rstrip('/')}/v1/{signal}"
    return ""


def _headers(environ: Mapping[str, str]) -> Iterator[str]:
    """Headers that the exporters leave out. Source: OpenTelemetry Protocol Exporter, "Specifying headers"."""
    for part in ("", *(f"{signal.upper()}_" for signal in _SIGNALS)):
        variable = f"OTEL_EXPORTER_OTLP_{part}HEADERS"
        # Not the value, which may be a secret.
        if any(item.strip() and "=" not in item for item in environ.get(variable, "").split(",")):
            yield f"{variable} has an entry without `=`, which is not sent; write name=value,name=value"


def _sampler(environ: Mapping[str, str]) -> Iterator[str]:
    """A sampler, or a ratio, that the SDK replaces by its default."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if not name:
        return
    installed = {entry.name for entry in entry_points(group="opentelemetry_traces_sampler")}
    if name not in _SAMPLERS and name not in installed:
        near = difflib.get_close_matches(name, _SAMPLERS, n=1)
        meant = f"did you mean {near[0]}?" if near else f"allowed are {', '.join(_SAMPLERS)}"
        yield f"OTEL_TRACES_SAMPLER is {name!r}, so all traces are recorded; {meant}"
    ratio = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    if name.endswith("traceidratio") and ratio and not _is_ratio(ratio):
        yield f"OTEL_TRACES_SAMPLER_ARG is {ratio!r}, so all traces are recorded; allowed is a number from 0 to 1"


def _is_ratio(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _environment(settings: Settings) -> Iterator[str]:
    """A name of an environment that is nearly a usual one. Any text is allowed."""
    given = settings.environment.strip().lower()
    near = [_SHORT[given]] if given in _SHORT else difflib.get_close_matches(given, _ENVIRONMENTS, n=1, cutoff=0.85)
    if near and given != near[0]:
        yield f"environment is {settings.environment!r}; did you mean {near[0]!r}? Any name is allowed"
