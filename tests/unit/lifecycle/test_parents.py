"""Processes that answer no request are known by their command."""

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
        ("python /usr/bin/granian --interface wsgi shop:app", True),
        ("python -m pytest tests", True),
        ("python -c multiprocessing.resource_tracker", True),
        ("python /usr/bin/flask run", False),
        ("python shop.py", False),
        ("python", False),
    ],
)
def test_programs_that_import_apps_later_are_known_by_their_command(
    monkeypatch: pytest.MonkeyPatch, command: str, expected: bool
) -> None:
    monkeypatch.setattr(sys, "orig_argv", command.split())
    assert parents.imports_apps_later() == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python /usr/bin/flask run --debug", True),
        ("python -m flask --app shop run --debug", True),
        ("python -m flask --app shop run --debug --no-reload", False),
        ("python -m flask --app shop run", False),
        ("python -m flask --app shop shell --debug", False),
        ("python shop.py run --debug", False),
        ("coverage run -m flask --app shop run --debug", True),
        ("coverage run -m flask --app shop shell --debug", False),
    ],
)
def test_the_parent_of_flasks_reloader_is_known_by_its_command(
    monkeypatch: pytest.MonkeyPatch, command: str, expected: bool
) -> None:
    for name in ("WERKZEUG_RUN_MAIN", "FLASK_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "orig_argv", command.split())
    assert parents.is_reloader_parent() == expected
