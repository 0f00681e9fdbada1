"""The database use of each request: number and time of statements, and repeated ones (N+1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otelflask._internal import attribute_names, clock, event_names
from otelflask._internal.compat.otel_api import SeverityNumber
from otelflask._internal.current_request import current_record
from otelflask._internal.instrumentation.database.query_statistics import (
    QueryStatistics,
    Repetition,
    location_attributes,
)
from otelflask._internal.observers import RequestObserver
from otelflask._internal.request_record import PerRequest, RequestRecord
from otelflask._internal.sdk.log_records import Record, emit
from otelflask._internal.version import __version__

_statistics = PerRequest(QueryStatistics)
#: The exception of the last statement that failed, in a list of one.
_failures: PerRequest[list[BaseException]] = PerRequest(list)


def note_failure(error: BaseException) -> None:
    """Remember the exception with which SQLAlchemy reports that a statement of the current request has failed."""
    record = current_record()
    if record is not None and not record.closed:
        _failures.get_or_create(record)[:] = [error]


def failure_of(record: RequestRecord) -> BaseException | None:
    """The exception of the request's last failed statement; None if none has failed."""
    return next(iter(_failures.get(record) or ()), None)


class RequestQueries(RequestObserver):
    """Records the statements that a request has repeated.

    Args:
        logger_provider: Where they are recorded.
        repeated: Runs of one statement, from one line in one request, from which it counts as repeated.
        repeated_time: Returns the seconds of these runs from which it counts as repeated.
        joins: Whether it joins each request that runs a statement, instead of being an observer of all
            requests.
    """

    def __init__(self, logger_provider: Any, repeated: int, repeated_time: Callable[[], float], joins: bool) -> None:
        self._joins = joins
        self._logger = logger_provider.get_logger("otelflask.database", __version__)
        self._least = repeated
        self._repeated_time = repeated_time

    def ran(self, statement: str, elapsed: int, execution: Any) -> None:
        """Count a statement that has ended.

        Args:
            statement: The text without literals.
            elapsed: Nanoseconds.
            execution: SQLAlchemy's execution context, or None.
        """
        record = current_record()
        if record is None or record.closed:
            return
        record.statement_count += 1
        record.statement_time_ns += elapsed
        if self._joins and self not in record.own_observers:
            record.own_observers = (*record.own_observers, self)
        _statistics.get_or_create(record).add(statement, elapsed, execution)

    def closed(self, record: RequestRecord) -> None:
        statistics = _statistics.get(record)
        repetitions = statistics.repeated(self._least) if statistics is not None else None
        if repetitions:
            least_ns = self._repeated_time() * 1e9
            for repetition in repetitions:
                if repetition.elapsed >= least_ns:
                    self._say(record, repetition)

    def _say(self, record: RequestRecord, repetition: Repetition) -> None:
        seconds = repetition.elapsed / 1e9
        own: dict[str, Any] = {
            "db.query.text": repetition.statement,
            attribute_names.QUERY_COUNT: repetition.runs,
            attribute_names.QUERY_DURATION: seconds,
            **location_attributes(repetition.location),
        }
        if record.route is not None:
            own["http.route"] = record.route
        times = f"{repetition.runs} times in one request"
        text = f"repeated query: {times}, {seconds:.2f} s: {repetition.statement[:200]}"
        if repetition.relationship is not None:
            own[attribute_names.RELATIONSHIP] = _path(repetition.relationship)
            text = f"repeated query: {own[attribute_names.RELATIONSHIP]} loaded {times}, one by one"
        emit(
            self._logger,
            Record(
                clock.time_ns(),
                SeverityNumber.WARN,
                "WARN",
                text,
                (own,),
                record.span_context,
                record.context,
                event_names.REPEATED_QUERY,
            ),
        )


def _path(relationship: Any) -> str:
    """SQLAlchemy's path of mappers and attributes as text, such as ``Product.reviews``."""
    for part in reversed(list(relationship)):
        key, parent = getattr(part, "key", None), getattr(part, "parent", None)
        if key is not None and parent is not None:
            return f"{parent.class_.__name__}.{key}"
    return str(relationship)
