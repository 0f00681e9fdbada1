"""A process whose threads are greenlets forks: greenlets live on in the child."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
