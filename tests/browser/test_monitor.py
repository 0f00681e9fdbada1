"""The live page in a real browser: Debian's Chromium, by Playwright."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import NO_EXPORT, Serve, Server

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright has no wheel here")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt-get install chromium)"),
]

APP = """
import logging
import os
from flask import Flask
from sqlalchemy import create_engine, text
import otelflask

logging.getLogger().setLevel(logging.INFO)
app = Flask("seen")
otelflask.init(app, environment="development", runtime_metrics=False, repeated_query_time=0)
engine = create_engine("sqlite:///seen.sqlite3")
XSS = "<img src=x onerror=alert(1)><script>alert(1)</script>"

@app.get("/lamps")
def lamps():
    with engine.connect() as connection:
        for number in range(7):
            connection.execute(text("SELECT :number"), {"number": number})
    app.logger.warning("listed lamps %s", XSS)
    return "lamps"

@app.get("/pid")
def pid():
    return str(os.getpid())

@app.get("/boom")
def boom():
    raise RuntimeError(XSS)
"""
XSS = "/<img%20src=x%20onerror=alert(1)>"


@pytest.fixture
def server(serve: Serve, app_dir: Path, tmp_path: Path) -> Server:
    (app_dir / "seen.py").write_text(APP)
    command = ["gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "--log-level", "critical", "seen:app"]
    return serve(command, None, OTELFLASK_STATE_DIR=str(tmp_path / "state"), **NO_EXPORT)


@pytest.fixture
def page(server: Server) -> Iterator[sync_api.Page]:
    """The page, open. Errors of its own, dialogs and requests to other hosts fail the test."""
    wrong: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 700})
        page.set_default_timeout(10_000)
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append("a dialog"), dialog.dismiss()))
        page.on("request", lambda asked: None if asked.url.startswith(server.url) else wrong.append(asked.url))
        page.goto(f"{server.url}/monitoring#/requests")
        yield page
        browser.close()
    assert wrong == []


def test_a_request_appears_by_itself_and_leads_to_its_trace(server: Server, page: sync_api.Page) -> None:
    assert "No request was seen yet" in page.locator(".empty").inner_text()
    server.get("/lamps")
    row = page.locator("tbody tr", has_text="/lamps")
    row.wait_for()
    assert "200" in row.inner_text()
    row.click()
    folded = page.locator(".span", has_text=re.compile(r"×7"))
    folded.click()
    assert "SELECT" in page.locator(".details").inner_text()
    assert page.locator(".span", has_text="listed lamps").count() == 1
    # Back by the keyboard.
    page.keyboard.press("Escape")
    page.locator("tbody tr", has_text="/lamps").wait_for()


def test_the_overview_counts_what_was_done_and_leads_to_its_requests(server: Server, page: sync_api.Page) -> None:
    for _ in range(3):
        server.get("/lamps")
    server.get("/boom")
    page.get_by_role("link", name="Overview").click()
    page.locator(".tile", has_text="Errors").get_by_text("25 %").wait_for()
    page.locator("tbody tr", has_text="/lamps").first.click()
    page.locator("tbody tr", has_text="/lamps").nth(2).wait_for()
    assert "route=%2Flamps" in page.url


def test_a_restart_of_the_app_is_survived(serve: Serve, server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    page.locator("tbody tr", has_text="/lamps").wait_for()
    # All workers at once: nobody answers for a moment.
    for pid in {server.get("/pid")[1] for _ in range(20)}:
        os.kill(int(pid), signal.SIGTERM)
    server.get("/nowhere")
    page.locator("tbody tr", has_text="/nowhere").wait_for()
    assert page.locator(".state").inner_text() == "live"


def test_filters_are_in_the_address_and_work(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    server.get("/nowhere")
    page.locator("tbody tr", has_text="/nowhere").wait_for()
    page.get_by_label("Status").select_option("4xx")
    page.locator("tbody tr", has_text="/lamps").wait_for(state="detached")
    page.locator("tbody tr", has_text="/nowhere").wait_for()
    assert page.locator("tbody tr").count() == 1
    assert "status=4xx" in page.url
    page.reload()
    page.locator("tbody tr", has_text="/nowhere").wait_for()
    assert page.locator("tbody tr").count() == 1


def test_errors_logs_and_queries_show_what_was_done(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    server.get("/boom")
    page.get_by_role("link", name="Logs").click()
    page.locator("tbody tr", has_text="listed lamps").wait_for()
    page.get_by_role("link", name="Queries").click()
    page.locator("tbody tr", has_text="seen.py").wait_for()
    page.get_by_role("link", name="Errors").click()
    page.locator("tbody tr", has_text="RuntimeError in seen.boom").click()
    report = page.locator(".report")
    report.get_by_text("raise RuntimeError(XSS)").first.wait_for()
    assert "onerror=alert(1)" in report.inner_text()


def test_markup_in_paths_lines_and_messages_is_text(server: Server, page: sync_api.Page) -> None:
    server.get(XSS)
    server.get("/lamps")
    server.get("/boom")
    page.locator("tbody tr", has_text="<img src=x").wait_for()
    for view in ("Overview", "Errors", "Logs", "Queries", "Requests"):
        page.get_by_role("link", name=view).click()
        page.locator("tbody tr").first.wait_for()
    assert page.locator("img, main script").count() == 0


def test_it_holds_still_under_the_pointer_and_says_what_is_new(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    row = page.locator("tbody tr", has_text="/lamps")
    row.wait_for()
    row.hover()
    server.get("/nowhere")
    page.get_by_role("button", name="1 new").wait_for()
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("button", name="1 new").click()
    page.locator("tbody tr", has_text="/nowhere").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_it_has_no_serious_fault_of_accessibility(server: Server, page: sync_api.Page, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 700})
    server.get("/lamps")
    server.get("/boom")
    for view in ("Overview", "Requests", "Errors", "Logs", "Queries"):
        page.get_by_role("link", name=view).click()
        page.locator("tbody tr").first.wait_for()
        # By evaluation: a script element would be blocked, as it should be.
        found = page.evaluate(f"async () => {{ {_axe()}; return await axe.run(); }}")
        serious = [item["id"] for item in found["violations"] if item["impact"] in ("serious", "critical")]
        assert serious == [], view


def _axe() -> str:
    axe_playwright_python = pytest.importorskip("axe_playwright_python")
    return next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()
