"""A job, and the end of one of its runs."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

#: How a run has ended. One that is revoked or lost has not ended by itself, and one that is missed has not begun.
Result = Literal["success", "failure", "retry", "ignored", "rejected", "revoked", "lost", "missed"]
#: Results that are errors.
ERRORS = frozenset({"failure", "lost"})


#: Shared, and never written to.
_NONE: dict[str, Any] = {}


class JobLostError(Exception):
    """The process that ran a job has ended before the job."""

    # A short name in reports: nobody imports it.
    __module__ = "otelflask"


class Job(NamedTuple):
    """What is run.

    Attributes:
        system: What runs it: ``command``, ``celery``, ``rq`` or ``apscheduler``.
        name: Its name. Names must be few.
        attributes: More attributes of its span and its record.
        waited: Seconds between the time at which it could have begun and its begin; None where nobody knows.
    """

    system: str
    name: str
    attributes: dict[str, Any] = _NONE
    waited: float | None = None


class Outcome(NamedTuple):
    """The end of a run, for the one who runs it.

    Attributes:
        result: How it has ended.
        error: What has ended it, or why it is tried again.
        is_reported: Whether the exception is reported. One that ends a job by design is not.
        exit_status: The exit status of a command's process.
    """

    result: Result = "success"
    error: BaseException | None = None
    is_reported: bool = False
    exit_status: int | None = None


class Ended(NamedTuple):
    """The end of a run, for the one who counts it: another process, perhaps.

    Attributes:
        job: What was run.
        result: How it has ended.
        seconds: Its duration.
        error_type: The type of the exception.
        exit_status: The exit status of a command's process.
        span: Its span, or that of what asked for it.
    """

    job: Job
    result: Result
    seconds: float
    error_type: str | None = None
    exit_status: int | None = None
    span: SpanContext = INVALID_SPAN_CONTEXT
