"""The options of `init`: their types, errors for wrong ones, and no undeclared ones."""

from __future__ import annotations

from dataclasses import fields

import flask
import pytest

import otelflask
from otelflask._internal.settings import SettingError, Settings
from otelflask._internal.wiring.options import Hooks, InitOptions
from otelflask.testing import CapturedTelemetry


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"helth_path": "/up"}, "'helth_path' is no setting of otelflask; did you mean health_path?"),
        ({"tracer_providers": None}, "did you mean tracer_provider?"),
        ({"error_render": print}, "did you mean error_renderer?"),
        ({"xyzzy": 1}, "'xyzzy' is no setting of otelflask; allowed are"),
    ],
)
def test_an_option_that_does_not_exist_is_an_error_that_names_the_nearest(
    options: dict[str, object], said: str
) -> None:
    with pytest.raises(SettingError) as caught:
        otelflask.init(flask.Flask("shop"), **options)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_a_misspelt_key_of_the_config_names_the_nearest() -> None:
    app = flask.Flask("shop")
    app.config["OTELFLASK_LOG_DIRECTORY"] = "/tmp"
    with pytest.raises(SettingError, match=r"did you mean OTELFLASK_LOG_DIR\?"):
        otelflask.init(app)


def test_the_typed_options_are_the_settings_and_the_hooks() -> None:
    settings = {item.name: item for item in fields(Settings)}
    typed = {name: str(kind) for name, kind in InitOptions.__annotations__.items()}
    hooks = set(Hooks.__annotations__)
    assert set(typed) - hooks == set(settings)
    for name, item in settings.items():
        choices = item.metadata["choices"]
        said = typed[name]
        if choices:
            assert [f"'{choice}'" in said or f'"{choice}"' in said for choice in choices] == [True] * len(choices), name
        else:
            assert str(item.type) in said or "Texts" in said, name


def test_a_wrong_option_is_an_error_for_a_type_checker_too() -> None:
    # mypy fails where one of these is not needed.
    with pytest.raises(SettingError, match="did you mean health_path"):
        otelflask.init(flask.Flask("shop"), helth_path="/up")  # type: ignore[call-arg]
    with pytest.raises(SettingError, match="allowed are off, traces"):
        otelflask.init(flask.Flask("shop"), console="pretty")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="did you mean"):
        otelflask.OtelFlask(flask.Flask("shop"), request_hooks=print)  # type: ignore[call-arg]


def test_an_option_that_is_none_is_as_if_it_were_not_given(
    telemetry: CapturedTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, rollback_sessions=None, log_dir=None, runtime_metrics=False, **telemetry.providers)
    otelflask.init(app, service_name=None, user=None)
    assert "ignores" not in caplog.text


@pytest.mark.parametrize(
    "name", ["request_hook", "response_hook", "error_renderer", "error_fingerprint", "user", "may_monitor"]
)
def test_a_hook_that_is_no_function_is_an_error(telemetry: CapturedTelemetry, name: str) -> None:
    with pytest.raises(SettingError, match=f"{name} is 'bob'; allowed is a function"):
        otelflask.init(flask.Flask("shop"), **{name: "bob"}, **telemetry.providers)  # type: ignore[arg-type]


def test_the_same_options_given_again_are_not_said_to_be_ignored(
    telemetry: CapturedTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    app = flask.Flask("shop")
    extension = otelflask.OtelFlask(app, health_path="/up", runtime_metrics=False, **telemetry.providers)
    extension.init_app(app)
    otelflask.init(app, health_path="/up")
    assert "ignores" not in caplog.text
    otelflask.init(app, health_path="/down")
    assert "ignores health_path" in caplog.text
