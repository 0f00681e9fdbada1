"""Fixtures of the integration tests, for servers whose pages are opened, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.seen import APP, CHROMIUM, COMMAND, sync_api
from tests.integration.conftest import NO_EXPORT, Serve, Server, app_dir, serve

__all__ = ["app_dir", "serve"]


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
