"""Views that fail, and the reports of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from otelflask.testing import CapturedTelemetry
from tests.unit.conftest import Make


def reports(telemetry: CapturedTelemetry) -> list[Any]:
    return [record for record in telemetry.logs if record.event_name in ("exception", "otelflask.message")]


@pytest.fixture
def run(make: Make, telemetry: CapturedTelemetry) -> Callable[..., list[Any]]:
    """Run a view once or more often, and return the reports."""

    def ran(view: Callable[[], Any], times: int = 1, **options: Any) -> list[Any]:
        app = make(lambda: None, **options)
        app.view_functions["x"] = view
        for _ in range(times):
            app.test_client().get("/x")
        return reports(telemetry)

    return ran
