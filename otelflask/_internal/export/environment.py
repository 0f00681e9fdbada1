"""OpenTelemetry's variables, and our defaults where they are unset.

By the specification the default exporter is ``otlp``, and the stock parts read all other
variables themselves. Our defaults differ in three: ``http/protobuf``, gzip, and the stable names
of HTTP and databases. `init` gives them to the parts that it makes. Only the distro, which starts
a process for them, writes them into its environment.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any

from opentelemetry.exporter.otlp.proto.http import Compression

from otelflask._internal.compat import otel_configuration
from otelflask._internal.settings import SettingError

_EXPORTER = "otlp"
_PROTOCOL = "http/protobuf"
_STABLE_NAMES = "OTEL_SEMCONV_STABILITY_OPT_IN"


def set_defaults(environ: MutableMapping[str, str]) -> None:
    """Write our defaults into an environment. What the user has set stays."""
    for signal in ("TRACES", "METRICS", "LOGS"):
        environ.setdefault(f"OTEL_{signal}_EXPORTER", _EXPORTER)
    environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", _PROTOCOL)
    environ.setdefault("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    environ.setdefault(_STABLE_NAMES, "http,database")


def exporter_names(signal: str) -> list[str]:
    """The entry points of a signal's exporters, such as ``otlp_proto_http``; empty for ``none``.

    Raises:
        SettingError: The protocol does not exist.
    """
    named = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER") or _EXPORTER
    if named.strip().lower() == "none":
        return []
    return [_entry_point(name.strip(), signal) for name in named.split(",")]


def _entry_point(name: str, signal: str) -> str:
    if name == _EXPORTER and not _of_exporter(signal, "PROTOCOL"):
        return "otlp_proto_http"
    try:
        return otel_configuration.exporter_entry_point(name, signal)
    except RuntimeError as error:
        raise SettingError(f"OTEL_EXPORTER_OTLP_PROTOCOL: {error}; allowed are http/protobuf and grpc") from None


def http_compression(signal: str) -> Compression | None:
    """The compression for the stock HTTP exporter: gzip, or None where a variable sets one."""
    return None if _of_exporter(signal, "COMPRESSION") else Compression.Gzip


def grpc_compression(signal: str) -> Any:
    """The compression for the stock gRPC exporter: gzip, or None where a variable sets one."""
    from otelflask._internal.compat.otel_grpc import GZIP

    return None if _of_exporter(signal, "COMPRESSION") else GZIP


def _of_exporter(signal: str, what: str) -> str | None:
    """A variable of the OTLP exporters, the signal's own before the common one; None where both are unset."""
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}")
    return own or os.environ.get(f"OTEL_EXPORTER_OTLP_{what}") or None


def use_stable_names() -> None:
    """Make the stock instrumentations use the stable names, unless a variable decides."""
    if not os.environ.get(_STABLE_NAMES):
        otel_configuration.use_stable_names()
