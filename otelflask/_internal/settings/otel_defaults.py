"""Our defaults of OpenTelemetry's own variables."""

from __future__ import annotations

from collections.abc import MutableMapping

EXPORTER = "otlp"
PROTOCOL = "http/protobuf"
#: The variable that chooses the stable names of HTTP and databases.
STABLE_NAMES = "OTEL_SEMCONV_STABILITY_OPT_IN"


def set_defaults(environ: MutableMapping[str, str]) -> None:
    """Write our defaults into an environment. What the user has set stays."""
    for signal in ("TRACES", "METRICS", "LOGS"):
        environ.setdefault(f"OTEL_{signal}_EXPORTER", EXPORTER)
    environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", PROTOCOL)
    environ.setdefault(STABLE_NAMES, "http,database")
