"""A library is instrumented when the app imports it, and not imported for it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otelflask._internal.import_hooks import when_imported
from tests.integration.conftest import NO_EXPORT


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a module that is not imported yet."""
    name = f"module_of_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text("value = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_what_is_imported_later_is_noticed_then(module: str) -> None:
    called: list[int] = []
    when_imported(module, lambda: called.append(sys.modules[module].value))
    assert called == []
    importlib.import_module(module)
    assert called == [7]


def test_what_is_imported_already_is_noticed_now(module: str) -> None:
    importlib.import_module(module)
    called: list[int] = []
    when_imported(module, lambda: called.append(1))
    assert called == [1]


def test_what_raises_does_not_reach_the_import(module: str, caplog: pytest.LogCaptureFixture) -> None:
    when_imported(module, lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    assert importlib.import_module(module).value == 7
    assert f"{module} cannot be instrumented; the app is not affected" in caplog.text


def test_what_is_taken_back_is_not_done(module: str) -> None:
    called: list[int] = []
    when_imported(module, lambda: called.append(1))()
    importlib.import_module(module)
    assert called == []


SCRIPT = """
import sys, flask, otelflask
app = flask.Flask("bare")
otelflask.init(app)
print([name for name in ("sqlalchemy", "celery", "redis", "httpx") if name in sys.modules])
from sqlalchemy import create_engine, text
with create_engine("sqlite://").connect() as connection:
    connection.execute(text("SELECT 1"))
from otelflask._internal.instrumentation.database.instrumentor import SQLAlchemyInstrumentor
print(len(SQLAlchemyInstrumentor().telemetry.engines()))
"""


ONE_FIRST = """
import importlib, sys, flask, otelflask
otelflask.init(flask.Flask("bare"))
importlib.import_module(sys.argv[1])
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
print(HTTPXClientInstrumentor().is_instrumented_by_opentelemetry)
"""


@pytest.mark.parametrize("first", ["httpx", "opentelemetry.instrumentation.httpx"])
def test_a_library_and_its_instrumentor_may_be_imported_in_either_order(first: str) -> None:
    environment = {**os.environ, **NO_EXPORT}
    command = [sys.executable, "-c", ONE_FIRST, first]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["True"], "")


def test_init_imports_no_library_for_the_app() -> None:
    environment = {**os.environ, **NO_EXPORT}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "1"]


STAND_IN = """
import sys, types, flask, otelflask
sys.modules["redis"] = types.ModuleType("redis")
otelflask.init(flask.Flask("bare"))
"""

AT_ONCE = """
import importlib, sys, threading, time, flask, otelflask
otelflask.init(flask.Flask("bare"))
threads = [threading.Thread(target=importlib.import_module, args=(name,)) for name in sys.argv[1:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
from otelflask._internal.instrumentation.database.instrumentor import SQLAlchemyInstrumentor
end = time.monotonic() + 60
while SQLAlchemyInstrumentor().telemetry is None and time.monotonic() < end:
    time.sleep(0.01)
print(SQLAlchemyInstrumentor().telemetry is not None)
"""


def _ran(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    environment = {**os.environ, **NO_EXPORT}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)


def test_a_stand_in_for_a_library_is_none() -> None:
    assert _ran(STAND_IN).stderr == ""


@pytest.mark.parametrize(
    "names",
    [
        ["sqlalchemy", "sqlalchemy.orm"],
        ["otelflask._internal.instrumentation.database.instrumentor"],
        ["sqlalchemy.orm", "sqlalchemy"],
    ],
)
def test_sqlalchemy_is_noticed_however_it_is_imported(names: list[str]) -> None:
    done = _ran(AT_ONCE, *names)
    assert (done.stdout.split(), done.stderr) == (["True"], "")
