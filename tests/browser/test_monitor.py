"""The live page in a real browser: what it shows, and how it follows."""

from __future__ import annotations

import os
import re
import signal
import urllib.request
from pathlib import Path

from tests.browser.seen import COMMAND, MARKS, VIEWS, counted, open_view, row_with, sync_api
from tests.integration.conftest import NO_EXPORT, Serve, Server

pytestmark = MARKS
XSS = "/<img%20src=x%20onerror=alert(1)>"


def test_a_request_appears_by_itself_and_leads_to_its_trace(server: Server, page: sync_api.Page) -> None:
    assert "There was no request yet" in page.locator(".empty").inner_text()
    assert f"curl {server.url}/" in page.locator(".empty").inner_text()
    server.get("/lamps")
    row_with(page, "/lamps").wait_for()
    assert "200" in row_with(page, "/lamps").inner_text()
    # Anywhere on the row.
    row_with(page, "/lamps").locator("td").first.click()
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
    open_view(page, "Overview")
    for _ in range(3):
        server.get("/lamps")
    server.get("/boom")
    page.locator(".panel", has_text="Errors").get_by_text("25 %").wait_for()
    assert page.locator(".panel canvas").count() == 10
    page.locator("#chart-rate .u-over").hover(position={"x": 190, "y": 10})
    assert re.fullmatch(r"\d\d:\d\d:\d\d · [\d.]+/s", page.locator("#panel-rate .at").inner_text())
    row_with(page, "/lamps").first.click()
    row_with(page, "/lamps").nth(2).wait_for()
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
    row_with(page, "/lamps").wait_for()
    for pid in {server.get("/pid")[1] for _ in range(20)}:
        os.kill(int(pid), signal.SIGTERM)
    server.get("/nowhere")
    row_with(page, "/nowhere").wait_for()
    page.get_by_role("status").get_by_text("live", exact=True).wait_for()


def test_a_restart_of_the_whole_server_is_survived(
    server: Server, serve: Serve, page: sync_api.Page, tmp_path: Path
) -> None:
    for _ in range(5):
        server.get("/lamps")
    row_with(page, "/lamps").nth(4).wait_for()
    server.stop()
    page.get_by_role("status").get_by_text("the app does not answer: trying again").wait_for()
    port = int(server.url.rpartition(":")[2])
    again = serve(COMMAND, None, port, OTELFLASK_STATE_DIR=str(tmp_path / "state"), **NO_EXPORT)
    again.get("/nowhere")
    # Its rows have the numbers of the former ones.
    row_with(page, "/nowhere").wait_for()
    assert row_with(page, "/lamps").count() == 0
    page.get_by_role("status").get_by_text("live", exact=True).wait_for()


def test_filters_are_in_the_address_and_work(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    server.get("/nowhere")
    row_with(page, "/nowhere").wait_for()
    page.get_by_label("Status").select_option("4xx")
    row_with(page, "/lamps").wait_for(state="detached")
    assert counted(page) == 1
    assert "status=4xx" in page.url
    page.reload()
    row_with(page, "/nowhere").wait_for()
    assert counted(page) == 1
    page.get_by_label("Status").select_option("all")
    page.keyboard.press("/")
    page.keyboard.type("LAMP")
    row_with(page, "/nowhere").wait_for(state="detached")
    # Requests that arrive while the reader types match the filter too.
    server.get("/nowhere")
    server.get("/lamps")
    page.get_by_text("2 requests").wait_for()
    assert page.get_by_label("Find").input_value() == "LAMP"
    page.get_by_label("Find").fill("no such thing")
    page.get_by_text("No request matches the filters").wait_for()
    page.get_by_role("link", name="Show all").click()
    row_with(page, "/nowhere").first.wait_for()


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
    row_with(page, "/lamps").wait_for()


def test_errors_logs_queries_and_the_runtime_show_what_was_done(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    server.get("/boom")
    open_view(page, "Logs")
    row_with(page, "listed lamps").wait_for()
    page.get_by_label("Level").select_option("ERROR and above")
    row_with(page, "listed lamps").wait_for(state="detached")
    open_view(page, "Queries")
    row_with(page, "seen.py").first.wait_for()
    open_view(page, "Runtime")
    row_with(page, "MainThread").nth(1).wait_for()
    row_with(page, "environment").get_by_role("cell", name="keyword argument", exact=True).wait_for()
    open_view(page, "Errors")
    row_with(page, "RuntimeError in seen.boom").click()
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
    row_with(page, "<img src=x").first.wait_for()
    for view in VIEWS:
        open_view(page, view)
        page.locator("tbody tr:not([aria-hidden])").first.wait_for()
        assert page.locator("main img, main script").count() == 0
    for path in ("/said", "/boom", "/lamps"):
        page.goto(f"{server.url}/monitoring/requests?text={path}")
        row_with(page, path).first.click()
        page.locator(".waterfall").wait_for()
        for link in page.locator("a.span[data-soft]:visible").all():
            link.click()
            page.locator(".details h2").wait_for()
        assert page.locator("main img, main script").count() == 0
    # It is there, as text.
    page.goto(f"{server.url}/monitoring/requests?text=/said")
    row_with(page, "/said").last.click()
    page.locator(".details", has_text="<img src=x onerror=alert(1)>").wait_for()


def test_it_holds_still_under_the_pointer_and_says_what_is_new(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    row_with(page, "/lamps").wait_for()
    row_with(page, "/lamps").hover()
    server.get("/nowhere")
    page.get_by_role("button", name="1 new").wait_for()
    server.get("/nowhere")
    page.get_by_role("button", name="2 new").wait_for()
    assert page.locator("tbody tr[aria-rowindex]").count() == 1
    page.get_by_role("button", name="2 new").click()
    row_with(page, "/nowhere").first.wait_for()


def test_a_line_opens_in_place_and_stays_while_new_ones_wait(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    open_view(page, "Logs")
    row = row_with(page, "listed lamps").first
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
    open_view(page, "Logs")
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


def test_a_profile_is_listed_and_its_page_shows_where_the_time_went(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps?profile=1")
    open_view(page, "Profiles")
    # In a tab of its own, because it is another program's page and has no way back.
    with page.expect_popup() as opened:
        row_with(page, "GET /lamps").get_by_role("link").first.click()
    profile = opened.value
    profile.wait_for_url(re.compile(r"/monitoring/profiles/[0-9a-f]{32}$"))
    profile.get_by_text("lamps").first.wait_for()
    # Its scripts run in no origin of the app.
    assert profile.evaluate("origin") == "null"
