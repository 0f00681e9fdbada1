"""What sentry-sdk's documentation promises also works for reports of errors that nobody captured by hand."""

from __future__ import annotations

import gc
import json
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
import sentry_sdk
from sqlalchemy import Column, Integer, String, create_engine, event
from sqlalchemy.orm import DeclarativeBase, scoped_session, sessionmaker

from otelflask._internal.error_reports import reporter as reports_module
from otelflask.testing import CapturedTelemetry
from tests.unit.conftest import Make


def reports(telemetry: CapturedTelemetry) -> list[Any]:
    return [record for record in telemetry.logs if record.event_name in ("exception", "otelflask.message")]


def counts(telemetry: CapturedTelemetry) -> dict[tuple[str, bool], int]:
    return {
        (point.attributes["error.type"], point.attributes["otelflask.error.reported"]): point.value
        for point in telemetry.points("otelflask.errors")
    }


def _fail() -> None:
    raise LookupError("no lamp for 123-45-6789")


@pytest.fixture
def before_send(make: Make) -> Iterator[Callable[[Any], None]]:
    """Set the client's `before_send` for this test."""
    make(lambda: None)
    options = sentry_sdk.get_client().options
    kept = options["before_send"]

    def use(function: Any) -> None:
        options["before_send"] = function

    yield use
    options["before_send"] = kept


def test_before_send_changes_group_level_and_message(
    make: Make, telemetry: CapturedTelemetry, before_send: Callable[[Any], None]
) -> None:
    def changed(event: Any, hint: Any) -> Any:
        event["fingerprint"] = ["lamps"]
        event["level"] = "warning"
        event["exception"]["values"][-1]["value"] = "no lamp for somebody"
        return event

    app = make(lambda: None)
    before_send(changed)
    app.view_functions["x"] = _fail
    app.view_functions["api_x"] = lambda: {}["other"]
    app.test_client().get("/x")
    app.test_client().get("/api/x")
    one, other = reports(telemetry)
    assert one.attributes["otelflask.error.fingerprint"] == other.attributes["otelflask.error.fingerprint"]
    assert one.severity_text == "WARN"
    assert one.body == "LookupError: no lamp for somebody"
    assert "123-45-6789" not in str(dict(one.attributes, **{"otelflask.error.frames": ""}))


def test_what_before_send_drops_takes_nobodys_place(
    make: Make, telemetry: CapturedTelemetry, before_send: Callable[[Any], None]
) -> None:
    app = make(lambda: None, reports_per_minute=2)
    dropping = True
    before_send(lambda event, hint: None if dropping else event)
    app.view_functions["x"] = _fail
    for _ in range(5):
        app.test_client().get("/x")
    assert reports(telemetry) == []
    dropping = False
    app.test_client().get("/x")
    assert len(reports(telemetry)) == 1
    assert counts(telemetry) == {("LookupError", False): 5, ("LookupError", True): 1}


@pytest.mark.parametrize("scope", ["isolation", "current"])
def test_a_scopes_fingerprint_level_and_tags_count_for_what_is_raised(
    make: Make, telemetry: CapturedTelemetry, scope: str
) -> None:
    def view() -> None:
        found = sentry_sdk.get_isolation_scope() if scope == "isolation" else sentry_sdk.get_current_scope()
        found.fingerprint = ["{{ default }}", flask.request.args["tenant"]]
        found.set_tag("tenant", flask.request.args["tenant"])
        _fail()

    app = make(lambda: None)
    app.view_functions["x"] = view
    for tenant in ("a", "b", "a"):
        app.test_client().get(f"/x?tenant={tenant}")
    a, b, again = (report.attributes for report in reports(telemetry))
    name = "otelflask.error.fingerprint"
    assert a[name] == again[name] != b[name]
    assert a["otelflask.tag.tenant"] == "a"
    assert json.loads(a["otelflask.error.tags"])["tenant"] == "a"
    assert a["otelflask.error.group"].endswith("(a)")


def test_what_a_stream_says_of_its_user_is_not_said_of_the_next_request(
    make: Make, telemetry: CapturedTelemetry
) -> None:
    app = make(_fail)

    def pieces() -> Iterator[bytes]:
        sentry_sdk.set_user({"id": "alice"})
        sentry_sdk.add_breadcrumb(message="alice's basket")
        yield b"one"

    app.view_functions["x"] = lambda: flask.Response(pieces())
    app.view_functions["api_x"] = _fail
    assert app.test_client().get("/x").data == b"one"
    app.test_client().get("/api/x")
    (report,) = reports(telemetry)
    assert "alice" not in str(dict(report.attributes))


def test_an_exception_of_a_stream_is_unhandled(make: Make, telemetry: CapturedTelemetry) -> None:
    def pieces() -> Iterator[bytes]:
        sentry_sdk.set_tag("tenant", "a")
        yield b"one"
        _fail()

    app = make(lambda: None)
    app.view_functions["x"] = lambda: flask.Response(pieces())
    with pytest.raises(LookupError):
        app.test_client().get("/x", buffered=True)
    (report,) = reports(telemetry)
    assert report.attributes["otelflask.error.handled"] is False
    assert report.attributes["otelflask.tag.tenant"] == "a"


def test_an_exception_of_a_thread_that_is_logged_captured_and_raised_is_one_report(
    make: Make, telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(lambda: None)
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)

    def work() -> None:
        try:
            _fail()
        except LookupError as error:
            logging.getLogger("job").exception("cannot work")
            sentry_sdk.capture_exception(error)
            raise

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(reports(telemetry)) == 1
    assert sum(counts(telemetry).values()) == 1


def test_a_server_that_logs_an_exception_after_its_request_adds_no_report(
    make: Make, telemetry: CapturedTelemetry
) -> None:
    app = make(_fail)
    app.view_functions["x"] = _fail
    app.config["PROPAGATE_EXCEPTIONS"] = True
    try:
        app.test_client().get("/x")
    except LookupError:
        logging.getLogger("gunicorn.error").exception("Error handling request /x")
    assert len(reports(telemetry)) == 1


def test_problems_beyond_what_is_kept_of_a_request_are_counted(
    make: Make, telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports_module, "MAX_PENDING", 5)

    def view() -> str:
        for number in range(12):
            logging.getLogger("shop").error("problem %s", "abcdefghijkl"[number], extra={"n": number})
        return "ok"

    app = make(lambda: None)
    app.view_functions["x"] = view
    app.test_client().get("/x")
    app.extensions["otelflask"].telemetry.flush()
    assert counts(telemetry) == {("message", True): 5, ("message", False): 7}
    said = [record for record in telemetry.logs if record.event_name == "otelflask.error_group"]
    assert sum(record.attributes["otelflask.error.count"] for record in said) == 12


def test_expected_errors_are_counted_and_not_reported(make: Make, telemetry: CapturedTelemetry) -> None:
    app = make(lambda: None)
    app.test_client().get("/nowhere")
    assert reports(telemetry) == []
    assert counts(telemetry) == {("404", False): 1}


class Base(DeclarativeBase):
    pass


class Lamp(Base):
    __tablename__ = "lamps"
    id = Column(Integer, primary_key=True)
    name = Column(String)

    def __repr__(self) -> str:
        return f"<Lamp {self.name}>"


def test_local_variables_are_taken_before_sessions_are_rolled_back_and_without_a_statement(
    make: Make, telemetry: CapturedTelemetry
) -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    sessions = scoped_session(sessionmaker(engine))
    statements: list[str] = []

    def view() -> None:
        lamp = Lamp(name="Tolomeo")
        sessions.add(lamp)
        sessions.flush()
        event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
        _fail()

    app = make(lambda: None, rollback_sessions=[sessions], database=False)
    app.view_functions["x"] = view
    app.test_client().get("/x")
    (report,) = reports(telemetry)
    assert "<Lamp Tolomeo>" in report.attributes["otelflask.error.frames"]
    assert statements == []
    sessions.remove()
    engine.dispose()


def test_a_breadcrumb_says_what_was_so_when_it_was_logged(make: Make, telemetry: CapturedTelemetry) -> None:
    def view() -> None:
        cart = ["lamp"]
        logging.getLogger("shop.cart").setLevel(logging.INFO)
        logging.getLogger("shop.cart").info("cart is %s", cart)
        cart.clear()
        _fail()

    app = make(lambda: None)
    app.view_functions["x"] = view
    app.test_client().get("/x")
    (report,) = reports(telemetry)
    (line,) = json.loads(report.attributes["otelflask.error.breadcrumbs"])
    assert line["message"] == "cart is ['lamp']"


@pytest.mark.parametrize("padding", range(150, 200, 7))
def test_a_secret_is_masked_wherever_a_text_is_cut(make: Make, telemetry: CapturedTelemetry, padding: int) -> None:
    secret = "x" * padding + " postgres://shop:hunter2-hunter2@db/shop"
    long = "y" * (padding + 1_800) + " postgres://shop:hunter2-hunter2@db/shop"

    def view() -> None:
        local = secret
        logging.getLogger("shop.cart").error("connecting to %s", secret)
        sentry_sdk.set_tag("dsn", secret)
        raise LookupError(long + local[:0])

    app = make(lambda: None)
    app.view_functions["x"] = view
    app.test_client().get("/x")
    for report in reports(telemetry):
        attributes = dict(report.attributes)
        # Whole texts are masked at export; what is cut must be masked before.
        attributes.pop("exception.stacktrace", None)
        assert "hunter2" not in str(attributes) + report.body


@pytest.mark.parametrize("letter", ["a", "漢", "😀"], ids=["ascii", "three bytes", "four bytes"])
def test_a_report_whose_every_part_is_large_stays_below_32_kb(
    make: Make, telemetry: CapturedTelemetry, letter: str
) -> None:
    text = letter * 3_000

    def deeper(depth: int) -> None:
        first, second, third, fourth = (text[:500],) * 4
        if depth:
            deeper(depth - 1)
        raise RuntimeError(text + first + second + third + fourth)

    def view() -> None:
        sentry_sdk.set_extra("all", {str(number): text[:100] for number in range(30)})
        for number in range(40):
            logging.getLogger("shop.cart").warning("%s %s", number, text[:200])
            sentry_sdk.set_tag(f"tag{number}", text[:200])
        deeper(40)

    app = make(lambda: None)
    app.view_functions["x"] = view
    app.test_client().get("/x?" + "q" * 2_000)
    (report,) = reports(telemetry)
    size = sum(len(name) + len(str(value).encode()) for name, value in report.attributes.items())
    assert size + len(report.body.encode()) <= 32_768
    assert "RuntimeError" in report.attributes["exception.stacktrace"]


def test_groups_within_groups_without_end_are_reported(make: Make, telemetry: CapturedTelemetry) -> None:
    class Several(Exception):  # noqa: N818
        def __init__(self, inner: BaseException) -> None:
            super().__init__("several")
            self.exceptions = (inner,)

    error: BaseException = ValueError("innermost")
    for _ in range(3_000):
        error = Several(error)
    app = make(lambda: None)

    def view() -> None:
        raise error

    app.view_functions["x"] = view
    app.test_client().get("/x")
    assert len(reports(telemetry)) == 1


def test_no_frame_outlives_its_request(make: Make, telemetry: CapturedTelemetry) -> None:
    class Basket:
        pass

    seen: list[weakref.ref[Basket]] = []

    def view() -> None:
        basket = Basket()
        seen.append(weakref.ref(basket))
        _fail()

    app = make(lambda: None)
    # pytest keeps log records with their exceptions.
    app.logger.disabled = True
    app.view_functions["x"] = view
    app.test_client().get("/x")
    app.logger.disabled = False
    assert len(reports(telemetry)) == 1
    telemetry.clear()
    gc.collect()
    assert len(seen) == 1
    assert seen[0]() is None
