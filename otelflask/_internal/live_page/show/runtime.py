"""The view of the runtime: processes, threads, garbage collector, pipeline, and the settings in force."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from otelflask._internal.live_page.show.overview import GONE_S
from otelflask._internal.live_page.show.repository import Repository
from otelflask._internal.redaction import MASK, Scrubber
from otelflask._internal.settings import Settings

_PACKAGES = ("otelflask", "flask", "werkzeug", "gunicorn", "sqlalchemy", "opentelemetry-sdk", "sentry-sdk")


@dataclass(frozen=True, slots=True)
class InForce:
    """A setting: its value as text, and where it comes from."""

    name: str
    value: str
    source: str
    is_default: bool
    help: str


class Runtime:
    """In: settings, where they come from (of those that are not at their default), what masks secrets."""

    def __init__(self, settings: Settings, sources: Mapping[str, str], scrubber: Scrubber) -> None:
        self._settings = settings
        self._sources = sources
        self._scrubber = scrubber

    def shown(self, repository: Repository, now: float) -> dict[str, Any]:
        """What the view shows. In: epoch seconds."""
        processes = repository.processes(now - GONE_S)
        return {
            "processes": processes,
            "settings": self._in_force(),
            "variables": self._variables(),
            "versions": _versions(),
        }

    def _in_force(self) -> list[InForce]:
        """Those that are set first, each by name."""
        found = []
        for item in fields(Settings):
            value = getattr(self._settings, item.name)
            source = self._sources.get(item.name, "")
            text = MASK if item.metadata["secret"] and value else self._scrubbed(item.name, value)
            found.append(InForce(item.name, text, source or "default", not source, item.metadata["help"]))
        return sorted(found, key=lambda setting: (setting.is_default, setting.name))

    def _variables(self) -> list[tuple[str, str]]:
        """OpenTelemetry's own variables, which its parts read; headers hold keys."""
        return [
            (name, MASK if "HEADERS" in name else self._scrubbed(name, value))
            for name, value in sorted(os.environ.items())
            if name.startswith("OTEL_")
        ]

    def _scrubbed(self, name: str, value: Any) -> str:
        return self._scrubber.text(str(self._scrubber.value(name, value)))


def _versions() -> list[tuple[str, str]]:
    found = [("Python", f"{platform.python_version()} ({platform.python_implementation()})")]
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            # Not used here.
            continue
    return found
