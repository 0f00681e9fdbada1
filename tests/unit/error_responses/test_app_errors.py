"""The tree of exceptions."""

from __future__ import annotations

import pytest

from otelflask import errors
from otelflask.errors import AppError


class OutOfStock(errors.ConflictError):
    code = "out_of_stock"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.BadRequestError, 400),
        (errors.AuthenticationError, 401),
        (errors.AuthorizationError, 403),
        (errors.NotFoundError, 404),
        (errors.ConflictError, 409),
        (errors.ValidationError, 422),
        (errors.RateLimitError, 429),
        (errors.AppError, 500),
        (errors.ExternalServiceError, 502),
        (errors.ServiceUnavailableError, 503),
        (errors.ExternalTimeoutError, 504),
    ],
)
def test_each_class_has_its_status_a_code_and_a_sentence(kind: type[AppError], status: int) -> None:
    error = kind()
    assert (error.status, str(error)) == (status, error.message)
    assert error.code
    assert kind.__doc__


def test_a_subclass_of_two_lines_has_a_code_of_its_own() -> None:
    error = OutOfStock("No lamps are left.", details={"left": 0})
    assert (error.status, error.code, error.message, error.details) == (
        409,
        "out_of_stock",
        "No lamps are left.",
        {"left": 0},
    )


def test_what_is_given_goes_before_what_the_class_says() -> None:
    error = errors.NotFoundError("gone", status=410, code=4711, headers={"X-Since": "1999"})
    assert (error.status, error.code, error.headers) == (410, 4711, {"X-Since": "1999"})
    assert (errors.NotFoundError.status, errors.NotFoundError.code) == (404, "not_found")


def test_three_lines_are_a_class_with_message_status_and_code() -> None:
    class ParameterError(AppError):
        message, status, code = "参数错误", 400, 1000

    error = ParameterError()
    assert (error.message, str(error), error.status, error.code) == ("参数错误", "参数错误", 400, 1000)
    assert ParameterError("page").message == "page"


@pytest.mark.parametrize("status", [100, 304, 399, 600])
def test_a_status_that_is_neither_error_nor_success_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match=f"status is {status}; allowed are 400 to 599, and 200 to 299"):
        AppError(status=status)


@pytest.mark.parametrize("given", [301, "404", None])
def test_a_class_with_a_wrong_status_is_refused_when_it_is_defined(given: object) -> None:
    with pytest.raises(ValueError, match=rf"Wrong.status is {given!r}; allowed are"):
        type("Wrong", (AppError,), {"status": given})


def test_a_validation_error_can_name_one_field() -> None:
    error = errors.ValidationError("名称不能为空", "name")
    assert (error.fields, error.message) == ({"name": "名称不能为空"}, "名称不能为空")


@pytest.mark.parametrize(("seconds", "header"), [(30, "30"), (0.2, "1"), (0, "0"), (-5, "0")])
def test_retry_after_is_whole_seconds_and_never_too_early(seconds: float, header: str) -> None:
    assert errors.RateLimitError(retry_after=seconds).headers == {"Retry-After": header}
    assert errors.ServiceUnavailableError(retry_after=seconds).headers == {"Retry-After": header}


@pytest.mark.parametrize(("status", "code"), [(403, "forbidden"), (400, "bad_request"), (500, "internal_error")])
def test_a_status_without_a_code_has_the_code_of_its_phrase(status: int, code: str) -> None:
    assert AppError("said", status=status).code == code
    assert OutOfStock(status=status).code == "out_of_stock"


def test_a_code_that_looks_like_a_status_is_a_warning_when_the_class_is_defined() -> None:
    with pytest.warns(UserWarning, match="Old.code is 409, and its HTTP status is 500.*set `status = 409`"):
        type("Old", (AppError,), {"code": 409})
    type("Fine", (AppError,), {"code": 409, "status": 409})
    type("Own", (AppError,), {"code": 1004})
