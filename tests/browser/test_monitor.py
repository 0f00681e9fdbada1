"""The live page in a real browser: Debian's Chromium, by Playwright."""

from __future__ import annotations

import os
import re
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from otelflask.testing import FakeCollector
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

@app.get("/said")
def said():
    with engine.connect() as connection:
        connection.execute(text('SELECT 1 AS "<img src=x onerror=alert(1)>"'))
    app.logger.error(XSS)
    return "said"

@app.get("/number/<int:number>")
def number(number):
    return str(number)

@app.get("/boom")
def boom():
    raise RuntimeError(XSS)
"""
COMMAND = ["gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "--log-level", "critical", "seen:app"]
XSS = "/<img%20src=x%20onerror=alert(1)>"


@pytest.fixture
def server(serve: Serve, app_dir: Path, tmp_path: Path) -> Server:
    (app_dir / "seen.py").write_text(APP)
    return serve(COMMAND, None, OTELFLASK_STATE_DIR=str(tmp_path / "state"), **NO_EXPORT)


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(server: Server, browser: sync_api.Browser) -> Iterator[sync_api.Page]:
    """The open page. Its errors, dialogs and requests to other hosts fail the test."""
    wrong: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 700})
    # Long, because the machine may be busy.
    page.set_default_timeout(30_000)
    page.on(
        "console",
        lambda message: wrong.append(f"{message.text} {message.location}") if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append("a dialog"), dialog.dismiss()))
    page.on("request", lambda asked: None if asked.url.startswith((server.url, "data:")) else wrong.append(asked.url))
    page.goto(f"{server.url}/monitoring/requests")
    yield page
    page.close()
    # The browser reports a server that is down.
    harmless = ("ERR_CONNECTION", "ERR_EMPTY_RESPONSE")
    assert [text for text in wrong if not any(part in text for part in harmless)] == []


VIEWS = ("Overview", "Requests", "Errors", "Logs", "Queries", "Profiles", "Runtime")


def _row(page: sync_api.Page, text: str) -> sync_api.Locator:
    return page.locator("tbody tr", has_text=text)


def _open(page: sync_api.Page, view: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=view).click()


def _counted(page: sync_api.Page) -> int:
    """The rows of the list, visible or not."""
    return int(page.locator(".list table").get_attribute("aria-rowcount") or 0) - 1


def test_a_request_appears_by_itself_and_leads_to_its_trace(server: Server, page: sync_api.Page) -> None:
    assert "There was no request yet" in page.locator(".empty").inner_text()
    assert f"curl {server.url}/" in page.locator(".empty").inner_text()
    server.get("/lamps")
    _row(page, "/lamps").wait_for()
    assert "200" in _row(page, "/lamps").inner_text()
    # Anywhere on the row.
    _row(page, "/lamps").locator("td").first.click()
    folded = page.locator("summary.span", has_text=re.compile(r"×7"))
    folded.click()
    assert page.locator(".fold .span").count() == 8
    page.locator(".fold a.span").nth(2).click()
    page.locator(".details pre", has_text="SELECT").wait_for()
    assert page.locator(".fold").get_attribute("open") is not None
    assert page.locator(".span", has_text="listed lamps").count() == 1
    assert "span=" in page.url
    # The address leads to the same span again.
    page.reload()
    page.locator(".details pre", has_text="SELECT").wait_for()


def test_the_overview_counts_what_was_done_and_leads_to_its_requests(server: Server, page: sync_api.Page) -> None:
    _open(page, "Overview")
    for _ in range(3):
        server.get("/lamps")
    server.get("/boom")
    page.locator(".panel", has_text="Errors").get_by_text("25 %").wait_for()
    assert page.locator(".panel canvas").count() == 10
    page.locator("#chart-rate .u-over").hover(position={"x": 190, "y": 10})
    assert re.fullmatch(r"\d\d:\d\d:\d\d · [\d.]+/s", page.locator("#panel-rate .at").inner_text())
    _row(page, "/lamps").first.click()
    _row(page, "/lamps").nth(2).wait_for()
    assert "route=%2Flamps" in page.url


def test_an_hour_can_be_shown_as_well(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    page.goto(f"{server.url}/monitoring")
    page.get_by_label("Last").select_option("1 hour")
    page.locator("[data-poll='5']").wait_for()
    assert "minutes=60" in page.url
    # The worker may publish after the page was first rendered.
    row = page.locator("#slowest tbody tr", has_text="/lamps")
    row.first.wait_for()
    assert row.count() == 1


def test_the_end_of_all_workers_at_once_is_survived(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    _row(page, "/lamps").wait_for()
    for pid in {server.get("/pid")[1] for _ in range(20)}:
        os.kill(int(pid), signal.SIGTERM)
    server.get("/nowhere")
    _row(page, "/nowhere").wait_for()
    page.get_by_role("status").get_by_text("live", exact=True).wait_for()


def test_a_restart_of_the_whole_server_is_survived(
    server: Server, serve: Serve, page: sync_api.Page, tmp_path: Path
) -> None:
    for _ in range(5):
        server.get("/lamps")
    _row(page, "/lamps").nth(4).wait_for()
    server.stop()
    page.get_by_role("status").get_by_text("the app does not answer: trying again").wait_for()
    port = int(server.url.rpartition(":")[2])
    again = serve(COMMAND, None, port, OTELFLASK_STATE_DIR=str(tmp_path / "state"), **NO_EXPORT)
    again.get("/nowhere")
    # Its rows have the numbers of the former ones.
    _row(page, "/nowhere").wait_for()
    assert _row(page, "/lamps").count() == 0
    page.get_by_role("status").get_by_text("live", exact=True).wait_for()


def test_filters_are_in_the_address_and_work(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    server.get("/nowhere")
    _row(page, "/nowhere").wait_for()
    page.get_by_label("Status").select_option("4xx")
    _row(page, "/lamps").wait_for(state="detached")
    assert _counted(page) == 1
    assert "status=4xx" in page.url
    page.reload()
    _row(page, "/nowhere").wait_for()
    assert _counted(page) == 1
    page.get_by_label("Status").select_option("all")
    page.keyboard.press("/")
    page.keyboard.type("LAMP")
    _row(page, "/nowhere").wait_for(state="detached")
    # Requests that arrive while the reader types match the filter too.
    server.get("/nowhere")
    server.get("/lamps")
    page.get_by_text("2 requests").wait_for()
    assert page.get_by_label("Find").input_value() == "LAMP"
    page.get_by_label("Find").fill("no such thing")
    page.get_by_text("No request matches the filters").wait_for()
    page.get_by_role("link", name="Show all").click()
    _row(page, "/nowhere").first.wait_for()


def test_a_long_list_has_only_rows_in_sight_and_reaches_back_to_the_first(server: Server, page: sync_api.Page) -> None:
    for number in range(450):
        server.get(f"/number/{number}")
    page.get_by_text("450 requests").wait_for()
    assert page.locator("tbody tr").count() < 80
    # By half a screen at a time: each row is visible once, and has the number of its position.
    seen: dict[int, str] = {}
    for _ in range(120):
        rows = page.locator("tbody tr[aria-rowindex]").evaluate_all(
            "(rows) => rows.map((row) => [Number(row.getAttribute('aria-rowindex')), row.cells[2].innerText])"
        )
        seen.update((index, path) for index, path in rows)
        if len(seen) == 450:
            break
        page.locator(".list .scroll").evaluate("(list) => list.scrollBy(0, list.clientHeight / 2)")
        page.wait_for_timeout(50)
    assert sorted(seen) == list(range(2, 452))
    assert set(seen.values()) == {f"/number/{number}" for number in range(450)}
    assert page.locator("tbody tr").count() < 80
    # New rows do not move it.
    server.get("/lamps")
    page.get_by_role("button", name="1 new").click()
    _row(page, "/lamps").wait_for()


def test_errors_logs_queries_and_the_runtime_show_what_was_done(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    server.get("/boom")
    _open(page, "Logs")
    _row(page, "listed lamps").wait_for()
    page.get_by_label("Level").select_option("ERROR and above")
    _row(page, "listed lamps").wait_for(state="detached")
    _open(page, "Queries")
    _row(page, "seen.py").first.wait_for()
    _open(page, "Runtime")
    _row(page, "MainThread").nth(1).wait_for()
    _row(page, "environment").get_by_role("cell", name="keyword argument", exact=True).wait_for()
    _open(page, "Errors")
    _row(page, "RuntimeError in seen.boom").click()
    report = page.locator(".report")
    report.get_by_text("raise RuntimeError(XSS)").first.wait_for()
    assert "onerror=alert(1)" in report.inner_text()
    report.get_by_role("link", name="Open the trace").click()
    page.locator(".span", has_text="error: RuntimeError").wait_for()


def test_markup_in_whatever_the_app_meets_is_text(server: Server, page: sync_api.Page) -> None:
    server.get(XSS)
    asked = urllib.request.Request(f"{server.url}/said", headers={"User-Agent": "<img src=x onerror=alert(1)>"})
    urllib.request.urlopen(asked, timeout=60).read()
    server.get("/said?profile=text")
    server.get("/lamps")
    server.get("/boom")
    _row(page, "<img src=x").first.wait_for()
    for view in VIEWS:
        _open(page, view)
        page.locator("tbody tr:not([aria-hidden])").first.wait_for()
        assert page.locator("main img, main script").count() == 0
    for path in ("/said", "/boom", "/lamps"):
        page.goto(f"{server.url}/monitoring/requests?text={path}")
        _row(page, path).first.click()
        page.locator(".waterfall").wait_for()
        for link in page.locator("a.span[data-soft]:visible").all():
            link.click()
            page.locator(".details h2").wait_for()
        assert page.locator("main img, main script").count() == 0
    # It is there, as text.
    page.goto(f"{server.url}/monitoring/requests?text=/said")
    _row(page, "/said").last.click()
    page.locator(".details", has_text="<img src=x onerror=alert(1)>").wait_for()


def test_it_holds_still_under_the_pointer_and_says_what_is_new(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    _row(page, "/lamps").wait_for()
    _row(page, "/lamps").hover()
    server.get("/nowhere")
    page.get_by_role("button", name="1 new").wait_for()
    server.get("/nowhere")
    page.get_by_role("button", name="2 new").wait_for()
    assert page.locator("tbody tr[aria-rowindex]").count() == 1
    page.get_by_role("button", name="2 new").click()
    _row(page, "/nowhere").first.wait_for()


def test_a_line_opens_in_place_and_stays_while_new_ones_wait(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    _open(page, "Logs")
    row = _row(page, "listed lamps").first
    row.click()
    row.get_by_text("code.function.name").wait_for()
    assert "/monitoring/logs" in page.url
    page.mouse.move(0, 0)
    for _ in range(60):
        server.get("/said")
    page.get_by_role("button", name=re.compile(r"\d+ new")).wait_for()
    assert row.get_by_text("code.function.name").is_visible()
    row.get_by_role("link", name="Open the trace").click()
    line = page.locator(".waterfall details", has_text="listed lamps")
    line.locator("summary").click()
    line.get_by_text("code.function.name").wait_for()


def test_a_list_is_scrolled_to_its_end_past_an_open_line(server: Server, page: sync_api.Page) -> None:
    for _ in range(60):
        server.get("/lamps")
    _open(page, "Logs")
    # The line of a worker's start has no fields.
    page.locator("tbody tr[aria-rowindex]", has_text="repeated query").first.click()
    opened = page.locator("details[open] dl")
    opened.wait_for()
    total = int(page.locator("table").get_attribute("aria-rowcount") or 0)
    page.locator(".scroll").evaluate("box => { box.scrollTop = box.scrollHeight }")
    last = page.locator(f"tr[aria-rowindex='{total}']")
    last.wait_for()
    assert last.is_visible()
    page.locator(".scroll").evaluate("box => { box.scrollTop = 0 }")
    opened.wait_for()


def test_one_page_has_one_time_zone(server: Server, browser: sync_api.Browser) -> None:
    server.get("/said")
    context = browser.new_context(timezone_id="Asia/Shanghai", locale="en-GB")
    try:
        page = context.new_page()
        page.goto(f"{server.url}/monitoring/errors")
        page.locator("a.row").first.click()
        page.locator(".crumbs time").first.wait_for()
        hours = {text[:2] for text in page.locator("time").all_inner_texts()}
        utc = {(at or "")[11:13] for at in [item.get_attribute("datetime") for item in page.locator("time").all()]}
        assert hours == {f"{(int(hour) + 8) % 24:02}" for hour in utc}
    finally:
        context.close()


def test_what_is_asked_twice_at_once_is_shown_once(server: Server, page: sync_api.Page) -> None:
    for number in range(6):
        server.get(f"/number/{number}")
        page.evaluate("for (let i = 0; i < 5; i += 1) document.dispatchEvent(new Event('visibilitychange'))")
    page.get_by_text("6 requests").wait_for()
    page.wait_for_timeout(1_500)
    assert page.locator("tbody tr[aria-rowindex]").count() == 6


def test_the_keyboard_is_enough(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    server.get("/nowhere")
    _row(page, "/nowhere").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    # While a row has the focus, the list does not move.
    server.get("/pid")
    page.get_by_role("button", name="1 new").wait_for()
    page.keyboard.press("Enter")
    page.locator(".title", has_text="GET /lamps").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    _row(page, "/pid").wait_for()
    page.keyboard.press("4")
    _row(page, "listed lamps").wait_for()
    page.keyboard.press("p")
    page.get_by_role("status").get_by_text("paused: p continues").wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()


def test_a_profile_is_listed_and_its_page_shows_where_the_time_went(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps?profile=1")
    _open(page, "Profiles")
    # In a tab of its own, because it is another program's page and has no way back.
    with page.expect_popup() as opened:
        _row(page, "GET /lamps").get_by_role("link").first.click()
    profile = opened.value
    profile.wait_for_url(re.compile(r"/monitoring/profiles/[0-9a-f]{32}$"))
    profile.get_by_text("lamps").first.wait_for()
    # Its scripts run in no origin of the app.
    assert profile.evaluate("origin") == "null"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_it_has_no_serious_fault_of_accessibility(server: Server, page: sync_api.Page, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 700})
    server.get("/lamps?profile=keep")
    server.get("/boom")

    def look(view: str) -> None:
        # By evaluation, because a script element would be blocked, as it should be.
        found = page.evaluate(f"async () => {{ {_axe()}; return await axe.run(); }}")
        serious = [
            (item["id"], item["nodes"][0]["html"])
            for item in found["violations"]
            if item["impact"] in ("serious", "critical")
        ]
        assert serious == [], view
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view

    for view in VIEWS:
        _open(page, view)
        page.locator("tbody tr:not([aria-hidden])").first.wait_for()
        look(view)
    _open(page, "Errors")
    _row(page, "RuntimeError").click()
    page.locator(".report").wait_for()
    look("an error")
    page.get_by_role("link", name="Open the trace").click()
    page.locator(".waterfall").wait_for()
    look("a trace")


def _axe() -> str:
    axe_playwright_python = pytest.importorskip("axe_playwright_python")
    return next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()


def test_no_table_is_cut_and_no_name_is_broken_on_a_phone(
    serve: Serve, app_dir: Path, tmp_path: Path, browser: sync_api.Browser, fake_collector: FakeCollector
) -> None:
    (app_dir / "seen.py").write_text(APP)
    server = serve(COMMAND, fake_collector, OTELFLASK_STATE_DIR=str(tmp_path / "state"))
    page = browser.new_page(viewport={"width": 390, "height": 700})
    page.goto(f"{server.url}/monitoring")
    for path in ("/lamps", "/boom"):
        server.get(path)
    for view in VIEWS:
        _open(page, view)
        page.get_by_role("navigation").locator('[aria-current="page"]', has_text=view).wait_for()
        cut = """[...document.querySelectorAll(".scroll")].filter(region => region.scrollWidth > region.clientWidth + 1)
            .map(region => region.getAttribute("aria-label"))"""
        assert page.evaluate(cut) == [], view
    heights = page.evaluate("[...document.querySelectorAll('#settings td:first-child')].map(cell => cell.clientHeight)")
    assert len(heights) > 50
    # A name on two lines would be twice as high as a line.
    assert sorted(heights)[len(heights) // 2] < 35
    page.close()
