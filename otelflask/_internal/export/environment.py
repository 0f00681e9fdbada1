"""OpenTelemetry's variables, and our defaults where they are unset.

By the specification the default exporter is ``otlp``, and the stock parts read all other
variables themselves. Our defaults differ in three: ``http/protobuf``, gzip for a receiver on another machine, and
the stable names of HTTP and databases. `init` gives them to the parts that it makes. Only the distro,
which starts a process for them, writes those that do not depend on the receiver into its environment.
"""

from __future__ import annotations

import ipaddress
import os
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http import Compression

from otelflask._internal.compat import otel_configuration
from otelflask._internal.settings import SettingError
from otelflask._internal.settings.otel_defaults import EXPORTER, STABLE_NAMES


def exporter_names(signal: str) -> list[str]:
    """The entry points of a signal's exporters, such as ``otlp_proto_http``; empty for ``none``.

    Raises:
        SettingError: The protocol does not exist.
    """
    named = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER") or EXPORTER
    if named.strip().lower() == "none":
        return []
    return [_entry_point(name.strip(), signal) for name in named.split(",")]


def _entry_point(name: str, signal: str) -> str:
    if name == EXPORTER and not _of_exporter(signal, "PROTOCOL"):
        return "otlp_proto_http"
    try:
        return otel_configuration.exporter_entry_point(name, signal)
    except RuntimeError as error:
        raise SettingError(f"OTEL_EXPORTER_OTLP_PROTOCOL: {error}; allowed are http/protobuf and grpc") from None


def http_compression(signal: str) -> Compression | None:
    """The compression for the stock HTTP exporter; None where a variable sets one."""
    if _of_exporter(signal, "COMPRESSION"):
        return None
    return Compression.NoCompression if _is_on_this_machine(signal) else Compression.Gzip


def grpc_compression(signal: str) -> Any:
    """The compression for the stock gRPC exporter; None where a variable sets one."""
    from otelflask._internal.compat.otel_grpc import GZIP, NO_COMPRESSION

    if _of_exporter(signal, "COMPRESSION"):
        return None
    return NO_COMPRESSION if _is_on_this_machine(signal) else GZIP


def _is_on_this_machine(signal: str) -> bool:
    """Whether the receiver is reached without a network, where compression costs more than it saves."""
    endpoint = _of_exporter(signal, "ENDPOINT")
    if endpoint is None or endpoint.startswith("unix:"):
        # The specification's default is localhost.
        return True
    try:
        host = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        # The name of a host.
        return False


def _of_exporter(signal: str, what: str) -> str | None:
    """A variable of the OTLP exporters, the signal's own before the common one; None where both are unset."""
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}")
    return own or os.environ.get(f"OTEL_EXPORTER_OTLP_{what}") or None


def use_stable_names() -> None:
    """Make the stock instrumentations use the stable names, unless a variable decides."""
    if not os.environ.get(STABLE_NAMES):
        otel_configuration.use_stable_names()
