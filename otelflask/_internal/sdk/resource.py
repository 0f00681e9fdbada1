"""The resource of this process, correct after a fork too."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.resources import OTELResourceDetector, ProcessResourceDetector, Resource

from otelflask._internal.version import __version__


def build(settings_attributes: Mapping[str, Any], *, is_worker: bool) -> Resource:
    """Build the resource. The user's attributes (``OTEL_RESOURCE_ATTRIBUTES``) replace detected ones.

    What other detectors find is added where ``OTEL_EXPERIMENTAL_RESOURCE_DETECTORS`` names them.

    Args:
        settings_attributes: Attributes of our settings, such as ``service.name``. Empty values are
            left out.
        is_worker: Whether a server may have started other processes with the same variables.
    """
    explicit = dict(OTELResourceDetector().detect().attributes)
    if is_worker and explicit.get("service.instance.id"):
        explicit["service.instance.id"] = _of_process(str(explicit["service.instance.id"]))
    process = ProcessResourceDetector().detect().attributes
    attributes: dict[str, Any] = {
        "service.instance.id": str(uuid.uuid4()),
        "host.name": socket.gethostname(),
        "telemetry.distro.name": "otelflask",
        "telemetry.distro.version": __version__,
        **{name: value for name, value in process.items() if name in _PROCESS_ATTRIBUTES},
        **{name: value for name, value in settings_attributes.items() if value},
        **explicit,
    }
    attributes.setdefault("service.name", f"unknown_service:{os.path.basename(sys.executable) or 'python'}")
    return Resource({**Resource.create({}).attributes, **attributes})


def forked(resource: Resource, explicit_instance_id: str | None) -> Resource:
    """The resource of a forked child, with its own pid and instance id."""
    instance_id = _of_process(explicit_instance_id) if explicit_instance_id else str(uuid.uuid4())
    return Resource(
        {
            **resource.attributes,
            "service.instance.id": instance_id,
            "process.pid": os.getpid(),
            "process.parent_pid": os.getppid(),
        },
        resource.schema_url,
    )


def _of_process(explicit_instance_id: str) -> str:
    """An instance id of the user with the pid, because two processes must not report under one id."""
    return f"{explicit_instance_id}:{os.getpid()}"


def explicit_instance_id() -> str | None:
    """The ``service.instance.id`` of ``OTEL_RESOURCE_ATTRIBUTES``; None where there is none."""
    value = OTELResourceDetector().detect().attributes.get("service.instance.id")
    return str(value) if value else None


_PROCESS_ATTRIBUTES = frozenset(
    {
        "process.pid",
        "process.parent_pid",
        "process.executable.name",
        "process.runtime.name",
        "process.runtime.version",
        "process.runtime.description",
    }
)
