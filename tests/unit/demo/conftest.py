"""The demo shop on a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import flask
import pytest

from otelflask.demo.shop import create_app
from otelflask.testing import CapturedTelemetry


@pytest.fixture
def shop(tmp_path: Path, telemetry: CapturedTelemetry) -> Iterator[flask.Flask]:
    app = create_app(f"sqlite:///{tmp_path}/shop.db", runtime_metrics=False, **telemetry.providers)
    yield app
    sessions = app.extensions["shop"]
    sessions.remove()
    sessions().get_bind().dispose()
    sessions.remove()
