"""Diagnostics of otelflask itself have name, time and level where the app configures no logging."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

_LOG = "from otelflask._internal import guard; guard.log('x', 'queue of %s is full', 'spans')"


@pytest.mark.parametrize(
    ("before", "pattern"),
    [
        ("", r"^otelflask: \d\d:\d\d:\d\d \[\d+\] WARNING: queue of spans is full\n$"),
        ("import logging; logging.basicConfig(); ", r"^WARNING:otelflask:otelflask: queue of spans is full\n$"),
    ],
    ids=["no handler", "a handler"],
)
def test_a_line_says_who_when_and_how_bad(before: str, pattern: str) -> None:
    done = subprocess.run([sys.executable, "-c", before + _LOG], capture_output=True, text=True, check=True, timeout=60)
    assert re.match(pattern, done.stderr), done.stderr
