from __future__ import annotations

import logging

import flask
import pytest

import otelflask
from otelflask.testing import CapturedTelemetry
from tests.unit.instrumentation.threads.ways import log


@pytest.fixture
def app(telemetry: CapturedTelemetry) -> flask.Flask:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, log_level="INFO", **telemetry.providers)
    log.setLevel(logging.INFO)
    return app
