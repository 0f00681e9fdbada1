"""Success answers, the counterparts of the error answers."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app

from otelflask._internal.error_responses.renderer import envelope


def success(data: Any = None, *, message: str = "OK", status: int = 200) -> Response:
    """Make a JSON answer to the current request.

    Args:
        data: Anything that can be JSON.
        message: A sentence.
        status: The status, from 200 to 299.

    Returns:
        With ``error_format=envelope`` the classic envelope, else an object with `data` and `message`.

    Raises:
        ValueError: The status is not allowed.
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
    """Make a 201 answer.

    Args:
        data: Anything that can be JSON.
        message: A sentence.
        location: The new object's URL, for the Location header.
    """
    response = success(data, message=message, status=201)
    if location is not None:
        response.location = location
    return response


def updated(data: Any = None, *, message: str = "Updated") -> Response:
    """Make a 200 answer after a change.

    Args:
        data: Anything that can be JSON.
        message: A sentence.
    """
    return success(data, message=message)


def deleted(data: Any = None, *, message: str = "Deleted") -> Response:
    """Make a 200 answer after a removal.

    Args:
        data: Anything that can be JSON.
        message: A sentence.
    """
    return success(data, message=message)
