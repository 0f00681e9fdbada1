"""Workers of one server are told apart, belong together, and lose nothing when all of them get a signal."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from otelflask.testing import FakeCollector
from tests.servers import apache_options

from .conftest import Serve, Server

pytestmark = pytest.mark.slow

#: Servers with two workers.
SERVERS = {
    "gunicorn": "gunicorn --bind 127.0.0.1:{port} --workers 2 wired:app",
    "gunicorn, gthread": "gunicorn --bind 127.0.0.1:{port} --workers 2 --threads 2 wired:app",
    "gunicorn, preload": "gunicorn --bind 127.0.0.1:{port} --workers 2 --preload wired:app",
    "uWSGI": "uwsgi --master --processes 2 --http-socket 127.0.0.1:{port} --module wired:app",
    "uWSGI, lazy": "uwsgi --master --lazy-apps --processes 2 --http-socket 127.0.0.1:{port} --module wired:app",
    "uWSGI, threads": "uwsgi --master --processes 2 --threads 2 --http-socket 127.0.0.1:{port} --module wired:app",
    "granian": "granian --interface wsgi --port {port} --workers 2 wired:app",
    "hypercorn": "hypercorn --bind 127.0.0.1:{port} --workers 2 wsgi:wired:app",
    "uvicorn": "uvicorn --port {port} --workers 2 wired_asgi:app",
    "mod_wsgi": "mod_wsgi-express start-server wired.py --callable-object app --port {port} --processes 2",
}


@pytest.fixture(params=SERVERS)
def command(request: pytest.FixtureRequest, app_dir: Path) -> list[str]:
    """The command that serves the module `wired`."""
    (app_dir / "wired_asgi.py").write_text("import a2wsgi\nimport wired\napp = a2wsgi.WSGIMiddleware(wired.app)\n")
    words = SERVERS[request.param].split()
    if words[0] == "uwsgi":
        words += ["--hook-master-start", "unix_signal:15 gracefully_kill_them_all"]
    return [*words, *(apache_options(app_dir) if request.param == "mod_wsgi" else [])]


def wait_until_idle(server: Server, command: list[str], requests: int) -> None:
    """Wait until a signal ends the workers as their server would have it."""
    marks = {
        # A worker that gets it before never ends.
        "granian": ("Started worker-", 2),
        # A busy worker ends without `atexit`. uWSGI logs a request at its end.
        "uwsgi": (" GET /pid => ", requests),
    }
    mark, count = marks.get(command[0], ("", 0))
    end = time.monotonic() + 60
    while server.said().count(mark) < count:
        assert time.monotonic() < end, server.said()
        time.sleep(0.05)


def test_workers_have_ids_of_their_own_whatever_the_app_seeds_and_sets(
    serve: Serve, fake_collector: FakeCollector, app_dir: Path, command: list[str]
) -> None:
    with (app_dir / "wired.py").open("a") as file:
        file.write("\nimport random\nrandom.seed(1)\n\n@app.before_request\ndef seed():\n    random.seed(1)\n")
    server = serve(command, fake_collector, OTEL_RESOURCE_ATTRIBUTES="service.instance.id=shop-1")
    pids = server.pids(2)
    fake_collector.wait_for(lambda: len(fake_collector.spans) == len(pids))
    found = {(str(span.resource["process.pid"]), span.resource["service.instance.id"]) for span in fake_collector.spans}
    assert found == {(pid, f"shop-1:{pid}") for pid in pids}
    assert len({span.message.trace_id for span in fake_collector.spans}) == len(pids)
    wait_until_idle(server, command, len(pids))
    server.stop()


def test_the_metrics_page_has_the_requests_of_all_workers(
    serve: Serve, fake_collector: FakeCollector, command: list[str]
) -> None:
    server = serve(command, fake_collector, OTELFLASK_METRICS_PATH="/metrics")
    pids = server.pids(2)

    def total() -> float:
        lines = server.get("/metrics")[1].splitlines()
        counts = [line for line in lines if line.startswith("http_server_request_duration_seconds_count{")]
        return sum(float(line.split()[-1]) for line in counts if 'http_route="/pid"' in line)

    # The other worker writes its own every 3 s.
    fake_collector.wait_for(lambda: total() == len(pids))
    wait_until_idle(server, command, len(pids))
    server.stop()


#: Ctrl+C, and systemd's signal. Each process of granian waits for ever at times, also without otelflask. Of uWSGI's
#: workers, systemd's ends some at once: each has it from the master too.
SIGNALS = [
    pytest.param(server, number, id=f"{server}-{number.name}")
    for server in SERVERS
    for number in (signal.SIGINT, signal.SIGTERM)
    if server != "granian" and not (server.startswith("uWSGI") and number == signal.SIGTERM)
]


@pytest.mark.parametrize(("command", "number"), SIGNALS, indirect=["command"])
def test_a_signal_to_all_processes_of_a_server_loses_nothing(
    serve: Serve, fake_collector: FakeCollector, command: list[str], number: signal.Signals
) -> None:
    server = serve(command, fake_collector, OTEL_BSP_SCHEDULE_DELAY="60000", OTEL_BLRP_SCHEDULE_DELAY="60000")
    pids = server.pids(2)
    wait_until_idle(server, command, len(pids))
    os.killpg(server.process.pid, number)
    server.process.wait(60)
    spans = [span for span in fake_collector.spans if span.attributes.get("url.path") == "/pid"]
    assert sorted(str(span.resource["process.pid"]) for span in spans) == sorted(pids)
    assert len([record for record in fake_collector.logs if record.name.startswith("GET /pid")]) == len(pids)
    assert sum(point.count for _, _, point in fake_collector.points("http.server.request.duration")) == len(pids)
    assert not [record for record in fake_collector.logs if "KeyboardInterrupt" in str(record.attributes)]
