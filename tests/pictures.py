"""``make pictures``: take pictures of each view of the live page, from the running demo, in both themes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.servers import free_port

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZE = {"width": 1280, "height": 800}
#: Seconds of the demo's load before the pictures are taken.
LOAD_S = 75
VIEWS = ("overview", "requests", "errors", "logs", "queries", "jobs", "profiles", "runtime", "trace", "error")
#: Requests that are profiled.
PROFILED = ("/api/products", "/api/products/ratings", "/slow-query", "/api/products/7")


def show(page: Page, base: str, view: str) -> None:
    """Go to a view, or to the page of its first row."""
    if view == "trace":
        page.goto(f"{base}/queries")
        page.locator("#suspects a.row").first.click()
        page.locator("summary.span").first.click()
        page.locator(".fold a.span").first.click()
        page.locator(".details pre").wait_for()
    elif view == "error":
        page.goto(f"{base}/errors")
        page.locator("a.row", has_text="RuntimeError").first.click()
    else:
        page.goto(base if view == "overview" else f"{base}/{view}")
    # Live updates.
    page.wait_for_timeout(2_000)


def main() -> None:
    """Run the demo, wait for its load, and take the pictures."""
    port = free_port()
    base = f"http://127.0.0.1:{port}/monitoring"
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "OTELFLASK_STATE_DIR": f"{folder}/state",
            "SHOP_DATABASE_URL": f"sqlite:///{folder}/shop.sqlite3",
        }
        command = [sys.executable, "-m", "otelflask.demo", "--port", str(port), "--pause", "0.1"]
        demo = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(LOAD_S)
            urllib.request.urlopen(base, timeout=5).close()
            for path in PROFILED:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}?profile=keep", timeout=30).close()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                for scheme in ("light", "dark"):
                    page = browser.new_page(viewport=SIZE, color_scheme=scheme)
                    for view in VIEWS:
                        show(page, base, view)
                        page.screenshot(path=IMAGES / f"monitor-{view}-{scheme}.png")
                browser.close()
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(30)


if __name__ == "__main__":
    main()
