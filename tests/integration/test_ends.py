"""The end of a process: at once if there was never a receiver, else in time, and with a log line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otelflask.testing import FakeCollector, Reply
from tests.integration.conftest import Serve
from tests.servers import free_port

pytestmark = pytest.mark.slow

#: Longer than any test waits: a process that ends earlier has not waited.
FOR_EVER = {"OTELFLASK_SHUTDOWN_TIMEOUT": "300"}
LOST = re.compile(r"telemetry is not sent: .*")


def run(folder: Path, command: list[str], timeout: float = 60, **variables: str) -> str:
    """Run a command of Flask. Returns its stderr. Raises TimeoutExpired if it does not end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST", "FLASK"))}
    kept["PATH"] = os.path.dirname(sys.executable) + os.pathsep + kept["PATH"]
    done = subprocess.run(
        command, cwd=folder, env={**kept, **variables}, capture_output=True, text=True, timeout=timeout, check=True
    )
    assert "/hello/<name>" in done.stdout
    return done.stderr


ROUTES = ["flask", "--app", "wired", "routes"]
ZERO_CODE = ["opentelemetry-instrument", "flask", "--app", "plain", "routes"]


def endpoint(kind: str) -> str:
    """An address without a receiver."""
    return "http://nowhere.invalid:4318" if kind == "unknown" else f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("command", [ROUTES, ZERO_CODE], ids=["init", "zero code"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("kind", ["refuses", "unknown"])
def test_a_command_does_not_wait_for_who_was_never_there(
    app_dir: Path, command: list[str], protocol: str, kind: str
) -> None:
    where = endpoint(kind)
    said = run(app_dir, command, OTEL_EXPORTER_OTLP_ENDPOINT=where, OTEL_EXPORTER_OTLP_PROTOCOL=protocol, **FOR_EVER)
    (line,) = LOST.findall(said)
    assert where.removeprefix("http://") in line
    assert re.search(r"cannot be reached, and has accepted nothing so far \(metric data points: [1-9]", line)
    assert "waits" not in said


def test_a_server_does_not_wait_either_and_counts_what_it_leaves(serve: Serve, app_dir: Path) -> None:
    (app_dir / "counting.py").write_text(
        (app_dir / "wired.py").read_text()
        + """
from otelflask._internal.wiring import install as wiring

pipeline = wiring._telemetry.pipeline
shut_down = pipeline.shutdown

def shut_down_and_count(timeout):
    shut_down(timeout)
    print({queue.name: dict(queue.counts) for queue in pipeline.queues}, flush=True)

pipeline.shutdown = shut_down_and_count
"""
    )
    server = serve(
        ["flask", "--app", "counting", "run", "--port", "{port}"],
        None,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint("refuses"),
        OTEL_BSP_SCHEDULE_DELAY="60000",
        **FOR_EVER,
    )
    for name in ("ann", "bob"):
        assert server.get(f"/hello/{name}") == (200, f"hello {name}")
    server.stop(timeout=30)
    said = server.said()
    assert "spans: 2" in LOST.findall(said)[0]
    assert "'spans': {'dropped:ConnectionError': 2}" in said


def test_a_reload_does_not_wait(serve: Serve, app_dir: Path) -> None:
    server = serve(
        ["flask", "--app", "wired", "run", "--port", "{port}", "--debug"],
        None,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint("refuses"),
        **FOR_EVER,
    )
    before = server.get("/pid")[1]
    # The reloader compares modification times with those that it first saw.
    time.sleep(1.5)
    (app_dir / "wired.py").touch()
    end = time.monotonic() + 60
    while True:
        try:
            if server.get("/pid")[1] != before:
                break
        except OSError:
            pass
        assert time.monotonic() < end, server.said()
        time.sleep(0.1)
    assert len(LOST.findall(server.said())) == 1
    server.stop()


def test_who_took_something_before_is_waited_for(serve: Serve, fake_collector: FakeCollector) -> None:
    server = serve(["flask", "--app", "wired", "run", "--port", "{port}"], fake_collector, **FOR_EVER)
    server.get("/hello/first")
    fake_collector.wait_for(lambda: fake_collector.spans and fake_collector.logs)
    port = fake_collector.http_port
    fake_collector.stop()
    server.get("/hello/last")
    ending = threading.Thread(target=server.stop, args=(signal.SIGTERM, 60))
    ending.start()
    deadline = time.monotonic() + 60
    while "the process waits for" not in server.said() and time.monotonic() < deadline:
        time.sleep(0.1)
    back = FakeCollector().start(port)
    try:
        ending.join()
        assert [span.attributes["url.path"] for span in back.spans] == ["/hello/last"]
    finally:
        back.stop()
    assert f"http://127.0.0.1:{port}/v1/traces to accept spans" in server.said()
    assert not LOST.findall(server.said())


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_who_hangs_has_the_time_of_the_setting_and_the_process_says_for_what_it_waits(
    app_dir: Path, fake_collector: FakeCollector, protocol: str
) -> None:
    fake_collector.default = Reply(hang=True)
    said = run(app_dir, ROUTES, OTELFLASK_SHUTDOWN_TIMEOUT="2", **fake_collector.environment(protocol))
    # Metrics, and the line of the start.
    assert fake_collector.attempts == 2
    for what in ("metric data points", "log records"):
        assert re.search(
            rf"the process waits for .* to accept {what}.*, for at most 1\.\d s \(shutdown_timeout\)", said
        )
    lost = LOST.findall(said)[0]
    assert re.search(r"did not accept it in time \(.*metric data points: [1-9]", lost)
    assert "log records: 1" in lost


def test_what_is_said_at_the_end_has_the_form_of_other_lines(app_dir: Path) -> None:
    # Without the app's own configuration of `logging`.
    (app_dir / "wired.py").write_text(
        (app_dir / "wired.py").read_text().replace("logging.basicConfig(level=logging.INFO)", "")
    )
    said = run(app_dir, ROUTES, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint("refuses"), OTELFLASK_LOG_CONSOLE="json")
    (line,) = [line for line in said.splitlines() if "telemetry is not sent" in line]
    assert line.startswith('{"timestamp":')
    assert '"level":"WARN","logger":"otelflask"' in line


@pytest.mark.parametrize("command", [["wired:app"], ["--preload", "wired:app"]], ids=["", "preload"])
def test_a_tree_of_processes_waits_once_for_who_hangs(
    serve: Serve, fake_collector: FakeCollector, command: list[str]
) -> None:
    server = serve(
        ["gunicorn", "--bind", "127.0.0.1:{port}", *command],
        fake_collector,
        OTELFLASK_SHUTDOWN_TIMEOUT="3",
        OTEL_BSP_SCHEDULE_DELAY="60000",
        OTEL_BLRP_SCHEDULE_DELAY="60000",
    )
    assert server.get("/hello/ann") == (200, "hello ann")
    fake_collector.wait_for(lambda: fake_collector.metrics)
    fake_collector.default = Reply(hang=True)
    server.stop()
    assert len(re.findall(r"the process waits for .* to accept spans", server.said())) == 1
    assert server.said().count("the process waits for") == 1


def test_a_signal_at_the_end_ends_the_wait_and_what_is_left_is_counted(
    app_dir: Path, fake_collector: FakeCollector
) -> None:
    fake_collector.default = Reply(hang=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST", "FLASK"))}
    command = [sys.executable, "-c", "import wired; wired.app.test_client().get('/hello/ann')"]
    variables = {**kept, **fake_collector.environment(), **FOR_EVER}
    with subprocess.Popen(command, cwd=app_dir, env=variables, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        while "the process waits for" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGTERM)
        said += process.stderr.read()
        assert process.wait(60) == -signal.SIGTERM
    assert "spans: 1" in LOST.findall(said)[0]


#: A request is being answered while the process gets SIGTERM. Nobody handles it.
ANSWERS = """
import flask, otelflask
app = flask.Flask(__name__)
@app.route("/slow")
def slow():
    print("answers", flush=True)
    wait()
    return "done"
otelflask.init(app)
ask = lambda: app.test_client().get("/slow")
"""
WAITS = {
    "threads": "import threading, time\n"
    "wait = lambda: time.sleep(0.05)\n"
    "threading.Thread(target=ask).start()\n"
    "time.sleep(60)\n",
    "event loop": "import asyncio\n"
    "async def main():\n"
    "    global wait\n"
    "    loop = asyncio.get_running_loop()\n"
    "    wait = lambda: asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05), loop).result()\n"
    "    await asyncio.to_thread(ask)\n"
    "    await asyncio.sleep(60)\n"
    "asyncio.run(main())\n",
    "greenlets": "import gevent\nwait = lambda: gevent.sleep(0.05)\ngevent.spawn(ask).join()\ngevent.sleep(60)\n",
}


@contextmanager
def answering(
    folder: Path, collector: FakeCollector, kind: str, stderr: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that answers a request."""
    first = ""
    if kind == "greenlets":
        pytest.importorskip("gevent")
        first = "from gevent import monkey; monkey.patch_all()\n"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST", "FLASK"))}
    command = [sys.executable, "-c", first + ANSWERS + WAITS[kind]]
    variables = {**kept, **collector.environment(), **FOR_EVER, "OTELFLASK_RUNTIME_METRICS": "false"}
    with subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=stderr, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "answers\n"
        yield process


@pytest.mark.parametrize("kind", WAITS)
def test_sigterm_leaves_a_moment_to_requests_and_each_further_one_to_what_is_sent(
    app_dir: Path, fake_collector: FakeCollector, kind: str
) -> None:
    fake_collector.default = Reply(delay=0.5)
    with answering(app_dir, fake_collector, kind) as process:
        process.send_signal(signal.SIGTERM)
        while fake_collector.attempts < 3:
            time.sleep(0.01)
        # Parents of workers send more of them.
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    assert [span.attributes["url.path"] for span in fake_collector.spans] == ["/slow"]
    assert fake_collector.metrics


@pytest.mark.parametrize("kind", WAITS)
def test_what_a_second_sigterm_leaves_no_time_for_is_counted(
    app_dir: Path, fake_collector: FakeCollector, kind: str
) -> None:
    fake_collector.default = Reply(hang=True)
    with answering(app_dir, fake_collector, kind, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.send_signal(signal.SIGTERM)
        while fake_collector.attempts < 3:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait(60) == -signal.SIGTERM
    (line,) = LOST.findall(said)
    assert "spans: 1" in line
    assert "log records: 2" in line
    assert "metric data points: " in line


def test_a_signal_at_the_end_leaves_time_to_who_answers_soon(app_dir: Path, fake_collector: FakeCollector) -> None:
    fake_collector.default = Reply(delay=0.5)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST", "FLASK"))}
    command = [
        sys.executable,
        "-c",
        "import wired; wired.app.test_client().get('/hello/ann'); print('ends', flush=True)",
    ]
    variables = {**kept, **fake_collector.environment(), **FOR_EVER, "OTELFLASK_RUNTIME_METRICS": "false"}
    with subprocess.Popen(command, cwd=app_dir, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ends\n"
        # What is sent at the end has come, and is not answered yet.
        while fake_collector.attempts < 3:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert [span.attributes["url.path"] for span in fake_collector.spans] == ["/hello/ann"]
    assert fake_collector.metrics
