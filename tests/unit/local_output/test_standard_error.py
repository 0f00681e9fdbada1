"""Lines for the console reach it where a library replaces `sys.stderr`."""

from __future__ import annotations

import json
import logging
import sys

import flask
import pytest
from celery.utils.log import LoggingProxy

import otelflask
from otelflask.testing import CapturedTelemetry


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_worker_of_celery_makes_no_log_lines_of_ours(
    telemetry: CapturedTelemetry,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    logger: logging.Logger,
    style: str,
) -> None:
    otelflask.init(flask.Flask("shop"), runtime_metrics=False, log_console=style, **telemetry.providers)
    monkeypatch.setattr(sys, "stderr", LoggingProxy(logging.getLogger("celery.redirected"), logging.WARNING))
    capfd.readouterr()
    logger.warning("3 lamps")
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "3 lamps" in line]
    if style == "json":
        assert json.loads(line)["message"] == "3 lamps"
    assert [record.body for record in telemetry.logs if "3 lamps" in str(record.body)] == ["3 lamps"]
