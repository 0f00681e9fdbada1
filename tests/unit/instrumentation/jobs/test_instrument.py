"""The libraries of jobs are found whether the app imports them before or after `init`."""

from __future__ import annotations

import subprocess
import sys

import pytest

_CODE = """
import flask
import otelflask

def start():
    otelflask.init(flask.Flask("shop"))

{first}
{second}
assert {name}.__wrapped__
"""
_LIBRARIES = {
    "celery": "Celery.send_task",
    "rq": "Queue.enqueue_job",
    "rq.worker": "Worker.execute_job",
    "celery.concurrency.prefork": "TaskPool.apply_async",
    "apscheduler.executors.pool": "run_job",
    "apscheduler.schedulers.background": "BackgroundScheduler.add_job",
}


@pytest.mark.parametrize("library", _LIBRARIES)
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_library_is_instrumented_whether_it_comes_before_or_after(
    library: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    name = _LIBRARIES[library]
    # As an app does that uses it; the scheduler imports its executors.
    imported = f"import apscheduler.schedulers.background\nfrom {library} import {name.partition('.')[0]}"
    first, second = ("start()", imported) if order == "after" else (imported, "start()")
    code = _CODE.format(first=first, second=second, name=name if "." in name else f"sys.modules['{library}'].{name}")
    code = f"import sys\n{code}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("name", ["celery", "rq", "apscheduler"])
def test_opentelemetrys_variable_turns_each_off(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", name)
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    code = """
import flask, otelflask, celery, rq, apscheduler.schedulers.background
otelflask.init(flask.Flask("shop"))
found = {
    "celery": celery.Celery.send_task,
    "rq": rq.Queue.enqueue_job,
    "apscheduler": apscheduler.schedulers.background.BackgroundScheduler.add_job,
}
print(*sorted(name for name, function in found.items() if not hasattr(function, "__wrapped__")))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.stdout.strip(), result.stderr) == (name, "")
