"""Processes that only watch over others are known by their command."""

from __future__ import annotations

import sys

import pytest

from otelflask._internal.lifecycle import parents


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python /usr/bin/gunicorn -w 4 shop:app", True),
        ("python -m gunicorn shop:app", True),
        ("python -u -m gunicorn shop:app", True),
        ("python /usr/bin/flask run", False),
        ("python shop.py", False),
        ("python", False),
    ],
)
def test_gunicorn_is_known_by_its_command(monkeypatch: pytest.MonkeyPatch, command: str, expected: bool) -> None:
    monkeypatch.setattr(sys, "orig_argv", command.split())
    assert parents.runs_gunicorn() == expected
