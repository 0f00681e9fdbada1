"""Greenlets of gevent run in the context in which they are spawned. gevent starts them in an empty one."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any

from gevent import Greenlet

from otelflask._internal import guard
from otelflask._internal.compat.otel_api import attach
from otelflask._internal.compat.sentry import fork_scopes, use_scopes
from otelflask._internal.current_request import context_of_new_work


def carry_into_greenlets() -> Callable[[], None]:
    """Let each greenlet run in the context in which it is spawned.

    Returns:
        A function that undoes it.
    """
    Greenlet.add_spawn_callback(_carry)
    return partial(Greenlet.remove_spawn_callback, _carry)


@guard.guarded("carrying the context into a greenlet")
def _carry(greenlet: Any) -> None:
    context = context_of_new_work()
    # One with variables of its own was given them by the app.
    if context and greenlet.gr_context is None:
        # Not a copy of all variables: Flask's would make a request current that is none there without telemetry.
        variables = contextvars.Context()
        variables.run(attach, context)
        variables.run(use_scopes, *fork_scopes())
        greenlet.gr_context = variables
