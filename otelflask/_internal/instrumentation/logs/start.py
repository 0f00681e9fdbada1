"""The line of a start: which version runs where."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from otelflask._internal import clock, event_names
from otelflask._internal.compat.otel_api import SeverityNumber
from otelflask._internal.sdk.log_records import Record, emit
from otelflask._internal.version import __version__


def log_start(logger_provider: Any, resource: Mapping[str, Any]) -> None:
    """Emit a log record about the start of this process.

    Args:
        logger_provider: Where it is emitted.
        resource: The resource's attributes.
    """
    release = str(resource.get("service.version", "") or "")
    environment = str(resource.get("deployment.environment.name", "") or "")
    name = f"{resource.get('service.name', '')} {release}".strip()
    where = f" in {environment}" if environment else ""
    parts = f"otelflask {__version__}, Flask {version('flask')}, Python {platform.python_version()}"
    text = f"{name} started{where}: {parts}, process {os.getpid()}"
    emit(
        logger_provider.get_logger("otelflask", __version__),
        Record(
            clock.time_ns(),
            SeverityNumber.INFO,
            "INFO",
            text,
            (),
            INVALID_SPAN_CONTEXT,
            Context(),
            event_names.START,
        ),
    )
