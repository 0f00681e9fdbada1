"""The catalogue of what the API answers, for errors and for success."""

from typing import Any

from flask import request

from otelflask.errors import Answer, AppError


def render(answer: Answer) -> dict[str, Any]:
    """The body, with the codes that clients know: 1007 for Werkzeug's errors, 999 for unexpected ones."""
    code = answer.code if answer.has_own_code else 999 if answer.status == 500 else 1007
    return {"msg": answer.message, "error_code": code, "request": f"{request.method} {request.path}"}


class Success(AppError):
    message, status, code = "成功", 201, 0


class DeleteSuccess(AppError):
    message, status, code = "已删除", 202, 1


class UpdateSuccess(AppError):
    message, status, code = "已更新", 200, 2


class ServerError(AppError):
    message, status, code = "服务器出错了", 500, 999


class ParameterException(AppError):
    message, status, code = "参数有误", 400, 1000


class NotFound(AppError):
    message, status, code = "没有找到", 404, 1001


class Forbidden(AppError):
    message, status, code = "不允许", 403, 1004


class AuthFailed(AppError):
    message, status, code = "认证失败", 401, 1005
