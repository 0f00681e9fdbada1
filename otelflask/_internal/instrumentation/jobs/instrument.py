"""Begin and end the instrumentation of work that no request starts, once in a process."""

from __future__ import annotations

from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.import_hooks import Cancel
from otelflask._internal.instrumentation.jobs import commands
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.settings import Settings
from otelflask._internal.settings.libraries import is_disabled

#: Functions that undo it.
_undo: list[Cancel] = []


def instrument(pipeline: Pipeline, settings: Settings) -> None:
    """Record the runs of commands. A second call changes nothing.

    Args:
        pipeline: Where their telemetry goes.
        settings: The settings.
    """
    # OpenTelemetry's name for commands.
    if not _undo and not is_disabled("click"):
        excluded = {name.strip() for name in settings.excluded_commands.split(",")}
        _undo.append(commands.observe(Runs(pipeline), excluded))


def uninstrument() -> None:
    """Undo `instrument`, for tests."""
    while _undo:
        _undo.pop()()
