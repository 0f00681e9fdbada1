"""``make bench-page``: the live page with 10,000 stored requests beside one with 100, and its memory after an hour's
load.

It needs Chromium. Chromium itself counts the work of the browser's main thread (CDP,
`Performance.getMetrics`), in turns for both pages, and the received bytes of the first view.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

from tests.servers import free_port

#: Milliseconds of a frame at 60 a second, and the most that the large page may cost relative to the small one.
FRAME_MS, RATIO = 1000 / 60, 2.0
FEW, MANY = 100, 10_000
ROUNDS = 30
#: Requests of an hour; those after which the process should have its final size; and the most bytes that it may grow
#: afterwards.
LOAD, WARM, GROWTH = 200_000, 60_000, 20_000_000
FIRST_VIEW_BYTES = 150_000
APP = """
import psutil
from flask import Flask
import otelflask

app = Flask("stored")
otelflask.init(app, environment="development", runtime_metrics=False, reports=False)

@app.get("/number/<int:number>")
def number(number):
    return ("failed", 503) if number % 10 == 0 else "number"

@app.get("/memory")
def memory():
    return str(psutil.Process().memory_info().rss)

@app.get("/load/<int:count>")
def load(count):
    # Through the whole WSGI app, without the time that a server takes.
    client = app.test_client()
    for number in range(count):
        client.get(f"/number/{number}")
    return "done"
"""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of an app in a process, with a state of its own."""
    folder.mkdir()
    (folder / "stored.py").write_text(APP)
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL")}
    for signal in ("TRACES", "METRICS", "LOGS"):
        environment[f"OTEL_{signal}_EXPORTER"] = "none"
    environment["OTELFLASK_STATE_DIR"] = str(folder / "state")
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "4", "--timeout", "600"]
    command += ["--log-level", "critical", "stored:app"]
    server = subprocess.Popen(command, cwd=folder, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 20
        while True:
            try:
                get(f"{url}/memory")
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def get(url: str) -> str:
    """The body."""
    with urllib.request.urlopen(url, timeout=600) as answer:
        return str(answer.read().decode())


def work(session: CDPSession) -> float:
    """Milliseconds of work of the page's main thread so far."""
    found = {item["name"]: item["value"] for item in session.send("Performance.getMetrics")["metrics"]}
    return 1000 * float(found["ScriptDuration"] + found["LayoutDuration"] + found["RecalcStyleDuration"])


def measured(page: Page, session: CDPSession, action: Callable[[Page], None]) -> float:
    """Milliseconds of work of an action."""
    before = work(session)
    action(page)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return work(session) - before


def filtered(page: Page) -> None:
    """Choose another status, and wait for its rows."""
    status = page.get_by_label("Status")
    wanted = "" if status.input_value() else "5xx"
    before = page.locator(".foot").inner_text()
    status.evaluate(
        "(select, value) => { select.value = value; select.dispatchEvent(new Event('change', { bubbles: true })); }",
        wanted,
    )
    page.wait_for_function("(before) => document.querySelector('.foot').innerText !== before", arg=before)


def scrolled(page: Page) -> None:
    """Scroll by a screen."""
    page.locator(".list .scroll").evaluate(
        "(list) => { const end = list.scrollHeight - list.clientHeight; "
        "list.scrollTo(0, list.scrollTop + 600 < end ? list.scrollTop + 600 : 0); }"
    )


def to_the_end(page: Page, count: int) -> None:
    """Scroll until all rows are loaded. The store removes some when it has too many."""
    loaded, still = 0, 0
    while loaded < count and still < 40:
        page.locator(".list .scroll").evaluate("(list) => list.scrollTo(0, list.scrollHeight)")
        page.wait_for_timeout(50)
        last = page.locator("tbody tr[aria-rowindex]").last.get_attribute("aria-rowindex")
        still = still + 1 if int(last or 0) == loaded + 1 else 0
        loaded = int(last or 0) - 1
    if loaded < 0.9 * count:
        raise SystemExit(f"the list ends after {loaded:,} of {count:,} rows")


def compare(folder: Path) -> list[str]:
    """Print the cost of filters and scrolls with few and with many rows. Returns what is too much."""
    wrong: list[str] = []
    with serving(folder / "few") as few, serving(folder / "many") as many, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        pages: list[tuple[Page, CDPSession]] = []
        for url, count in ((few, FEW), (many, MANY)):
            get(f"{url}/monitoring/requests")
            for _ in range(count // 100):
                get(f"{url}/load/100")
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            received: list[int] = []
            session: Any = page.context.new_cdp_session(page)
            session.send("Network.enable")
            session.on("Network.loadingFinished", lambda said, to=received: to.append(int(said["encodedDataLength"])))
            page.goto(f"{url}/monitoring/requests", wait_until="networkidle")
            print(f"first view with {count:,} requests: {sum(received):,} bytes on the wire")
            if sum(received) > FIRST_VIEW_BYTES:
                wrong.append("the first view is too large")
            # Live updates would disturb the measurement.
            page.keyboard.press("p")
            session.send("Performance.enable")
            pages.append((page, session))
        for what, action in (("filter", filtered), ("scroll", scrolled)):
            if what == "scroll":
                for (page, _), count in zip(pages, (FEW, MANY), strict=True):
                    # All requests, so that the page's own list has them too.
                    page.get_by_label("Status").select_option("")
                    to_the_end(page, count)
            found: list[list[float]] = [[], []]
            for _ in range(ROUNDS):
                for values, (page, session) in zip(found, pages, strict=True):
                    values.append(measured(page, session, action))
            low, high = map(statistics.median, found)
            print(f"{what}: {low:.1f} ms of work with {FEW}, {high:.1f} ms with {MANY:,}: {high / low:.2f}")
            if high / low > RATIO or high > FRAME_MS:
                wrong.append(f"a {what} with many requests takes too long")
        browser.close()
    return wrong


def soak(folder: Path) -> list[str]:
    """Print the memory of a process under an hour's load while the page is open. Returns what is too much."""
    with serving(folder / "soak") as url:

        def memory_after(count: int) -> int:
            for _ in range(count // 2_000):
                get(f"{url}/load/2000")
                get(f"{url}/monitoring")
            return int(get(f"{url}/memory"))

        warm = memory_after(WARM)
        end = memory_after(LOAD - WARM)
        stored = sum(path.stat().st_size for path in (folder / "soak" / "state").iterdir())
    print(f"memory: {warm / 2**20:.0f} MiB after {WARM:,} requests, {end / 2**20:.0f} MiB after {LOAD:,}")
    print(f"files: {stored / 2**20:.0f} MiB")
    return ["memory grows with the load"] if end - warm > GROWTH else []


def main() -> None:
    """Measure everything, and exit with an error if something is too much."""
    with tempfile.TemporaryDirectory() as folder:
        wrong = [*compare(Path(folder)), *soak(Path(folder))]
    if wrong:
        raise SystemExit("; ".join(wrong))


if __name__ == "__main__":
    main()
