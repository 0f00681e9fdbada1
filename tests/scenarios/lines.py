"""Routes and functions that log, capture, trace and count."""

from __future__ import annotations

import datetime
import enum
import logging
import threading

import sentry_sdk
from flask import Flask
from opentelemetry import metrics, trace

import otelflask

logger = logging.getLogger("shop.lines")


class Colour(enum.Enum):
    """A value of `extra=` that is an enum."""

    RED = "red"


class Lamp:
    """A value of `extra=` with a default repr, which has its address."""


def add(app: Flask) -> None:
    """Add the routes."""
    _add_logging(app)
    _add_captures(app)
    _add_own_telemetry(app)


def _add_logging(app: Flask) -> None:
    @app.get("/log/exception")
    def log_exception() -> str:
        try:
            return str(1 // 0)
        except ZeroDivisionError:
            logger.exception("cannot divide %s", "lamps")
        return "went on"

    @app.get("/log/error")
    def log_error() -> str:
        logger.error("stock is at %d", -1)
        return "went on"

    @app.get("/log/breadcrumbs")
    def log_breadcrumbs() -> str:
        logger.info("looking for %s", "lamps")
        logger.warning("few lamps", extra={"left": 1})
        logger.debug("not seen")
        raise RuntimeError("after two lines")

    @app.get("/log/extra")
    def log_extra() -> str:
        logger.warning(
            "many types",
            extra={
                "of_dict": {"a": 1, "b": {"c": [1, "two", None]}},
                "of_list": [1, 2.5, True, "text"],
                "of_enum": Colour.RED,
                "of_date": datetime.date(2024, 2, 29),
                "of_object": Lamp(),
                "of_bytes": b"\x00lamp",
                "of_none": None,
                "of_bool": True,
                "of_float": 0.5,
                "api_key": "sk-0123456789abcdef",
            },
        )
        return "logged"

    @app.get("/log/exc-info")
    def log_exc_info() -> str:
        try:
            int("lamp")
        except ValueError:
            logger.warning("not a number", exc_info=True)
        return "went on"

    @app.get("/log/two-lines")
    def log_two_lines() -> str:
        logger.info("with a\nsecond line")
        return "logged"


def _add_captures(app: Flask) -> None:
    @app.get("/capture/exception")
    def capture_exception() -> str:
        sentry_sdk.set_tag("shelf", "upper")
        sentry_sdk.set_user({"id": "ada", "email": "ada@shop.example"})
        with sentry_sdk.new_scope() as scope:
            scope.set_extra("lamps", {"red": 1, "password": "hunter2"})
            scope.set_tag("inner", "yes")
            try:
                raise PermissionError("not your lamp")
            except PermissionError as error:
                sentry_sdk.capture_exception(error)
        return "captured"

    @app.get("/capture/message")
    def capture_message() -> str:
        sentry_sdk.add_breadcrumb(category="shop", message="opened the shelf", level="info", data={"shelf": 3})
        sentry_sdk.capture_message("the shelf is crooked", level="warning")
        return "captured"


def _add_own_telemetry(app: Flask) -> None:
    @app.get("/event")
    def event() -> str:
        otelflask.event("order.placed", order_id=7, amount=12.5, gift=True, lamps=["red", "green"], to={"city": "Ulm"})
        return "placed"

    @app.get("/event/reserved")
    def reserved() -> str:
        otelflask.event("exception", order_id=7)
        return "not placed"

    @app.get("/own-span")
    def own_span() -> str:
        tracer = trace.get_tracer("shop.tracer", "1.2")
        with tracer.start_as_current_span("packing", attributes={"lamps": 3, "token": "abc123secret"}) as span:
            span.add_event("packed", {"boxes": [1, 2]})
            try:
                with tracer.start_as_current_span("taping"):
                    raise OSError("no tape left")
            except OSError as error:
                span.record_exception(error)
        return "packed"

    @app.get("/own-counter")
    def own_counter() -> str:
        meter = metrics.get_meter("shop.meter", "1.2")
        meter.create_counter("shop.lamps", unit="{lamp}", description="Lamps.").add(3, {"colour": "red"})
        meter.create_histogram("shop.weight", unit="By").record(1500, {"colour": "red"})
        return "counted"


def line_outside() -> None:
    """A line and an event of no request."""
    logger.info("nobody asked")
    logger.info("nobody asked again", extra={"job": "nightly"})


def error_outside() -> None:
    """An error line of no request."""
    try:
        raise TimeoutError("the nightly job hangs")
    except TimeoutError:
        logger.exception("job failed")


def event_outside() -> None:
    """An event of no request."""
    otelflask.event("job.done", seconds=0.5)


def uncaught_in_thread() -> None:
    """An error that ends a thread."""

    def work() -> None:
        raise RuntimeError("the thread is done")

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    thread.join(60)
