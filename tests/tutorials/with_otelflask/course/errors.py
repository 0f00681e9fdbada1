"""What the client reads in the app's language."""

from otelflask import errors


class ValidationError(errors.ValidationError):
    status = 400


class AuthenticationError(errors.AuthenticationError):
    message = "请先登录"


class AuthorizationError(errors.AuthorizationError):
    message = "没有权限"
