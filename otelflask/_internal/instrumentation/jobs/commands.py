"""Commands of click, and so those of ``flask``. Servers, which are commands too, are none."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

import click

from otelflask._internal import guard
from otelflask._internal.instrumentation.jobs.runs import Run, Runs

#: Packages whose commands serve, or run other work, for as long as the process lives. Flask's own (``run``, ``shell``,
#: ``routes``) are no work of the app.
_SERVERS = frozenset({"celery", "flask", "granian", "gunicorn", "hypercorn", "rq", "uvicorn"})


def observe(runs: Runs, excluded: Collection[str]) -> Callable[[], None]:
    """Record each run of a command.

    OpenTelemetry's ``ClickInstrumentor`` records spans only, and the arguments with their secrets.

    Args:
        runs: Where they are recorded.
        excluded: Names of commands that are not recorded.

    Returns:
        A function that undoes it.
    """
    original = click.Command.invoke

    @functools.wraps(original)
    def invoke(self: click.Command, context: click.Context) -> Any:
        run = guard.attempt(_run_of, runs, self, context, excluded, on_error=lambda error: None)
        if run is None:
            return original(self, context)
        try:
            result = original(self, context)
        except BaseException as error:
            _end(run, error)
            raise
        run.end(None, {"process.exit.code": 0}, is_failure=False, is_reported=False)
        return result

    click.Command.invoke = invoke  # type: ignore[method-assign,assignment]

    def undo() -> None:
        if click.Command.invoke is invoke:
            click.Command.invoke = original  # type: ignore[method-assign]

    return undo


def _run_of(runs: Runs, command: click.Command, context: click.Context, excluded: Collection[str]) -> Run | None:
    if isinstance(command, click.Group) or command.name in excluded:
        # The subcommand of a group is the work.
        return None
    package = getattr(command.callback, "__module__", "").partition(".")[0]
    return None if package in _SERVERS else Run(runs, "command", context.command_path)


def _end(run: Run, error: BaseException) -> None:
    code = exit_status(error)
    # Raised to end the command by design, or by who uses it.
    is_expected = isinstance(error, (click.ClickException, click.Abort, click.exceptions.Exit)) or not isinstance(
        error, Exception
    )
    run.end(error, {"process.exit.code": code}, is_failure=code != 0, is_reported=not is_expected)


def exit_status(error: BaseException) -> int:
    """The exit status that an exception of a command gives its process."""
    if isinstance(error, (click.ClickException, click.exceptions.Exit)):
        return int(error.exit_code)
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        return error.code if isinstance(error.code, int) else 1
    return 1
