"""Settings that have no effect are named at start."""

from __future__ import annotations

import logging
from typing import Any

import flask
import pytest

import otelflask
from otelflask._internal import guard
from otelflask._internal.instrumentation import libraries
from otelflask.testing import CapturedTelemetry


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({"metrics_token": "t0ken"}, "metrics_path"),
        ({"health_token": "t0ken", "health_path": ""}, "health_path"),
        ({"profile_token": "t0ken", "profile_path": ""}, "profile_path"),
        ({"log_file_name": "shop.log"}, "log_dir"),
        ({"mail_server": "smtp.shop.example"}, "mail_to"),
    ],
    ids=str,
)
def test_a_setting_without_the_one_that_it_needs_is_named(
    telemetry: CapturedTelemetry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    needed: str,
) -> None:
    monkeypatch.setattr(guard, "_last_logged", {})
    with caplog.at_level(logging.WARNING, "otelflask"):
        otelflask.init(flask.Flask("shop"), runtime_metrics=False, **telemetry.providers, **options)
    name = next(iter(options))
    assert f"{name} (keyword argument) has no effect, because {needed} is empty" in caplog.text
    assert "t0ken" not in caplog.text


def test_names_of_other_packages_are_for_these_packages(
    telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "_last_logged", {})
    app = flask.Flask("shop")
    app.config["MAIL_SERVER"] = "smtp.shop.example"
    with caplog.at_level(logging.WARNING, "otelflask"):
        otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    assert "has no effect" not in caplog.text


def test_a_library_that_is_named_and_not_installed_is_said_and_all_means_those_that_are(
    telemetry: CapturedTelemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "_last_logged", {})
    monkeypatch.setattr(libraries, "is_installed", lambda name: name != "httpx")
    with caplog.at_level(logging.WARNING, "otelflask"):
        otelflask.init(flask.Flask("shop"), runtime_metrics=False, libraries="all", **telemetry.providers)
        assert "libraries" not in caplog.text
        app = flask.Flask("stock")
        otelflask.init(app, runtime_metrics=False, libraries="httpx,requests", **telemetry.providers)
    assert "libraries (keyword argument) names httpx, which needs this library and pip install 'otelflask[httpx]'" in (
        caplog.text
    )
    assert "names requests" not in caplog.text
