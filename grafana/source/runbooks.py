"""Runbooks: the sections of docs/runbooks.md to which the mails of alerts link."""

from __future__ import annotations

import re
from pathlib import Path

from grafana.source.dashboard import dashboard
from grafana.source.panels import text
from grafana.source.queries import Json

PAGE = Path(__file__).parents[2] / "docs" / "runbooks.md"


def sections() -> dict[str, str]:
    """The text of each section of the page, by heading."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.M)[1:]
    return {heading.strip(): body.strip() for heading, body in zip(parts[::2], parts[1::2], strict=True)}


def build() -> Json:
    """Build the dashboard: a panel an alert, with ids in the order of the alerts on the page."""
    panels = [text(heading, body) for heading, body in sections().items()]
    if len(panels) % 2:
        panels.append(text("More", "The same text is in `docs/runbooks.md`."))
    rows: list[tuple[int, list[tuple[int, Json]]] | str] = [
        (7, [(12, panels[n]), (12, panels[n + 1])]) for n in range(0, len(panels), 2)
    ]
    return dashboard(
        "otelflask-runbooks",
        "For each alert: what it means, where to look, and what to do.",
        rows,
        is_live=False,
        refresh="",
    )
