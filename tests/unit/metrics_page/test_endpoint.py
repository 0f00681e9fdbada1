"""The app's own page of metrics."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import flask
import pytest
from opentelemetry.metrics import Observation
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import otelflask
from otelflask._internal.settings import SettingError
from otelflask.testing import CapturedTelemetry

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


@pytest.fixture
def make(telemetry: CapturedTelemetry, tmp_path: Path) -> Any:
    def made(**settings: Any) -> flask.Flask:
        app = flask.Flask("shop")
        app.add_url_rule("/items/<int:item>", "item", lambda item: f"item {item}")
        options = {"metrics_path": "/metrics", "state_dir": str(tmp_path / "state"), "runtime_metrics": False}
        otelflask.init(app, **options, **telemetry.providers, **settings)
        return app

    return made


def _samples(text: str, parse: Any = parse_text) -> dict[tuple[str, str], Any]:
    """Samples by name and route, or by another label that identifies a series."""
    return {
        (sample.name, sample.labels.get("http_route", sample.labels.get("le", ""))): sample
        for family in parse(text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def test_it_shows_what_the_meter_provider_has(make: Any) -> None:
    client = make().test_client()
    for item in range(3):
        client.get(f"/items/{item}")
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert _samples(answer.text)["http_server_request_duration_seconds_count", "/items/<int:item>"].value == 3


def test_openmetrics_has_exemplars_that_lead_to_the_trace(make: Any, telemetry: CapturedTelemetry) -> None:
    client = make().test_client()
    client.get("/items/1")
    # They are still there after the workers have shared their metrics.
    client.get("/metrics")
    trace_id = f"{telemetry.span('GET /items/<int:item>').context.trace_id:032x}"
    answer = client.get("/metrics", headers=OPENMETRICS)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    found = [
        sample.exemplar.labels["trace_id"]
        for family in parse_openmetrics(answer.text)
        for sample in family.samples
        if sample.name == "http_server_request_duration_seconds_bucket" and sample.exemplar is not None
    ]
    assert found == [trace_id]


def test_a_counter_has_its_exemplar_too(make: Any, telemetry: CapturedTelemetry) -> None:
    app = make()
    app.add_url_rule("/order", "order", lambda: (otelflask.event("order.placed"), "ok")[1])
    client = app.test_client()
    client.get("/order")
    families = parse_openmetrics(client.get("/metrics", headers=OPENMETRICS).text)
    (sample,) = [sample for family in families for sample in family.samples if sample.name == "otelflask_events_total"]
    assert sample.value == 1
    assert sample.exemplar.labels["trace_id"] == f"{telemetry.span('GET /order').context.trace_id:032x}"


def test_names_are_those_that_prometheus_makes_of_otlp(make: Any, telemetry: CapturedTelemetry) -> None:
    client = make().test_client()
    meter = telemetry.meter_provider.get_meter("app")
    meter.create_observable_gauge("load", callbacks=[lambda options: [Observation(0.5)]], unit="1")
    meter.create_counter("bytes.io", unit="By").add(7)
    meter.create_counter("lamp.sales", unit="{lamp}").add(3)
    meter.create_up_down_counter("lamp.stock", unit="{lamp}").add(5)
    meter.create_histogram("lamp.weight", unit="g").record(2.0)
    names = {sample.name for family in parse_text(client.get("/metrics").text) for sample in family.samples}
    assert {"load_ratio", "bytes_io_total", "lamp_sales_total", "lamp_stock", "lamp_weight_grams_count"} <= names
    assert "target_info" in names


def test_two_versions_of_one_scope_are_added_up(make: Any, telemetry: CapturedTelemetry) -> None:
    client = make().test_client()
    for version, count in (("1", 5), ("2", 7)):
        telemetry.meter_provider.get_meter("app", version).create_counter("lamps").add(count, {"version": version})
    lamps = [s.value for f in parse_text(client.get("/metrics").text) for s in f.samples if s.name == "lamps_total"]
    assert sorted(lamps) == [5, 7]


def test_the_page_itself_leaves_no_telemetry(make: Any, telemetry: CapturedTelemetry) -> None:
    client = make().test_client()
    assert client.get("/metrics").status_code == 200
    assert client.head("/metrics").data == b""
    assert (telemetry.spans, telemetry.logs) == ([], [])


def test_it_is_off_by_default(telemetry: CapturedTelemetry) -> None:
    app = flask.Flask("shop")
    otelflask.init(app, runtime_metrics=False, **telemetry.providers)
    assert app.test_client().get("/metrics").status_code == 404


def test_the_apps_own_path_counts(make: Any) -> None:
    app = make()
    app.add_url_rule("/metrics", "own", lambda: "the app's own")
    assert app.test_client().get("/metrics").text == "the app's own"


@pytest.mark.parametrize(
    ("settings", "environ", "status"),
    [
        ({}, {}, 200),
        ({}, {"REMOTE_ADDR": "::1", "HTTP_HOST": "[::1]:8000"}, 200),
        ({}, {"REMOTE_ADDR": "10.0.0.7"}, 404),
        ({}, {"REMOTE_ADDR": ""}, 404),
        ({}, {"HTTP_HOST": "shop.example"}, 404),
        ({}, {"HTTP_X_FORWARDED_FOR": "10.0.0.7"}, 404),
        ({"environment": "development"}, {"REMOTE_ADDR": "10.0.0.7"}, 200),
        ({"metrics_token": "t0ken"}, {}, 404),
        ({"metrics_token": "t0ken"}, {"HTTP_AUTHORIZATION": "Bearer wrong"}, 404),
        ({"metrics_token": "t0ken"}, {"HTTP_AUTHORIZATION": "Bearer t0ken", "REMOTE_ADDR": "10.0.0.7"}, 200),
        ({"metrics_token": "t0ken", "environment": "development"}, {}, 404),
    ],
    ids=str,
)
def test_who_may_see_it(make: Any, settings: dict[str, str], environ: dict[str, str], status: int) -> None:
    client = make(**settings).test_client()
    answer = client.get("/metrics", environ_overrides={"REMOTE_ADDR": "127.0.0.1", **environ})
    assert answer.status_code == status


def test_secrets_in_attributes_are_masked(make: Any, telemetry: CapturedTelemetry) -> None:
    client = make().test_client()
    telemetry.meter_provider.get_meter("app").create_counter("logins").add(1, {"api_token": "s3cr3t"})
    assert "s3cr3t" not in client.get("/metrics").text


def test_a_state_folder_that_cannot_be_written_leaves_this_workers_own(make: Any, tmp_path: Path) -> None:
    app = make()
    (tmp_path / "state").rmdir()
    (tmp_path / "state").write_text("a file, not a folder")
    client = app.test_client()
    client.get("/items/1")
    assert _samples(client.get("/metrics").text)["http_server_request_duration_seconds_count", "/items/<int:item>"]


def test_another_meter_provider_is_an_error_that_says_so(telemetry: CapturedTelemetry) -> None:
    from opentelemetry.metrics import NoOpMeterProvider

    with pytest.raises(SettingError, match="needs a meter provider of OpenTelemetry's SDK"):
        otelflask.init(
            flask.Flask("shop"),
            metrics_path="/metrics",
            **{**telemetry.providers, "meter_provider": NoOpMeterProvider()},
        )


def test_a_scrape_after_the_folder_was_removed_is_a_gap_and_the_next_is_whole(make: Any, tmp_path: Path) -> None:
    client = make().test_client()
    client.get("/items/1")
    assert client.get("/metrics").status_code == 200
    for folder in (tmp_path / "state").iterdir():
        shutil.rmtree(folder)
    assert client.get("/metrics").status_code == 503
    answer = client.get("/metrics")
    assert _samples(answer.text)["http_server_request_duration_seconds_count", "/items/<int:item>"].value == 1


def test_a_folder_that_others_can_write_meanwhile_is_a_gap(make: Any, tmp_path: Path) -> None:
    client = make().test_client()
    assert client.get("/metrics").status_code == 200
    (tmp_path / "state").chmod(0o777)
    assert client.get("/metrics").status_code == 503
    # Its worker goes on after the test.
    (tmp_path / "state").chmod(0o700)
