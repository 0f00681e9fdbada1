"""The runtime view: processes, threads, garbage collector, pipeline, and the effective settings."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from otelflask._internal.live_page.show.overview import STALE_AFTER_S
from otelflask._internal.live_page.show.repository import Repository
from otelflask._internal.redaction import MASK, Scrubber
from otelflask._internal.settings import Settings

_PACKAGES = ("otelflask", "flask", "werkzeug", "gunicorn", "sqlalchemy", "opentelemetry-sdk", "sentry-sdk")


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """A setting: its value as text, and its source."""

    name: str
    value: str
    source: str
    is_default: bool
    help: str


class Runtime:
    """The runtime view.

    Args:
        settings: The settings.
        sources: Where each setting that is not at its default comes from.
        scrubber: Masks secrets.
        state_dir: The path of the shared folder.
    """

    def __init__(self, settings: Settings, sources: Mapping[str, str], scrubber: Scrubber, state_dir: str) -> None:
        self._state_dir = state_dir
        self._settings = settings
        self._sources = sources
        self._scrubber = scrubber

    def shown(self, repository: Repository, now: float) -> dict[str, Any]:
        """The content of the view.

        Args:
            repository: The queries.
            now: Epoch seconds.
        """
        machine = psutil.virtual_memory().total
        processes = [
            {**process, "uptime": max(0.0, now - process["started"]), "memory_share": process["memory"] / machine}
            for process in repository.processes(now - STALE_AFTER_S)
        ]
        return {
            "processes": processes,
            "settings": self._effective_settings(),
            "variables": self._variables(),
            "versions": _versions(),
        }

    def _effective_settings(self) -> list[EffectiveSetting]:
        """The settings that are set, then the others, each by name."""
        found = []
        for item in fields(Settings):
            value = getattr(self._settings, item.name)
            source = self._sources.get(item.name, "")
            if item.metadata["secret"]:
                text = "set" if value else "not set"
            elif item.name == "state_dir":
                text = self._state_dir
            else:
                text = self._scrubbed(item.name, value)
            found.append(EffectiveSetting(item.name, text, source or "default", not source, item.metadata["help"]))
        return sorted(found, key=lambda setting: (setting.is_default, setting.name))

    def _variables(self) -> list[tuple[str, str]]:
        """OpenTelemetry's own variables. Headers hold keys, and are masked."""
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
            # Not installed.
            continue
    return found
