"""Monitoring by request hooks, with Loki, by hand and with otelflask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT
from tests.tutorials.running import FORMS, SENDING, Running, Sink, eventually, form_of, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loki() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.stop()


@pytest.fixture(scope="module", params=FORMS)
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, loki: Sink) -> Iterator[Running]:
    variables = {"FLASK_LOKI_URL": f"http://127.0.0.1:{loki.port}/loki/api/v1/push"}
    if request.param == "init":
        variables["OTELFLASK_ENVIRONMENT"] = "development"
    with running("hooks", form_of(request), tmp_path_factory.mktemp("hooks"), **variables) as found:
        yield found


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/products", 200),
        ("/api/products/2", 200),
        ("/api/products/featured", 200),
        ("/api/orders", 200),
        ("/simulate-error", 500),
        ("/api/products/999", 404),
        ("/api/products/abc", 404),
        ("/invalid/path", 404),
    ],
)
def test_each_endpoint_is_there(app: Running, path: str, status: int) -> None:
    assert app.ask(path).status == status


def test_some_purchases_fail(app: Running) -> None:
    statuses = [app.ask("/api/products/4/purchase", "POST").status for _ in range(60)]
    assert set(statuses) == {201, 500}


def test_each_request_is_one_line_with_request_response_and_duration(app: Running, loki: Sink) -> None:
    app.ask("/api/products/3", User_Agent="line/1.0")
    if app.form == "by_hand":

        def entries() -> list[dict]:  # type: ignore[type-arg]
            lines = [
                line
                for path, body in loki.received
                for stream in json.loads(body)["streams"]
                for _, line in stream["values"]
            ]
            return [json.loads(line) for line in lines if "line/1.0" in line]

        (entry,) = eventually(entries)
        assert (entry["request"]["path"], entry["response"]["status_code"]) == ("/api/products/3", 200)
        assert entry["performance"]["duration_ms"] > 0
        return
    (record,) = app.records("http.server.request", user_agent__original="line/1.0")
    assert (record.attributes["url.path"], record.attributes["http.response.status_code"]) == ("/api/products/3", 200)
    assert record.attributes["http.server.request.duration"] > 0


def test_an_error_is_a_line_of_its_own_level_with_its_traceback(app: Running) -> None:
    if app.form not in SENDING:
        pytest.skip("asked above, of Loki")
    app.ask("/simulate-error")
    (record, *_) = app.records("http.server.request", http__response__status_code=500, url__path="/simulate-error")
    assert record.message.severity_text == "ERROR"
    (report, *_) = app.records("exception", http__route="/simulate-error")
    assert "an error on purpose" in report.attributes["exception.stacktrace"]


def test_the_process_is_measured(app: Running) -> None:
    if app.form not in SENDING:
        pytest.skip("by hand, a line has them")
    names = {
        "process.cpu.utilization",
        "process.memory.usage",
        "otelflask.process.memory.utilization",
        "process.thread.count",
        "process.uptime",
    }
    assert eventually(lambda: names <= {metric.name for metric in app.collector.metrics})


def test_the_dashboard_asks_its_health(app: Running) -> None:
    answer = app.page("/monitoring/dashboard")
    if app.form == "init":
        assert (answer.status, answer.headers["Location"]) == (303, "/monitoring")
        answer = app.page("/monitoring")
    assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (200, "text/html")
    health = app.ask("/monitoring/health").json
    assert health["status"] == "healthy"
    for name in ("cpu_percent", "memory_percent", "threads"):
        assert health["system_metrics"][name] >= 0


def test_a_collector_that_is_away_changes_no_answer(tmp_path: Path) -> None:
    with running("hooks", "init", tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as app:
        assert [app.ask("/api/products").status for _ in range(50)] == [200] * 50


@pytest.mark.parametrize("scenario", ["", "HighLoadTester", "InvalidRequestTester"])
def test_the_shops_load_runs_by_the_three_commands(scenario: str, tmp_path: Path) -> None:
    from tests.servers import free_port, wait_for_port

    asked = {"": "/api/products", "HighLoadTester": "/api/products/featured", "InvalidRequestTester": "/invalid/path"}
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST"))}
    environment |= {f"OTEL_{name}_EXPORTER": "none" for name in ("TRACES", "METRICS", "LOGS")}
    environment["SHOP_DATABASE_URL"] = f"sqlite:///{tmp_path}/shop.sqlite3"
    shop = [sys.executable, "-m", "gunicorn", "--threads", "4", "--bind", f"127.0.0.1:{port}"]
    with (tmp_path / "output.txt").open("w") as output:
        server = subprocess.Popen(
            [*shop, "otelflask.demo.shop:create_app()"], env=environment, stdout=output, stderr=output
        )
    try:
        wait_for_port(port)
        command = [sys.executable, "-m", "locust", "-f", "otelflask/demo/locustfile.py"]
        command += [
            "--host",
            f"http://127.0.0.1:{port}",
            "--headless",
            "--only-summary",
            "-u",
            "5",
            "-r",
            "5",
            "-t",
            "4s",
        ]
        # Each user chooses at random: on a busy machine, of few requests in a run.
        for _ in range(10):
            done = subprocess.run(
                [*command, *([scenario] if scenario else [])],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
            if asked[scenario] in done.stdout + done.stderr:
                break
    finally:
        server.terminate()
        server.wait(30)
    assert f'All users spawned: {{"{scenario or "NormalUser"}": 5}}' in done.stderr
    assert asked[scenario] in done.stdout + done.stderr
    assert "Aggregated" in done.stdout + done.stderr
