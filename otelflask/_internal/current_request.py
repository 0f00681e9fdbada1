"""The request being handled: its record, and what an app says and asks of it."""

from __future__ import annotations

from flask import has_request_context

from otelflask._internal import guard
from otelflask._internal.compat.flask import current_request
from otelflask._internal.request_record import ENVIRON_KEY, RequestRecord

#: Longest user id that is kept, in characters.
_MAX_USER_ID = 256


def current_record() -> RequestRecord | None:
    """The record of the request being handled, or None outside of one."""
    if not has_request_context():
        return None
    record = current_request().environ.get(ENVIRON_KEY)
    return record if isinstance(record, RequestRecord) else None


def get_request_id() -> str | None:
    """The id of the request being handled: the caller's, or one of ours; None outside of a request."""
    record = current_record()
    return record.request_id or None if record is not None else None


def set_user(user_id: object) -> None:
    """Say who makes the current request: `user_id` goes to its span and request log as ``user.id``.

    Does nothing outside of a request. None takes it back.
    """
    record = current_record()
    if record is not None:
        record.user_id = None if user_id is None else guard.attempt(_text_of, user_id, instead=lambda error: None)


def _text_of(user_id: object) -> str | None:
    return str(user_id)[:_MAX_USER_ID]
