"""The live page's list of jobs."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import flask
import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from tests.unit.live_page.conftest import Make, ask, shown


@pytest.fixture
def app(make: Make) -> flask.Flask:
    app = make()

    @app.cli.command("recount")
    def recount() -> None:
        pass

    @app.cli.command("audit")
    def audit() -> None:
        raise LookupError("no such shelf")

    for name in ("recount", "audit", "recount"):
        app.test_cli_runner().invoke(args=[name])
    return app


def test_runs_are_shown_newest_first_with_system_result_and_duration(app: flask.Flask) -> None:
    found = shown(app, "jobs")
    assert [(row[1], row[2].split()[1:], row[4]) for row in found] == [
        ("command", ["recount"], "success"),
        ("command", ["audit", "LookupError"], "failure"),
        ("command", ["recount"], "success"),
    ]
    assert all(row[5].endswith("ms") for row in found)


def test_a_job_that_has_not_begun_has_no_duration(make: Make) -> None:
    app = make()
    scheduler = BackgroundScheduler(timezone=timezone.utc)
    scheduler.start()
    late = datetime.now(timezone.utc) - timedelta(hours=1)
    scheduler.add_job(print, "date", run_date=late, misfire_grace_time=1)
    limit = time.monotonic() + 30
    while not (found := shown(app, "jobs")) and time.monotonic() < limit:
        time.sleep(0.05)
    scheduler.shutdown()
    assert [(row[1], row[4], row[5]) for row in found] == [("apscheduler", "missed", "")]


def test_runs_are_found_by_name_result_and_text(app: flask.Flask) -> None:
    name = shown(app, "jobs")[0][2]
    assert len(shown(app, f"jobs?name={name}")) == 2
    assert [row[4] for row in shown(app, "jobs?severity=17")] == ["failure"]
    assert [row[4] for row in shown(app, "jobs?text=lookuperror")] == ["failure"]
    assert shown(app, "jobs?text=nothing") == []
    assert ask(app, "/monitoring/jobs?severity=high").status_code == 400


def test_a_run_leads_to_its_trace(app: flask.Flask) -> None:
    page = ask(app, "/monitoring/jobs").text
    address = page.partition('class="row" href="')[2].partition('"')[0]
    assert "recount" in ask(app, address.partition("?")[0]).text


def test_without_a_run_it_says_what_would_be_shown(make: Make) -> None:
    assert "No job has ended yet" in ask(make(), "/monitoring/jobs").text
