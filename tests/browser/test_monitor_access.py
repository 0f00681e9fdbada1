"""The live page for everybody: by keyboard, with a screen reader, on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from otelflask.testing import FakeCollector
from tests.browser.seen import APP, COMMAND, MARKS, VIEWS, open_view, row_with, sync_api
from tests.integration.conftest import Serve, Server

pytestmark = MARKS


def test_the_keyboard_is_enough(server: Server, page: sync_api.Page) -> None:
    server.get("/lamps")
    server.get("/nowhere")
    row_with(page, "/nowhere").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    # While a row has the focus, the list does not move.
    server.get("/pid")
    page.get_by_role("button", name="1 new").wait_for()
    page.keyboard.press("Enter")
    page.locator(".title", has_text="GET /lamps").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    row_with(page, "/pid").wait_for()
    page.keyboard.press("5")
    row_with(page, "listed lamps").wait_for()
    page.keyboard.press("p")
    page.get_by_role("status").get_by_text("paused: p continues").wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()


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
        open_view(page, view)
        page.locator("tbody tr:not([aria-hidden])").first.wait_for()
        look(view)
    open_view(page, "Errors")
    row_with(page, "RuntimeError").click()
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
        open_view(page, view)
        page.get_by_role("navigation").locator('[aria-current="page"]', has_text=view).wait_for()
        cut = """[...document.querySelectorAll(".scroll")].filter(region => region.scrollWidth > region.clientWidth + 1)
            .map(region => region.getAttribute("aria-label"))"""
        assert page.evaluate(cut) == [], view
    heights = page.evaluate("[...document.querySelectorAll('#settings td:first-child')].map(cell => cell.clientHeight)")
    assert len(heights) > 50
    # A name on two lines would be twice as high as a line.
    assert sorted(heights)[len(heights) // 2] < 35
    page.close()
