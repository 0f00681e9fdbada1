"""The JSON bodies of an answer, by `error_format`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import request
from opentelemetry import trace as trace_api

from otelflask._internal import clock
from otelflask._internal.current_request import get_request_id
from otelflask._internal.error_responses.answer import Answer

#: Makes the body of an answer to the current request. The second argument is the setting `timestamp_format`.
Body = Callable[[Answer, str], dict[str, Any]]


def ids() -> dict[str, str]:
    """The trace id (32 hex digits) and the request id of the current request, where there are any."""
    context = trace_api.get_current_span().get_span_context()
    known = {"trace_id": f"{context.trace_id:032x}" if context.is_valid else "", "request_id": get_request_id()}
    return {name: value for name, value in known.items() if value}


def problem(answer: Answer, timestamp_format: str) -> dict[str, Any]:
    """Problem details (RFC 9457, 3.1) with our extensions. A success has `data` and `message`."""
    if answer.success:
        return {"data": answer.data, "message": answer.message, **_given(code=answer.code)}
    return {
        "type": answer.type,
        "title": answer.title,
        "status": answer.status,
        "detail": answer.message,
        "instance": request.path,
        **_given(code=answer.code, errors=answer.errors or None, details=answer.data),
        **ids(),
    }


def envelope(answer: Answer, timestamp_format: str) -> dict[str, Any]:
    """``success`` with ``message`` and ``data``, or with ``error``, and a ``timestamp``."""
    end = {"timestamp": clock.timestamp(timestamp_format), **ids()}
    if answer.success:
        body = {"message": answer.message, "data": answer.data, **_given(code=answer.code)}
        return {"success": True, **body, **end}
    error = {"message": answer.message, "code": _own_code(answer), **_given(details=_details(answer))}
    return {"success": False, "error": error, **end}


def msg(answer: Answer, timestamp_format: str) -> dict[str, Any]:
    """``msg``, ``error_code`` and ``request``, as in apps that subclass HTTPException."""
    return {
        "msg": answer.message,
        "error_code": _own_code(answer),
        "request": f"{request.method} {request.path}",
        **_given(data=answer.data if answer.success else _details(answer)),
        **ids(),
    }


def _own_code(answer: Answer) -> Any:
    """The app's code; without one, 0 for a success, and the status for an error."""
    if answer.has_own_code:
        return answer.code
    return 0 if answer.success else answer.status


def _details(answer: Answer) -> Any:
    """What is wrong with which field, and the app's details. One field is also named as ``field``."""
    if not answer.errors:
        return answer.data
    field = {"field": next(iter(answer.errors))} if len(answer.errors) == 1 else {}
    return {**field, "errors": answer.errors, **_given(details=answer.data)}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


FORMATS: dict[str, Body] = {"problem": problem, "envelope": envelope, "msg": msg}
