"""Real servers, started as users start them, and what a receiver gets."""

from __future__ import annotations

import json
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from otelflask.testing import FakeCollector, Reply

from .conftest import NO_EXPORT, Serve

pytestmark = pytest.mark.slow

GUNICORN = ["gunicorn", "--bind", "127.0.0.1:{port}", "--graceful-timeout", "3", "--log-level", "warning"]
FLASK = ["flask", "--app", "plain", "run", "--port", "{port}"]
ZERO_CODE = ["opentelemetry-instrument"]


def joined(collector: FakeCollector, path: str) -> bool:
    """Whether the span, the log line, the request log and the duration of a path arrived, with one trace id."""
    spans = [s for s in collector.spans if s.attributes.get("url.path") == path]
    if not spans or not collector.points("http.server.request.duration"):
        return False
    trace_id = spans[0].message.trace_id
    names = [r.name for r in collector.logs if r.message.trace_id == trace_id]
    return any(n.startswith("hello ") for n in names) and any(n.startswith(f"GET {path} 200") for n in names)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_one_call_sends_all_signals_over_both_protocols(
    serve: Serve, fake_collector: FakeCollector, protocol: str
) -> None:
    server = serve([*GUNICORN, "wired:app"], fake_collector, **fake_collector.environment(protocol))
    assert server.get("/hello/ann") == (200, "hello ann")
    fake_collector.wait_for(lambda: joined(fake_collector, "/hello/ann"))
    (span,) = fake_collector.spans
    assert span.resource["service.name"] == "plain"


@pytest.mark.parametrize(
    "command",
    [
        FLASK,
        [*FLASK, "--debug"],
        [*GUNICORN, "plain:app"],
        [*GUNICORN, "--preload", "plain:app"],
        [*GUNICORN, "--worker-class", "gthread", "--threads", "3", "plain:app"],
    ],
    ids=["flask", "reloader", "sync", "preload", "gthread"],
)
def test_zero_code_sends_all_signals(serve: Serve, fake_collector: FakeCollector, command: list[str]) -> None:
    server = serve([*ZERO_CODE, *command], fake_collector, OTEL_SERVICE_NAME="zero")
    assert server.get("/hello/ann") == (200, "hello ann")
    fake_collector.wait_for(lambda: joined(fake_collector, "/hello/ann"))
    server.stop()
    spans = [s for s in fake_collector.spans if s.attributes.get("url.path") == "/hello/ann"]
    assert len(spans) == 1
    assert spans[0].name == "GET /hello/<name>"
    assert spans[0].resource["service.name"] == "zero"


def test_gunicorns_master_stays_small_and_has_no_thread_of_ours(
    serve: Serve, fake_collector: FakeCollector, app_dir: Path
) -> None:
    (app_dir / "hooks.py").write_text("from otelflask.gunicorn import *")
    masters = []
    for before, options in (([], ""), (ZERO_CODE, "--config hooks.py")):
        server = serve([*before, *GUNICORN, "plain:app"], fake_collector, GUNICORN_CMD_ARGS=options)
        assert server.get("/hello/ann")[0] == 200
        masters.append(psutil.Process(server.process.pid))
    fake_collector.wait_for(lambda: joined(fake_collector, "/hello/ann"))
    bare, zero_code = masters
    # gunicorn starts a thread of its own a moment after its workers.
    fake_collector.wait_for(lambda: zero_code.num_threads() == bare.num_threads())
    assert zero_code.memory_info().rss - bare.memory_info().rss < 20_000_000


@pytest.mark.parametrize("preload", [False, True])
def test_workers_are_processes_of_their_own_and_their_counts_add_up(
    serve: Serve, fake_collector: FakeCollector, preload: bool
) -> None:
    options = ["--workers", "3", *(["--preload"] if preload else [])]
    server = serve([*GUNICORN, *options, "wired:app"], fake_collector)
    with ThreadPoolExecutor(8) as pool:
        pids = {pid for _, pid in pool.map(server.get, ["/pid"] * 60)}
    server.stop()
    spans = fake_collector.spans
    assert len(spans) == 60
    assert {str(s.resource["process.pid"]) for s in spans} == pids
    assert len({s.resource["service.instance.id"] for s in spans}) == len(pids)
    assert sum(point.count for _, _, point in fake_collector.points("http.server.request.duration")) == 60
    assert len([r for r in fake_collector.logs if r.name.startswith("GET /pid")]) == 60


@pytest.mark.parametrize("state", ["up", "down", "hanging"])
@pytest.mark.parametrize("command", [[*GUNICORN, "wired:app"], ["flask", "--app", "wired", "run", "--port", "{port}"]])
def test_sigterm_ends_in_time_and_loses_nothing_while_the_collector_is_up(
    serve: Serve, state: str, command: list[str]
) -> None:
    with FakeCollector() as collector:
        server = serve(command, collector, OTEL_BSP_SCHEDULE_DELAY="60000", OTEL_BLRP_SCHEDULE_DELAY="60000")
        if state == "down":
            collector._http.socket.close()
        elif state == "hanging":
            collector.default = Reply(hang=True)
        for _ in range(20):
            server.get("/hello/x")
        # A receiver that hangs does so for longer than this waits.
        server.stop(signal.SIGTERM, timeout=45)
        if state == "up":
            assert len(collector.spans) == 20
            assert len([r for r in collector.logs if r.name == "hello x"]) == 20


def test_recycled_workers_lose_nothing(serve: Serve, fake_collector: FakeCollector) -> None:
    server = serve([*GUNICORN, "--workers", "2", "--max-requests", "10", "wired:app"], fake_collector)
    for _ in range(50):
        assert server.get("/hello/x")[0] == 200
    server.stop()
    assert len(fake_collector.spans) == 50
    assert sum(p.count for _, _, p in fake_collector.points("http.server.request.duration")) == 50


def test_a_collector_that_was_away_gets_everything_later(serve: Serve) -> None:
    collector = FakeCollector()
    collector.script.extend([Reply(503, {"Retry-After": "1"})] * 3)
    with collector:
        server = serve([*GUNICORN, "wired:app"], collector)
        for _ in range(10):
            server.get("/hello/x")
        collector.wait_for(lambda: len(collector.spans) == 10, timeout=60)


def test_zero_code_writes_lines_to_the_console_once(serve: Serve, app_dir: Path) -> None:
    server = serve([*ZERO_CODE, *GUNICORN, "plain:app"], None, OTELFLASK_LOG_CONSOLE="json", **NO_EXPORT)
    assert server.get("/hello/you")[0] == 200
    server.stop()
    (output,) = app_dir.glob("output-*.txt")
    lines = [json.loads(line) for line in output.read_text().splitlines() if line.startswith("{")]
    by_message = {line["message"].split(" 200 ")[0]: line for line in lines if line.get("event") != "otelflask.start"}
    assert set(by_message) == {"hello you", "GET /hello/you"}
    # And one of the start.
    assert len(lines) == 3
    assert by_message["hello you"]["trace_id"] == by_message["GET /hello/you"]["trace_id"]


def test_init_adds_to_zero_code_what_it_is_given(serve: Serve, app_dir: Path, fake_collector: FakeCollector) -> None:
    (app_dir / "both.py").write_text(
        (app_dir / "plain.py").read_text()
        + """
import otelflask

otelflask.init(
    app,
    user=lambda: "ada",
    request_hook=lambda span, environ: span.set_attribute("hook.request", True),
    response_hook=lambda span, status, headers: headers.append(("X-Hook", status)),
)
"""
    )
    server = serve([*ZERO_CODE, *GUNICORN, "both:app"], fake_collector)
    with urllib.request.urlopen(f"{server.url}/hello/ann", timeout=60) as response:
        assert response.headers["X-Hook"] == "200 OK"
    fake_collector.wait_for(lambda: joined(fake_collector, "/hello/ann"))
    (span,) = fake_collector.spans
    assert (span.attributes["user.id"], span.attributes["hook.request"]) == ("ada", True)


def test_a_processor_and_an_attribute_that_raise_change_nothing(
    serve: Serve, app_dir: Path, fake_collector: FakeCollector
) -> None:
    (app_dir / "raising.py").write_text(
        """
import otelflask
from flask import Flask
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
from sqlalchemy import create_engine, text

app = Flask("raising")
otelflask.init(app)
engine = create_engine("sqlite:///orders.sqlite3")
with engine.begin() as connection:
    connection.execute(text("CREATE TABLE orders (id INTEGER)"))

class Raising(SpanProcessor):
    def on_start(self, span, parent_context=None):
        raise RuntimeError("no")

trace.get_tracer_provider().add_span_processor(Raising())

class Hostile:
    def __str__(self):
        raise RuntimeError("no text")
    __repr__ = __str__

@app.post("/orders")
def order():
    with trace.get_tracer("shop").start_as_current_span("ordering") as span:
        span.set_attribute("order", Hostile())
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO orders VALUES (7)"))
    return "ordered", 201

@app.get("/orders")
def orders():
    with engine.connect() as connection:
        return str(connection.execute(text("SELECT id FROM orders")).scalars().all())
"""
    )
    server = serve([*GUNICORN, "raising:app"], fake_collector)
    asked = urllib.request.Request(f"{server.url}/orders", method="POST")
    with urllib.request.urlopen(asked, timeout=60) as response:
        assert response.status == 201
    assert server.get("/orders") == (200, "[7]")
    names = {"POST /orders", "ordering", "INSERT orders", "COMMIT", "GET /orders"}
    fake_collector.wait_for(lambda: names <= {span.name for span in fake_collector.spans})


def test_processes_of_multiprocessing_lose_nothing(serve: Serve, fake_collector: FakeCollector, app_dir: Path) -> None:
    with (app_dir / "wired.py").open("a") as file:
        file.write(
            """
def work(name):
    logging.getLogger("work").info("worked in %s", name)

@app.get("/works/<how>")
def works(how):
    import multiprocessing
    process = multiprocessing.get_context(how).Process(target=work, args=(how,))
    process.start()
    process.join()
    return str(process.exitcode)
"""
        )
    late = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_BLRP_SCHEDULE_DELAY": "60000"}
    server = serve([*GUNICORN, "wired:app"], fake_collector, **late)
    for how in ("fork", "spawn"):
        assert server.get(f"/works/{how}") == (200, "0")
    server.stop()
    lines = [record for record in fake_collector.logs if record.name.startswith("worked in ")]
    assert sorted(record.name for record in lines) == ["worked in fork", "worked in spawn"]
    pids = {record.name: record.resource["process.pid"] for record in lines}
    assert len(set(pids.values())) == 2
    # Each task of a pool would be new series.
    assert pids["worked in fork"] not in {metric.resource["process.pid"] for metric in fake_collector.metrics}
