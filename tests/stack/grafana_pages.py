"""Grafana's dashboards as a person sees them: each panel's text, and whether its query failed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or ""
#: Milliseconds that a dashboard has to draw its panels. A server that hangs takes most of a minute.
DRAWN_MS = 120_000
#: Pages that are open at the same time. Two cores draw no more without delays.
AT_ONCE = 4
#: The panels of a page, with their marks.
_PANELS = """() => [...document.querySelectorAll('section[data-testid^="data-testid Panel header"]')].map(panel => ({
    title: panel.dataset.testid.replace('data-testid Panel header ', ''),
    text: panel.querySelector('[data-testid="data-testid panel content"]')?.innerText ?? '',
    failed: !!panel.querySelector('[data-testid="data-testid Panel status error"]'),
    loading: !!panel.querySelector('[aria-label="Panel loading bar"], [data-testid="data-testid panel loading bar"]'),
    drawn: !!panel.querySelector('canvas, svg.react-flow, [role=grid], [role=row], table, [data-testid*="log"]'),
}))"""


@dataclass(frozen=True)
class Shown:
    """What a panel shows.

    Attributes:
        text: Its text, without its title.
        failed: Whether it has the mark of a failed query.
        drawn: Whether it has a graph, a table or lines.
    """

    text: str
    failed: bool
    drawn: bool


class Pages:
    """Opens dashboards.

    Args:
        base: Grafana's address.
        browser: A browser of playwright.
        pictures: Where pictures of the dashboards are written.
    """

    def __init__(self, base: str, browser: Any, pictures: Path) -> None:
        self._base = base
        self._browser = browser
        self._pictures = pictures

    def panels(
        self, uid: str, picture: str, *, width: int = 1280, theme: str = "light", **variables: str
    ) -> dict[str, Shown]:
        """The panels of a dashboard by title.

        Args:
            uid: Its uid.
            picture: The name of its picture.
            width: The width of the window in pixels.
            theme: ``light`` or ``dark``.
            **variables: The values of variables.
        """
        return self.all_panels([uid], picture, width=width, theme=theme, **variables)[uid]

    def all_panels(
        self, uids: Iterable[str], picture: str, *, width: int = 1280, theme: str = "light", **variables: str
    ) -> dict[str, dict[str, Shown]]:
        """The panels of dashboards, by uid and title. They are opened some at a time. Arguments as of `panels`."""
        waiting = list(uids)
        shown = {}
        while waiting:
            now, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
            shown.update(self._at_once(now, picture, width, theme, variables))
        return shown

    def _at_once(
        self, uids: Iterable[str], picture: str, width: int, theme: str, variables: Mapping[str, str]
    ) -> dict[str, dict[str, Shown]]:
        chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
        opened = {}
        try:
            for uid in uids:
                # Pages of one context would share their connections, and wait for each other.
                opened[uid] = self._browser.new_context(viewport={"width": width, "height": 3_000}).new_page()
                # Without refresh, which would ask a server that hangs again.
                opened[uid].goto(
                    f"{self._base}/d/{uid}?kiosk&theme={theme}&refresh=&from=now-15m&to=now{chosen}",
                    wait_until="commit",
                    timeout=DRAWN_MS,
                )
            return {uid: self._drawn(page, f"{picture}-{uid}-{width}-{theme}.png") for uid, page in opened.items()}
        finally:
            for page in opened.values():
                page.context.close()

    def _drawn(self, page: Any, picture: str) -> dict[str, Shown]:
        page.wait_for_function(
            f"""() => {{
                const panels = ({_PANELS})();
                // A query that failed may be tried again. The panel says already that it failed.
                return panels.length && panels.every(
                    panel => panel.failed || !panel.loading && (panel.text.trim() || panel.drawn));
            }}""",
            timeout=DRAWN_MS,
        )
        page.screenshot(path=self._pictures / picture, timeout=DRAWN_MS)
        return {
            panel["title"]: Shown(panel["text"].strip(), panel["failed"], panel["drawn"])
            for panel in page.evaluate(_PANELS)
        }


@contextmanager
def opened(base: str, pictures: Path) -> Iterator[Pages]:
    """A browser for Grafana's pages."""
    from playwright.sync_api import sync_playwright

    pictures.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield Pages(base, browser, pictures)
        finally:
            browser.close()
