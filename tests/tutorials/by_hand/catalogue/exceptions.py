"""The catalogue of what the API answers, for errors and for success."""

import json
from collections.abc import Mapping
from typing import Any

from flask import request
from werkzeug.exceptions import HTTPException


class APIException(HTTPException):
    """An answer in JSON with a code of its own."""

    code = 500
    msg = "服务器出错了"
    error_code = 999

    def __init__(
        self,
        msg: str | None = None,
        code: int | None = None,
        error_code: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.msg = self.msg if msg is None else msg
        self.code = self.code if code is None else code
        self.error_code = self.error_code if error_code is None else error_code
        self.headers = headers or {}
        super().__init__(self.msg)

    def get_body(self, environ: Any = None, scope: Any = None) -> str:
        """Give the answer as JSON, with the request but not its query."""
        body = {"msg": self.msg, "error_code": self.error_code, "request": f"{request.method} {request.path}"}
        return json.dumps(body, ensure_ascii=False)

    def get_headers(self, environ: Any = None, scope: Any = None) -> list[tuple[str, str]]:
        """Say that it is JSON."""
        return [("Content-Type", "application/json"), *self.headers.items()]


class Success(APIException):
    code = 201
    msg = "成功"
    error_code = 0


class DeleteSuccess(APIException):
    code = 202
    msg = "已删除"
    error_code = 1


class UpdateSuccess(APIException):
    code = 200
    msg = "已更新"
    error_code = 2


class ServerError(APIException):
    code = 500
    msg = "服务器出错了"
    error_code = 999


class ParameterException(APIException):
    code = 400
    msg = "参数有误"
    error_code = 1000


class NotFound(APIException):
    code = 404
    msg = "没有找到"
    error_code = 1001


class Forbidden(APIException):
    code = 403
    msg = "不允许"
    error_code = 1004


class AuthFailed(APIException):
    code = 401
    msg = "认证失败"
    error_code = 1005
