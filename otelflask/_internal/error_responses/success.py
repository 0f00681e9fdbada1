"""Successful answers, the partners of the error answers."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app

from otelflask._internal.error_responses.renderer import envelope


def success(data: Any = None, *, message: str = "OK", status: int = 200) -> Response:
    """A JSON answer to the current request.

    In: what can be JSON, a sentence, and the status (200 to 299, else
    ValueError). Out: with ``error_format=envelope`` the classic envelope,
    else an object with `data` and `message`.
    """
    if not 200 <= status <= 299:
        raise ValueError(f"status is {status}; allowed are 200 to 299")
    state = current_app.extensions.get("otelflask")
    if state is not None and state.settings.error_format == "envelope":
        body = envelope(True, message, data)
    else:
        body = {"data": data, "message": message}
    return current_app.response_class(current_app.json.dumps(body), status, mimetype="application/json")


def created(data: Any = None, *, message: str = "Created", location: str | None = None) -> Response:
    """201, with the address of what was made, if it has one."""
    response = success(data, message=message, status=201)
    if location is not None:
        response.location = location
    return response


def updated(data: Any = None, *, message: str = "Updated") -> Response:
    """200 for a change."""
    return success(data, message=message)


def deleted(data: Any = None, *, message: str = "Deleted") -> Response:
    """200 for a removal."""
    return success(data, message=message)
