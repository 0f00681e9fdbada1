"""Processes whose threads are greenlets: forks, signals, and what greenlets carry."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from otelflask.testing import FakeCollector

from .conftest import NO_EXPORT

pytest.importorskip("gevent")
pytestmark = pytest.mark.slow


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import os, subprocess, sys, tempfile
import flask, gevent, otelflask
otelflask.init(flask.Flask("x"))
path = tempfile.mkstemp()[1]
log = os.open(path, os.O_WRONLY | os.O_APPEND)
stopped = []
def work():
    while not stopped:
        os.write(log, b"%d\\n" % os.getpid())
        gevent.sleep(0)
workers = [gevent.spawn(work) for _ in range(4)]
gevent.sleep(0.05)
for _ in range(5):
    subprocess.run(["true"], check=True)
    gevent.sleep(0.01)
stopped.append(True)
gevent.joinall(workers)
assert {int(line) for line in open(path)} == {os.getpid()}
os.unlink(path)
"""


def test_no_greenlet_of_the_parent_goes_on_in_a_child_that_runs_another_program() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS], capture_output=True, text=True, env={**os.environ, **NO_EXPORT}, timeout=60
    )
    assert done.returncode == 0, done.stderr


OLD_GREENLETS = """
from gevent import monkey
monkey.patch_all()
import os, gevent
from otelflask._internal.lifecycle import forks
from otelflask._internal.lifecycle.background_task import BackgroundTask
class Item:
    def __init__(self):
        self.runs = 0
        self.task = BackgroundTask("x", self.work, 0.2)
    def work(self):
        self.runs += 1
        return 60.0
    def after_fork(self):
        self.task.after_fork(start=True)
item = Item()
forks.on_fork(item)
item.task.start()
gevent.sleep(0.05)
if os.fork() == 0:
    gevent.sleep(1)
    os._exit(item.runs)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_task_runs_once_in_a_child_of_greenlets() -> None:
    done = subprocess.run([sys.executable, "-c", OLD_GREENLETS], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")


ENDED = """
from gevent import monkey
monkey.patch_all()
import os, signal, flask, gevent, otelflask
from opentelemetry import metrics
signals = [signal.SIGTERM]
def measure(options):
    # The greenlet that collects holds the lock of all measurements.
    while signals:
        os.kill(os.getpid(), signals.pop())
    yield metrics.Observation(1)
otelflask.init(flask.Flask("x"))
metrics.get_meter("x").create_observable_gauge("x", callbacks=[measure])
metrics.get_meter_provider().force_flush()
gevent.sleep(60)
"""


def test_a_signal_to_a_greenlet_that_holds_a_lock_ends_the_process(fake_collector: FakeCollector) -> None:
    environment = {**os.environ, **fake_collector.environment(), "OTEL_METRICS_EXPORTER": "otlp"}
    done = subprocess.run([sys.executable, "-c", ENDED], capture_output=True, text=True, env=environment, timeout=30)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert "x" in {metric.name for metric in fake_collector.metrics}


CARRIED = """
import flask, gevent, logging, sentry_sdk, sys
from gevent.pool import Pool
from opentelemetry import trace
import otelflask
from otelflask._internal import event_names
from otelflask.testing import CapturedTelemetry

telemetry = CapturedTelemetry()
app = flask.Flask("shop")
otelflask.init(app, runtime_metrics=False, **telemetry.providers)
log = logging.getLogger("shop")
found = []

def work(number):
    gevent.sleep(0.01)
    found.append((otelflask.get_request_id(), flask.has_request_context()))
    log.error("work failed %d", number)

@app.get("/orders/<int:number>")
def orders(number):
    flask.g.user_id = "ada"
    sentry_sdk.set_tag("shop", "north")
    gevent.joinall([gevent.spawn(work, number), gevent.spawn_later(0.01, work, number)])
    Pool(2).map(work, [number])
    return "done"

def ask(number):
    assert app.test_client().get(f"/orders/{number}", headers={"X-Request-ID": f"request-{number}"}).status_code == 200

gevent.joinall([gevent.spawn(ask, number) for number in range(5)], raise_error=True)
gevent.spawn(work, 99).join()
assert sorted(found, key=str) == sorted(
    [(f"request-{number}", False) for number in range(5) for _ in range(3)] + [(None, False)], key=str
), found
traces = {span.attributes["url.path"]: span.context.trace_id for span in telemetry.spans}
lines = [line for line in telemetry.logs if line.body.startswith("work failed") and not line.event_name]
assert len(lines) == 16, len(lines)
for line in lines:
    number = line.body.split()[-1]
    assert line.trace_id == (traces[f"/orders/{number}"] if number != "99" else 0)
    assert line.attributes.get("user.id") == ("ada" if number != "99" else None)
reports = [line for line in telemetry.logs if line.event_name == event_names.MESSAGE]
assert reports
for report in reports:
    is_of_request = report.attributes.get("http.route") == "/orders/<int:number>"
    assert ("north" in str(report.attributes)) == is_of_request
print("done")
"""


@pytest.mark.parametrize("patches", ["", "from gevent import monkey; monkey.patch_all()"], ids=["alone", "patched"])
def test_a_requests_greenlets_belong_to_it(patches: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", patches + CARRIED],
        capture_output=True,
        text=True,
        env={**os.environ, **NO_EXPORT},
        timeout=120,
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["done"]), done.stdout + done.stderr
