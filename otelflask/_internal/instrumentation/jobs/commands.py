"""Commands of click, and so those of ``flask``. Servers, which are commands too, are none."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

import click

from otelflask._internal import guard
from otelflask._internal.instrumentation.jobs.job import Job, Outcome
from otelflask._internal.instrumentation.jobs.run import Run
from otelflask._internal.instrumentation.jobs.runs import Runs
from otelflask._internal.patches import replace

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
            run.note(guard.attempt(_outcome_of, error, on_error=lambda _: Outcome("failure", exit_status=1)))
            raise
        else:
            run.note(Outcome(exit_status=0))
            return result
        finally:
            run.end()

    return replace(click.Command, "invoke", invoke)


def _run_of(runs: Runs, command: click.Command, context: click.Context, excluded: Collection[str]) -> Run | None:
    if context.invoked_subcommand is not None or command.name in excluded:
        # The subcommand of a group is the work.
        return None
    package = getattr(command.callback, "__module__", "").partition(".")[0]
    return None if package in _SERVERS else Run(runs, Job("command", context.command_path))


def _outcome_of(error: BaseException) -> Outcome:
    # Raised to end the command by design or by who uses it. The last two are a prompt's and a pipe's end.
    by_design = (click.ClickException, click.Abort, click.exceptions.Exit, EOFError, BrokenPipeError)
    is_reported = isinstance(error, Exception) and not isinstance(error, by_design)
    status = _exit_status(error)
    return Outcome("failure" if status else "success", error, is_reported, status)


def _exit_status(error: BaseException) -> int:
    """The exit status that an exception of a command gives its process."""
    if isinstance(error, (click.ClickException, click.exceptions.Exit)):
        code: Any = error.exit_code
    elif isinstance(error, SystemExit):
        code = error.code
    else:
        return 1
    if code is None:
        return 0
    return code if isinstance(code, int) else 1
