"""Settings: one declaration, four sources, clear errors."""

from __future__ import annotations

from pathlib import Path

import flask
import pytest

import otelflask
from otelflask._internal.settings import SettingError, Settings
from otelflask._internal.settings.loading import ignored, load
from tests.settings_page import page


def test_the_order_is_keyword_config_environment_default() -> None:
    environ = {"OTELFLASK_SHUTDOWN_TIMEOUT": "1"}
    config = {"OTELFLASK_SHUTDOWN_TIMEOUT": 2}
    assert load({"shutdown_timeout": 3}, config, environ).shutdown_timeout == 3
    assert load({}, config, environ).shutdown_timeout == 2
    assert load({}, {}, environ).shutdown_timeout == 1
    assert load({}, {}, {}) == Settings()


@pytest.mark.parametrize(
    ("keywords", "environ", "said"),
    [
        ({"console": "pretty"}, {}, "console (keyword argument) is 'pretty'; allowed are off, traces"),
        ({}, {"OTELFLASK_REQUEST_LOG": "maybe"}, "request_log (environment variable OTELFLASK_REQUEST_LOG) is 'maybe'"),
        ({"metric_sets": 1}, {}, "metric_sets (keyword argument) is 1; allowed is a whole number of at least 2"),
        ({"metric_sets": 2.5}, {}, "allowed is a whole number"),
        ({"metric_sets": True}, {}, "allowed is a whole number"),
        ({}, {"OTEL_PYTHON_FLASK_EXCLUDED_URLS": "("}, "'(', which is no regular expression"),
        ({"shutdown_timeout": float("nan")}, {}, "allowed is a number of at least 0 seconds"),
        ({"excluded_urls": "("}, {}, "'(', which is no regular expression"),
        ({"request_id_header": "X Request"}, {}, "letters, digits and hyphens"),
        ({"service_name": 5}, {}, "allowed is a text"),
        ({"log_console": True}, {}, "log_console (keyword argument) is True; allowed are off, auto, text, json"),
        ({"monitor": True}, {}, "allowed are auto, on, off"),
        ({"timestamp_format": "%Y"}, {}, "is '%Y'; allowed are iso, epoch"),
        ({"json_paths": "api"}, {}, "json_paths (keyword argument) is 'api'; allowed are prefixes of paths such as"),
        ({"no_such": 1}, {}, "'no_such' is no setting of otelflask; allowed are"),
    ],
)
def test_a_wrong_value_names_setting_value_and_what_is_allowed(
    keywords: dict[str, object], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingError) as caught:
        load(keywords, {}, environ)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "name", "value"),
    [
        ({"OTELFLASK_HEALTH_PATH": ""}, "health_path", ""),
        ({"OTELFLASK_REQUEST_ID_HEADER": ""}, "request_id_header", ""),
        ({"OTELFLASK_JSON_PATHS": ""}, "json_paths", ""),
        ({"OTELFLASK_LIBRARIES": ""}, "libraries", ""),
        ({"OTELFLASK_MONITOR": ""}, "monitor", "off"),
        ({"OTELFLASK_REPORTS": ""}, "reports", False),
        ({"OTEL_SERVICE_NAME": ""}, "service_name", ""),
        ({"OTEL_SDK_DISABLED": ""}, "disabled", False),
        ({"OTEL_BSP_SCHEDULE_DELAY": ""}, "span_schedule_delay", 5_000),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": ""}, "attribute_count", 128),
    ],
)
def test_an_empty_variable_of_ours_means_none_and_one_of_opentelemetrys_is_unset(
    environ: dict[str, str], name: str, value: object
) -> None:
    assert getattr(load({}, {}, environ), name) == value


@pytest.mark.parametrize(
    ("environ", "name", "value", "said"),
    [
        ({"OTEL_BSP_SCHEDULE_DELAY": "soon"}, "span_schedule_delay", 5_000, "is 'soon'; allowed is a whole number"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "-1"}, "span_schedule_delay", 5_000, "of at least 1 milliseconds; it is ignored"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "span_queue_size", 2_048, "it is ignored, and 2048 counts"),
        ({"OTEL_PYTHON_LOG_HANDLER_LEVEL": "loud"}, "log_level", "notset", "is 'loud'; allowed are"),
        ({"OTEL_SDK_DISABLED": "1"}, "disabled", False, "is '1', which is false; allowed is true"),
        ({"OTEL_SDK_DISABLED": "False"}, "disabled", False, None),
        ({"OTEL_SDK_DISABLED": "TRUE"}, "disabled", True, None),
    ],
)
def test_a_wrong_variable_of_opentelemetry_is_ignored_and_told(
    environ: dict[str, str], name: str, value: object, said: str | None
) -> None:
    assert getattr(load({}, {}, environ), name) == value
    told = list(ignored(environ))
    assert len(told) == (said is not None)
    assert said is None or said in told[0]


def test_a_wrong_variable_that_an_argument_replaces_is_no_error() -> None:
    environ = {"OTEL_PYTHON_FLASK_EXCLUDED_URLS": "("}
    assert load({"excluded_urls": "healthz"}, {}, environ).excluded_urls == "healthz"
    assert list(ignored(environ)) == []


@pytest.mark.parametrize("name", ["OTELFLASK_MAIL_PER_DAY", "OTELFLASK_SHUTDOWN_TIMEOUT", "OTELFLASK_ERROR_FORMAT"])
def test_an_empty_variable_that_cannot_mean_none_is_an_error(name: str) -> None:
    with pytest.raises(SettingError, match=f"{name}\\) is ''; allowed"):
        load({}, {}, {name: ""})


def test_a_path_that_is_empty_in_the_environment_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTELFLASK_HEALTH_PATH", "")
    app = flask.Flask("x")
    otelflask.init(app, runtime_metrics=False)
    assert app.test_client().get("/health").status_code == 404


def test_init_raises_for_a_misspelt_config_key() -> None:
    app = flask.Flask("x")
    app.config["OTELFLASK_CONSOEL"] = "traces"
    with pytest.raises(SettingError, match="OTELFLASK_CONSOEL"):
        otelflask.init(app)


def test_the_docs_page_is_made_from_the_declaration() -> None:
    written = Path(__file__).parents[3] / "docs" / "settings.md"
    assert page() == written.read_text(), "run: make docs"


def test_a_folder_may_be_a_path() -> None:
    assert load({"log_dir": Path("logs")}, {}, {}).log_dir == "logs"


@pytest.mark.parametrize("name", ["health_redis", "pyroscope_url", "grafana_url"])
def test_a_url_without_its_scheme_is_refused_without_its_credentials(name: str) -> None:
    with pytest.raises(SettingError, match=f"{name} .* is 'cache:6379'; allowed is a URL such as ") as raised:
        load({name: "shop:s3cr3t@cache:6379"}, {}, {})
    assert "s3cr3t" not in str(raised.value)
    assert getattr(load({name: "http://cache:6379"}, {}, {}), name) == "http://cache:6379"
