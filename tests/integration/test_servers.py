"""What servers do that gunicorn does not: forks in C, ends without `atexit`, watching parents."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from otelflask.testing import FakeCollector, Reply
from tests.servers import OLD_UWSGI_NEEDS, apache_options, old_uwsgi

from .conftest import Serve

pytestmark = pytest.mark.slow

UWSGI = ["uwsgi", "--http-socket", "127.0.0.1:{port}", "--module", "wired:app", "--master", "--need-app"]
#: At SIGTERM, workers finish what they do.
GRACEFUL = ["--hook-master-start", "unix_signal:15 gracefully_kill_them_all"]
THREADS = "--enable-threads"
ZERO_CODE = ["opentelemetry-instrument"]
#: Nothing is sent before the end.
LATE = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_BLRP_SCHEDULE_DELAY": "60000", "OTEL_METRIC_EXPORT_INTERVAL": "60000"}
END = signal.SIGTERM


def check_all_arrived(collector: FakeCollector, pids: list[str]) -> None:
    """All signals of requests of ``/pid`` came, from the processes that answered."""
    spans = [span for span in collector.spans if span.attributes.get("url.path") == "/pid"]
    assert sorted(str(span.resource["process.pid"]) for span in spans) == sorted(pids)
    assert len([record for record in collector.logs if record.name.startswith("GET /pid")]) == len(pids)
    assert sum(point.count for _, _, point in collector.points("http.server.request.duration")) == len(pids)
    assert len({span.resource["service.instance.id"] for span in spans}) == len(set(pids))
    assert len({span.message.trace_id for span in spans}) == len(pids)


@pytest.mark.parametrize(
    "options",
    [[THREADS], [THREADS, "--py-call-osafterfork"], [THREADS, "--lazy-apps"], ["--threads", "2"], []],
    ids=["fork in C", "fork with hooks", "lazy", "threads", "no option"],
)
@pytest.mark.parametrize("own_hook", [False, True], ids=["", "own hook"])
def test_workers_of_uwsgi_lose_nothing(
    serve: Serve, fake_collector: FakeCollector, app_dir: Path, options: list[str], own_hook: bool
) -> None:
    if own_hook:
        with (app_dir / "wired.py").open("a") as file:
            file.write("\nimport uwsgi\nuwsgi.post_fork_hook = lambda: print('hook of the app', flush=True)\n")
    server = serve([*UWSGI, "--processes", "2", *GRACEFUL, *options], fake_collector, **LATE)
    pids = server.pids(2)
    is_lazy = "--lazy-apps" in options
    server.stop(END)
    check_all_arrived(fake_collector, pids)
    assert ("hook of the app" in server.said()) == (own_hook and not is_lazy)
    # sentry-sdk would advise other options.
    assert "Warning" not in server.said()


@pytest.mark.skipif(bool(OLD_UWSGI_NEEDS), reason=f"needs {OLD_UWSGI_NEEDS}")
def test_an_uwsgi_without_threads_is_off_and_says_so(serve: Serve, fake_collector: FakeCollector) -> None:
    server = serve(old_uwsgi([*UWSGI, *GRACEFUL]), fake_collector, **LATE)
    assert server.get("/hello/ann") == (200, "hello ann")
    server.stop(END)
    said = server.said().count("ERROR:otelflask:otelflask: telemetry is off: this uWSGI runs no threads of Python")
    assert (said, fake_collector.requests) == (1, [])


@pytest.mark.parametrize("options", [[], ["--py-call-osafterfork"]], ids=["fork in C", "fork with hooks"])
def test_the_master_of_uwsgi_has_no_threads_and_its_first_worker_sends_what_it_recorded(
    serve: Serve, fake_collector: FakeCollector, app_dir: Path, options: list[str]
) -> None:
    with (app_dir / "wired.py").open("a") as file:
        file.write("\napp.logger.warning('imported')\n")
    server = serve([*UWSGI, "--processes", "2", *GRACEFUL, *options], fake_collector)
    master = psutil.Process(server.process.pid)

    def pids() -> set[object]:
        return {metric.resource["process.pid"] for metric in fake_collector.metrics}

    fake_collector.wait_for(lambda: len(pids()) == 2)
    assert master.num_threads() == 1
    killed = master.children()
    for worker in killed:
        worker.kill()
    # Workers that take their place are forked from the same master.
    fake_collector.wait_for(lambda: len(pids()) == 4)
    server.stop(END)
    (record,) = [record for record in fake_collector.logs if record.name == "imported"]
    assert record.resource["process.pid"] in {worker.pid for worker in killed}


def test_an_uwsgi_that_ends_busy_workers_says_so(serve: Serve, fake_collector: FakeCollector) -> None:
    # One worker: one that has not started yet may not notice the signal.
    server = serve([*UWSGI, "--die-on-term"], fake_collector)
    assert server.get("/hello/ann") == (200, "hello ann")
    server.stop(END)
    assert server.said().count("uWSGI ends a worker that is busy at once") == 1
    graceful = serve([*UWSGI, *GRACEFUL], fake_collector)
    assert graceful.get("/hello/ann") == (200, "hello ann")
    graceful.stop(END)
    assert "uWSGI ends a worker" not in graceful.said()
    hasty = serve([*UWSGI, "--die-on-term", "--skip-atexit"], fake_collector)
    assert hasty.get("/hello/ann") == (200, "hello ann")
    hasty.stop(END)
    assert hasty.said().count("uWSGI with --skip-atexit runs no `atexit`") == 1


@pytest.mark.parametrize("app", ["wired", "plain"])
def test_daemons_of_mod_wsgi_lose_nothing(serve: Serve, fake_collector: FakeCollector, app_dir: Path, app: str) -> None:
    before = ZERO_CODE if app == "plain" else []
    command = ["mod_wsgi-express", "start-server", f"{app}.py", "--callable-object", "app", "--port", "{port}"]
    options = ["--processes", "2", *apache_options(app_dir)]
    server = serve([*before, *command, *options], fake_collector, **LATE)
    pids = server.pids(2)
    server.stop(END)
    check_all_arrived(fake_collector, pids)


def test_what_runs_when_a_response_closes_has_the_trace_on_a_server_without_a_name(
    serve: Serve, fake_collector: FakeCollector, app_dir: Path
) -> None:
    with (app_dir / "wired.py").open("a") as file:
        file.write(
            """
@app.get("/closes")
def closes():
    from flask import make_response
    response = make_response("body")
    response.call_on_close(lambda: logging.getLogger("closing").info("closed"))
    return response
"""
        )
    server = serve([*UWSGI, *GRACEFUL], fake_collector)
    assert server.get("/closes") == (200, "body")
    server.stop(END)
    (span,) = (span for span in fake_collector.spans if span.attributes.get("url.path") == "/closes")
    (line,) = (record for record in fake_collector.logs if record.name == "closed")
    assert line.message.trace_id == span.message.trace_id


def test_uwsgi_works_with_zero_code(serve: Serve, fake_collector: FakeCollector) -> None:
    command = [part.replace("wired", "plain") for part in UWSGI]
    server = serve([*ZERO_CODE, *command, *GRACEFUL, "--processes", "2"], fake_collector, **LATE)
    pids = server.pids(2)
    server.stop(END)
    check_all_arrived(fake_collector, pids)


@pytest.mark.parametrize("app", ["wired", "plain"])
def test_workers_of_granian_lose_nothing(serve: Serve, fake_collector: FakeCollector, app: str) -> None:
    before = ZERO_CODE if app == "plain" else []
    command = [*before, "granian", "--interface", "wsgi", "--port", "{port}", "--workers", "2", f"{app}:app"]
    server = serve(command, fake_collector, **LATE)
    pids = server.pids(2)
    server.stop(END)
    check_all_arrived(fake_collector, pids)
    # The process that starts them has no telemetry.
    everything = [*fake_collector.metrics, *fake_collector.logs, *fake_collector.spans]
    assert str(server.process.pid) not in {str(item.resource["process.pid"]) for item in everything}


@pytest.mark.parametrize("number", [END, signal.SIGINT], ids=["SIGTERM", "Ctrl+C"])
@pytest.mark.parametrize("app", ["wired", "plain"])
@pytest.mark.parametrize("server", ["waitress-serve --listen 127.0.0.1:{port}", "cheroot --bind 127.0.0.1:{port}"])
def test_servers_of_one_process_lose_nothing(
    serve: Serve, fake_collector: FakeCollector, app_dir: Path, server: str, app: str, number: signal.Signals
) -> None:
    before = ZERO_CODE if app == "plain" else []
    running = serve([*before, *server.split(), f"{app}:app"], fake_collector, PYTHONPATH=str(app_dir), **LATE)
    pids = [running.get("/pid")[1] for _ in range(20)]
    running.stop(number)
    check_all_arrived(fake_collector, pids)
    # Ctrl+C is no error, also where the server lets the exception through.
    assert not [record for record in fake_collector.logs if "exception.type" in record.attributes]


ASGI = [
    "uvicorn {app}_asgi:app --port {port}",
    "uvicorn {app}_asgi:app --port {port} --workers 2",
    "hypercorn wsgi:{app}:app --bind 127.0.0.1:{port}",
    "hypercorn wsgi:{app}:app --bind 127.0.0.1:{port} --workers 2",
]


def write_for_asgi(folder: Path, app: str) -> None:
    """Write a module with the app of another one, for servers of ASGI."""
    (folder / f"{app}_asgi.py").write_text(
        f"import {app}\nfrom a2wsgi import WSGIMiddleware\napp = WSGIMiddleware({app}.app)\n"
    )


@pytest.mark.parametrize("app", ["wired", "plain"])
@pytest.mark.parametrize("command", ASGI)
def test_servers_for_asgi_lose_nothing(
    serve: Serve, fake_collector: FakeCollector, app_dir: Path, command: str, app: str
) -> None:
    write_for_asgi(app_dir, app)
    before = ZERO_CODE if app == "plain" else []
    server = serve([*before, *command.replace("{app}", app).split()], fake_collector, **LATE)
    assert server.get("/hello/ann") == (200, "hello ann")
    pids = server.pids(2 if "--workers" in command else 1)
    server.stop(END)
    spans = [span for span in fake_collector.spans if span.attributes.get("url.path") == "/pid"]
    assert sorted(str(span.resource["process.pid"]) for span in spans) == sorted(pids)
    assert len([record for record in fake_collector.logs if record.name.startswith("GET /pid")]) == len(pids)
    # Neither the process that starts the workers nor the one that cleans up after them has telemetry.
    everything = [*fake_collector.metrics, *fake_collector.logs, *fake_collector.spans]
    found = {str(item.resource["process.pid"]) for item in everything}
    if "--workers" in command:
        assert len(found) <= 2
        assert str(server.process.pid) not in found
    else:
        assert len(found) == 1


@pytest.mark.parametrize("app", ["wired", "plain"])
@pytest.mark.parametrize("command", ASGI)
def test_servers_for_asgi_count_what_they_cannot_send(
    serve: Serve, fake_collector: FakeCollector, app_dir: Path, command: str, app: str
) -> None:
    write_for_asgi(app_dir, app)
    before = ZERO_CODE if app == "plain" else []
    fake_collector.default = Reply(hang=True)
    # hypercorn ends its workers twice.
    command = command.replace("{app}", app)
    server = serve([*before, *command.split()], fake_collector, OTELFLASK_SHUTDOWN_TIMEOUT="3", **LATE)
    pids = server.pids(2 if "--workers" in command else 1)
    server.stop(END)
    assert sum(map(int, re.findall(r"telemetry is not sent: .*spans: (\d+)", server.said()))) == len(pids)


def test_gevents_server_ends_in_peace_while_the_collector_is_down(serve: Serve, app_dir: Path) -> None:
    (app_dir / "green.py").write_text(
        "import sys\nfrom gevent import monkey\nmonkey.patch_all()\nfrom wired import app\n"
        "from gevent.pywsgi import WSGIServer\nWSGIServer(('127.0.0.1', int(sys.argv[1])), app).serve_forever()\n"
    )
    endpoint = "http://127.0.0.1:9"
    server = serve([sys.executable, "green.py", "{port}"], None, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **LATE)
    assert server.get("/hello/ann") == (200, "hello ann")
    server.stop(END)
    assert server.process.returncode == -END
    assert "Traceback" not in server.said()
    assert "telemetry is not sent: http://127.0.0.1:9 cannot be reached" in server.said()


RUN = "\nif __name__ == '__main__':\n    import sys\n    app.run(port=int(sys.argv[1]), debug=True)\n"


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "wired.py", "{port}"],
        [*ZERO_CODE, sys.executable, "plain.py", "{port}"],
        [*ZERO_CODE, sys.executable, "-m", "flask", "--app", "plain", "run", "--debug", "--port", "{port}"],
        [sys.executable, "-m", "flask", "--app", "wired", "run", "--debug", "--port", "{port}"],
    ],
    ids=["app.run", "app.run, zero code", "python -m flask, zero code", "python -m flask"],
)
def test_the_parent_of_the_reloader_sends_nothing(
    serve: Serve, fake_collector: FakeCollector, app_dir: Path, command: list[str]
) -> None:
    for name in ("wired.py", "plain.py"):
        with (app_dir / name).open("a") as file:
            file.write(RUN)
    server = serve(command, fake_collector)
    _, pid = server.get("/pid")
    fake_collector.wait_for(lambda: [metric.name for metric in fake_collector.metrics].count("process.cpu.time") > 6)
    server.stop(END)
    everything = [*fake_collector.metrics, *fake_collector.logs, *fake_collector.spans]
    assert {str(item.resource["process.pid"]) for item in everything} == {pid}


def test_pytest_with_warnings_as_errors_runs_under_zero_code(fake_collector: FakeCollector, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it():\n    assert True\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST"))}
    kept["PATH"] = os.path.dirname(sys.executable) + os.pathsep + kept["PATH"]
    done = subprocess.run(
        [*ZERO_CODE, "pytest", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**kept, **fake_collector.environment()},
        capture_output=True,
        text=True,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
