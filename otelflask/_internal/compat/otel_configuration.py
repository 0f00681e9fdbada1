"""OpenTelemetry's SDK and instrumentations: how they read their environment variables.

Sources: ``opentelemetry.sdk._configuration``, ``opentelemetry.instrumentation._semconv``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.instrumentation._semconv import (
    _OpenTelemetrySemanticConventionStability,
    _OpenTelemetryStabilitySignalType,
    _StabilityMode,
)
from opentelemetry.sdk._configuration import (
    _get_exporter_entry_point,
    _get_id_generator,
    _get_sampler,
    _import_exporters,
    _import_id_generator,
    _import_sampler,
)
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler


def sampler() -> Sampler | None:
    """The sampler of ``OTEL_TRACES_SAMPLER``; None where it is unset."""
    return _import_sampler(_get_sampler())


def id_generator() -> IdGenerator:
    """The generator of ``OTEL_PYTHON_ID_GENERATOR``."""
    return _import_id_generator(_get_id_generator())


def exporter_entry_point(name: str, signal: str) -> str:
    """The entry point of an exporter, such as ``otlp_proto_http`` for ``otlp``.

    Args:
        name: The exporter's name.
        signal: ``TRACES``, ``METRICS`` or ``LOGS``.

    Raises:
        RuntimeError: The protocol does not exist.
    """
    found: str = _get_exporter_entry_point(name, signal)  # type: ignore[arg-type]
    return found


def exporter_classes(
    traces: Sequence[str], metrics: Sequence[str], logs: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The classes of exporters or metric readers, by entry point.

    Raises:
        RuntimeError: An exporter is not installed.
    """
    return _import_exporters(traces, metrics, logs)


def use_stable_names() -> None:
    """Make instrumentations use the stable names of HTTP and databases, unless one has decided already.

    They read their variable once, when the first of them is used.
    """
    known = _OpenTelemetrySemanticConventionStability
    with known._lock:
        if not known._initialized:
            known._OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING = {
                _OpenTelemetryStabilitySignalType.HTTP: _StabilityMode.HTTP,
                _OpenTelemetryStabilitySignalType.DATABASE: _StabilityMode.DATABASE,
                _OpenTelemetryStabilitySignalType.GEN_AI: _StabilityMode.DEFAULT,
            }
            known._initialized = True
