"""Flask's own pages on errors, by hand and with otelflask."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sentry_sdk.envelope import Envelope

from tests.tutorials.running import FORMS, SENDING, Running, Sink, eventually, form_of, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sentry() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.stop()


@pytest.fixture(scope="module", params=FORMS)
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sentry: Sink) -> Iterator[Running]:
    dsn = f"http://key@127.0.0.1:{sentry.port}/{FORMS.index(request.param) + 1}"
    folder = tmp_path_factory.mktemp("handlers")
    with running("handlers", form_of(request), folder, FLASK_SENTRY_DSN=dsn) as found:
        yield found


@pytest.mark.parametrize(
    ("path", "status", "handler"),
    [
        ("/a", 404, "child"),
        ("/b", 404, "parent"),
        ("/full", 507, "app"),
        ("/denied", 403, "app"),
        ("/bp/denied", 403, "blueprint"),
        ("/bp/gone", 404, "blueprint"),
        ("/bp/none", 404, "app"),
        ("/none", 404, "app"),
        ("/crash", 500, "app"),
    ],
)
def test_the_most_specific_handler_answers_and_the_blueprints_before_the_apps(
    app: Running, path: str, status: int, handler: str
) -> None:
    answer = app.ask(path)
    assert (answer.status, answer.json["handler"]) == (status, handler)


def _events(sentry: Sink, project: int) -> list[dict[str, Any]]:
    """The events of exceptions that arrived at a project of Sentry."""
    found = []
    for path, body in sentry.received:
        if path.startswith(f"/api/{project}/store"):
            found.append(json.loads(body))
        elif path.startswith(f"/api/{project}/envelope"):
            event = Envelope.deserialize(body).get_event()
            found += [dict(event)] if event is not None and event.get("exception") else []
    return found


def _settled(sentry: Sink, project: int) -> int:
    """The number of events, once no more arrive of what was asked before."""
    count = -1
    while count != (count := len(_events(sentry, project))):
        time.sleep(0.5)
    return count


def test_sentry_gets_one_event_with_stack_and_local_variables(app: Running, sentry: Sink) -> None:
    project = FORMS.index(app.form) + 1
    before = _settled(sentry, project)
    app.ask("/crash")
    events = eventually(lambda: _events(sentry, project)[before:])
    assert _settled(sentry, project) == before + 1
    (value,) = events[0]["exception"]["values"]
    assert value["type"] == "ZeroDivisionError"
    frame = value["stacktrace"]["frames"][-1]
    assert frame["function"] == "crash"
    assert "apples" in str(frame["vars"]["basket"])


def test_expected_errors_are_no_events(app: Running, sentry: Sink) -> None:
    project = FORMS.index(app.form) + 1
    before = _settled(sentry, project)
    for path in ("/denied", "/none", "/a"):
        app.ask(path)
    app.ask("/crash")
    eventually(lambda: _events(sentry, project)[before:])
    assert [event["exception"]["values"][-1]["type"] for event in _events(sentry, project)[before:]] == [
        "ZeroDivisionError"
    ]


def test_the_same_error_is_one_group(app: Running) -> None:
    if app.form not in SENDING:
        pytest.skip("by hand, Sentry's server groups")
    for _ in range(3):
        app.ask("/crash")
    reports = eventually(lambda: app.records("exception", http__route="/crash")[2:]) or []
    assert len({report.attributes["otelflask.error.fingerprint"] for report in reports}) == 1


_OWN_INIT = """
import sentry_sdk
from flask import Flask
import otelflask
from tests.tutorials.by_hand.handlers import errors, views

def create_app():
    app = Flask("handlers")
    app.register_blueprint(views.main)
    app.register_blueprint(views.bp)
    errors.init_app(app)
    {before}
    otelflask.init(app)
    {after}
    app.secret = "s3cret"
    return app

def own():
    sentry_sdk.init(dsn={dsn!r}, send_default_pii=True)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_apps_own_sentry_sdk_gets_one_masked_event_and_otelflask_one_report(
    sentry: Sink, tmp_path: Path, when: str
) -> None:
    project = {"before": 8, "after": 9}[when]
    dsn = f"http://key@127.0.0.1:{sentry.port}/{project}"
    calls = {"before": "own()" if when == "before" else "", "after": "own()" if when == "after" else ""}
    (tmp_path / "own.py").write_text(_OWN_INIT.format(dsn=dsn, **calls))
    with running("own", "init", tmp_path) as app:
        app.ask("/crash?password=hunter2", Authorization="Bearer hunter2")
        events = eventually(lambda: _events(sentry, project))
        reports = app.records("exception")
    assert [event["exception"]["values"][-1]["type"] for event in events] == ["ZeroDivisionError"]
    assert [report.attributes["exception.type"] for report in reports] == ["ZeroDivisionError"]
    assert "hunter2" not in json.dumps(events, default=str)
    assert "hunter2" not in str([report.attributes for report in reports])


def test_another_debugger_gets_the_exception() -> None:
    from tests.tutorials.by_hand import handlers as by_hand
    from tests.tutorials.with_otelflask import handlers as with_otelflask

    # Flask's own rules: with `use_debugger=False` and debug mode on, nobody answers the exception.
    for module in (by_hand, with_otelflask):
        app = module.create_app({"EXTERNAL_DEBUGGER": True, "PROPAGATE_EXCEPTIONS": None, "DEBUG": True})
        with pytest.raises(ZeroDivisionError):
            app.test_client().get("/crash")
        by_hand.close(app) if module is by_hand else None
