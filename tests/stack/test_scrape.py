"""The names of metrics that Prometheus scrapes from the app equal those through the collector."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Serve, Server
from tests.servers import free_port, wait_for_port
from tests.stack import driver
from tests.stack.backends import Backends, eventually
from tests.stack.compose import Stack

pytestmark = [pytest.mark.slow, pytest.mark.stack]

APP = """
from flask import Flask
from sqlalchemy import create_engine, text
import otelflask
from otelflask._internal.breaker.breaker import CircuitBreaker

app = Flask("scraped")
otelflask.init(app, metrics_path="/metrics")
engine = create_engine("sqlite:///scraped.sqlite3")
breaker = CircuitBreaker("other")

@app.get("/x/<user>")
def x(user):
    otelflask.set_user(user)
    otelflask.event("lamp.sold")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return breaker.call(lambda: "ok")
"""
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: scraped
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
#: Metrics of a scrape, and labels that name the source of a series.
OF_SCRAPES = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling"}
OF_SCRAPES |= {"scrape_series_added"}
OF_ORIGIN = {"instance", "job", "service_name", "service_version", "deployment_environment_name", "service_namespace"}


@pytest.fixture
def app(stack: Stack, serve: Serve, app_dir: Path) -> Server:
    """An app with several workers that sends to the stack's collector and can be scraped."""
    (app_dir / "scraped.py").write_text(APP)
    command = ["gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "--log-level", "critical", "scraped:app"]
    server = serve(
        command,
        None,
        OTEL_EXPORTER_OTLP_ENDPOINT=stack.url["otlp_http"],
        OTEL_SERVICE_NAME=driver.run_name("scraped"),
        OTEL_RESOURCE_ATTRIBUTES="",
    )
    for number in range(20):
        assert server.get(f"/x/user-{number}")[0] == 200
    # A check that has run is a metric.
    assert server.get("/health")[0] == 200
    return server


@pytest.fixture
def scraping(app: Server, stack: Stack, tmp_path: Path) -> Iterator[Backends]:
    """Another Prometheus, of the bundle's version, that scrapes the app."""
    config = tmp_path / "prometheus.yaml"
    config.write_text(CONFIG.format(port=app.url.rpartition(":")[2]))
    tmp_path.chmod(0o755)
    port = free_port()
    image = stack.config()["services"]["prometheus"]["image"]
    command = ["docker", "run", "--detach", "--rm", "--network", "host", "--volume", f"{config}:/etc/scrape.yaml:ro"]
    command += [image, "--config.file=/etc/scrape.yaml", f"--web.listen-address=127.0.0.1:{port}"]
    command += ["--storage.tsdb.path=/tmp/scraped", "--enable-feature=exemplar-storage"]
    container = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    try:
        wait_for_port(port)
        found = Backends(f"http://127.0.0.1:{port}", "", "")
        assert eventually(lambda: _has_scraped(found), seconds=30)
        yield found
    finally:
        subprocess.run(["docker", "stop", "--time", "2", container], capture_output=True)


def _has_scraped(backends: Backends) -> bool:
    try:
        return bool(backends.promql('up{job="scraped"} == 1'))
    except RuntimeError:
        # It listens, but is not ready.
        return False


def _names(backends: Backends, selector: str) -> set[str]:
    # Recording rules have a colon in their names.
    return {name for name in backends.label_values(selector, "__name__") if ":" not in name} - OF_SCRAPES


def _labels(backends: Backends, selector: str) -> dict[str, set[str]]:
    """Label names by metric."""
    found: dict[str, set[str]] = {}
    for series in backends.promql(selector):
        labels = dict(series["metric"])
        found.setdefault(labels.pop("__name__"), set()).update(set(labels) - OF_ORIGIN)
    return found


def _differing_labels(scraping: Backends, sent: Backends, service: str) -> dict[str, tuple[set[str], set[str]]]:
    """The label names of each metric that has others where it is scraped than where it is sent."""
    scraped = _labels(scraping, '{job="scraped"}')
    compared = {name: labels for name, labels in scraped.items() if name != "target_info" and name not in OF_SCRAPES}
    found = {name: _labels(sent, f'{name}{{service_name="{service}"}}').get(name, set()) for name in compared}
    return {name: (labels, found[name]) for name, labels in compared.items() if labels != found[name]}


def test_names_and_labels_are_the_same_either_way(scraping: Backends, stack: Stack) -> None:
    scraped = eventually(lambda: _names(scraping, '{job="scraped"}'), lambda names: len(names) > 20)
    (service,) = {item["metric"]["service_name"] for item in scraping.promql("target_info")}
    selector = f'{{service_name="{service}"}}'
    sent = eventually(lambda: _names(stack.backends, selector), lambda names: names >= scraped)
    assert sent == scraped
    # A label can be new on one way before the other, such as the error of an export.
    differing = eventually(lambda: _differing_labels(scraping, stack.backends, service), lambda found: not found)
    assert not differing


def test_exemplars_are_stored(scraping: Backends) -> None:
    found = eventually(lambda: scraping.exemplars("http_server_request_duration_seconds_bucket"))
    assert len(found[0]["labels"]["trace_id"]) == 32
