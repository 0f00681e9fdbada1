"""The envelope of the API's answers."""

import time
from typing import Any

from flask import Response, jsonify


def success(data: Any = None, message: str = "操作成功") -> Response:
    """Wrap what went well."""
    return jsonify(success=True, message=message, data=data, timestamp=int(time.time()))


def error(message: str, code: int = 400, details: Any = None) -> tuple[Response, int]:
    """Wrap what went wrong."""
    body = {"message": message, "code": code}
    if details is not None:
        body["details"] = details
    return jsonify(success=False, error=body, timestamp=int(time.time())), code
