"""An app whose live page is opened in a real browser, Debian's Chromium, by Playwright."""

from __future__ import annotations

import shutil

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright has no wheel here")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
#: The marks of a module that opens it.
MARKS = [
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


VIEWS = ("Overview", "Requests", "Errors", "Logs", "Queries", "Profiles", "Runtime")


def row_with(page: sync_api.Page, text: str) -> sync_api.Locator:
    return page.locator("tbody tr", has_text=text)


def open_view(page: sync_api.Page, view: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=view).click()


def counted(page: sync_api.Page) -> int:
    """The rows of the list, visible or not."""
    return int(page.locator(".list table").get_attribute("aria-rowcount") or 0) - 1
