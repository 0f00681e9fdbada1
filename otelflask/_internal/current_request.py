"""The current request: its record, and what an app may ask and say about it."""

from __future__ import annotations

from typing import Any

from opentelemetry.context import Context, create_key

from otelflask._internal import guard
from otelflask._internal.compat.flask import current_environ, current_g
from otelflask._internal.compat.otel_api import current_context
from otelflask._internal.exceptions.walk import WALKS_KEY
from otelflask._internal.request_record import ENVIRON_KEY, RECORD_KEY, RequestRecord

#: The key of the user in the context of a thread that a request has started.
_USER_KEY = create_key("otelflask-user")
#: The longest user id that is kept, in characters.
_MAX_USER_ID = 256


def current_record() -> RequestRecord | None:
    """The record of the current request, also in threads that it has started; None outside of a request."""
    environ = current_environ()
    record: Any = environ.get(ENVIRON_KEY) if environ is not None else current_context().get(RECORD_KEY)
    return record if isinstance(record, RequestRecord) else None


def context_of_new_work() -> Context:
    """The context for a thread or greenlet that this one starts. Empty where there is nothing to go on in it."""
    context = current_context()
    if RECORD_KEY not in context:
        return context
    # The user may be known to Flask alone, which keeps it in the thread of the request. And a walk of an exception
    # keeps its frames, while the thread may last longer than the request.
    return Context({**context, WALKS_KEY: None, _USER_KEY: current_user_id()})


def get_request_id() -> str | None:
    """Return the id of the current request.

    Returns:
        The id that the caller sent, else a generated one; None outside of a request.
    """
    record = current_record()
    return record.request_id or None if record is not None else None


def set_user(user_id: object) -> None:
    """Set the user of the current request: ``user.id`` on its span, log lines, events and error reports.

    Without a call, it is ``g.user_id``, or the user that Flask-Login has loaded. Outside of a request this
    does nothing.

    Args:
        user_id: The user's id, read as text. None removes it.
    """
    record = current_record()
    if record is not None:
        record.user_id = None if user_id is None else guard.attempt(_text_of, user_id, on_error=lambda error: None)


def _text_of(user_id: object) -> str | None:
    return str(user_id)[:_MAX_USER_ID]


def known_user() -> object:
    """The user that the app has put into ``g.user_id``, else the one that Flask-Login has loaded; None without one.

    Nothing is loaded for it.
    """
    kept = current_g()
    found: object = kept.get("user_id")
    if found is not None:
        return found
    user = kept.get("_login_user")
    return user.get_id() if user is not None and getattr(user, "is_authenticated", False) else None


def current_user_id() -> str | None:
    """The user of the current request, as far as it is known by now; None outside of a request."""
    record = current_record()
    if record is None:
        return None
    if record.user_id is not None:
        return record.user_id
    kept = current_g()
    if "user_id" not in kept and "_login_user" not in kept:
        return current_context().get(_USER_KEY)  # type: ignore[return-value]
    found = guard.attempt(known_user, on_error=lambda error: None)
    return None if found is None else guard.attempt(_text_of, found, on_error=lambda error: None)
