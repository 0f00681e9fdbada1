"""Success answers, the counterparts of the error answers."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, current_app

from otelflask._internal.error_responses.answer import Answer
from otelflask._internal.error_responses.app_errors import title_of
from otelflask._internal.error_responses.renderer import Renderer
from otelflask._internal.settings import Settings

#: The key of an app's renderer in ``app.extensions``.
_KEY = "otelflask.renderer"


def answer_successes(app: Flask, renderer: Renderer) -> None:
    """Make the renderer answer the app's successes too."""
    app.extensions[_KEY] = renderer


def success(data: Any = None, message: str = "OK", *, status: int = 200, code: str | int | None = None) -> Response:
    """Make a JSON answer to the current request, in the app's `error_format`, or by its `error_renderer`.

    Args:
        data: Anything that can be JSON.
        message: A sentence.
        status: The status, from 200 to 299.
        code: The app's code, for programs.

    Returns:
        The response.

    Raises:
        ValueError: The status is not allowed.
    """
    if not 200 <= status <= 299:
        raise ValueError(f"status is {status}; allowed are 200 to 299")
    answer = Answer(status, title_of(status), message, data, code, has_own_code=code is not None, by_app=True)
    renderer: Renderer = current_app.extensions.get(_KEY) or Renderer(Settings())
    return renderer.response(current_app, answer)


def created(
    data: Any = None, message: str = "Created", *, location: str | None = None, code: str | int | None = None
) -> Response:
    """Make a 201 answer.

    Args:
        data: Anything that can be JSON.
        message: A sentence.
        location: The new object's URL, for the Location header.
        code: The app's code, for programs.
    """
    response = success(data, message, status=201, code=code)
    if location is not None:
        response.location = location
    return response


def updated(data: Any = None, message: str = "Updated", *, code: str | int | None = None) -> Response:
    """Make a 200 answer after a change.

    Args:
        data: Anything that can be JSON.
        message: A sentence.
        code: The app's code, for programs.
    """
    return success(data, message, code=code)


def deleted(data: Any = None, message: str = "Deleted", *, code: str | int | None = None) -> Response:
    """Make a 200 answer after a removal.

    Args:
        data: Anything that can be JSON.
        message: A sentence.
        code: The app's code, for programs.
    """
    return success(data, message, code=code)
