"""`app.log` and `error.log`."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import flask
import pytest

import otelflask
from otelflask.testing import CapturedTelemetry


@pytest.fixture
def make(telemetry: CapturedTelemetry, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Make an app that writes to files, and return its pipeline."""
    made: list[Any] = []

    def start(**settings: Any) -> Any:
        app = flask.Flask("shop")
        options = {"log_dir": str(tmp_path), **settings}
        otelflask.init(app, runtime_metrics=False, **telemetry.providers, **options)
        made.append(app.extensions["otelflask"].pipeline)
        return made[-1]

    yield start
    for pipeline in made:
        pipeline.shutdown(1)


def messages(*paths: Path) -> list[str]:
    """The messages of JSON lines, without the one of the start."""
    lines = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    return [line["message"] for line in lines if line.get("event") != "otelflask.start"]


def exported(telemetry: CapturedTelemetry) -> dict[str, int]:
    """The outcomes of the lines: reason, or `delivered`, and count."""
    found = {
        point.attributes.get("error.type", "delivered"): point.value
        for point in telemetry.points("otel.sdk.exporter.log.exported")
        if point.attributes["otel.component.type"] == "otelflask_file_exporter"
    }
    for point in telemetry.points("otel.sdk.processor.log.processed"):
        if point.attributes["otel.component.type"] == "otelflask_file_processor" and "error.type" in point.attributes:
            found[point.attributes["error.type"]] = point.value
    return found


def test_errors_are_in_both_files_and_all_else_in_one(
    make: Callable[..., Any], logger: logging.Logger, tmp_path: Path
) -> None:
    pipeline = make()
    logger.info("counted")
    logger.error("cannot count")
    assert pipeline.flush(5)
    assert messages(tmp_path / "app.log") == ["counted", "cannot count"]
    assert messages(tmp_path / "error.log") == ["cannot count"]


def test_files_are_rotated_by_size_and_the_oldest_go(
    make: Callable[..., Any], logger: logging.Logger, tmp_path: Path
) -> None:
    pipeline = make(log_file_size=2_000, log_file_count=2)
    for number in range(60):
        logger.info("line %d", number)
        if number % 3 == 0:
            pipeline.flush(5)
    pipeline.flush(5)
    names = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("."))
    assert names == ["app.log", "app.log.1", "app.log.2", "error.log"]
    kept = messages(tmp_path / "app.log.2", tmp_path / "app.log.1", tmp_path / "app.log")
    assert kept == [f"line {number}" for number in range(60 - len(kept), 60)]


def test_what_does_not_fit_in_the_queue_is_counted(
    make: Callable[..., Any], logger: logging.Logger, telemetry: CapturedTelemetry, tmp_path: Path
) -> None:
    pipeline = make(log_file_queue_size=50)
    for number in range(5_000):
        logger.info("line %d", number)
    assert pipeline.flush(10)
    counts = exported(telemetry)
    assert counts["queue_full"] > 0
    # And the line of the start.
    assert counts["delivered"] == len(messages(tmp_path / "app.log")) + 1
    assert sum(counts.values()) == 5_001


def test_lines_can_be_text(make: Callable[..., Any], logger: logging.Logger, tmp_path: Path) -> None:
    pipeline = make(log_file_format="text")
    logger.info("counted")
    assert pipeline.flush(5)
    assert "INFO  shop.stock: counted" in (tmp_path / "app.log").read_text()


def test_names_and_format_of_the_files_are_settings(
    make: Callable[..., Any], logger: logging.Logger, tmp_path: Path
) -> None:
    pipeline = make(
        log_file_name="microblog.log",
        log_error_file_name="",
        log_file_format="%(asctime)s %(levelname)s: %(message)s [in %(pathname)s:%(lineno)d]",
    )
    logger.warning("用户 %s\nERROR: forged", "李雷")
    try:
        raise LookupError("no lamps\n2026-01-01 INFO: forged")
    except LookupError:
        logger.exception("cannot count")
    assert pipeline.flush(5)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["microblog.log"]
    start, warning, error, *stack = (tmp_path / "microblog.log").read_text().splitlines()
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    assert re.fullmatch(rf"{time} INFO: test started: .*process {os.getpid()} \[in otelflask:0\]", start)
    place = re.escape(__file__)
    assert re.fullmatch(rf"{time} WARNING: 用户 李雷\\nERROR: forged \[in {place}:\d+\]", warning)
    assert re.fullmatch(rf"{time} ERROR: cannot count \[in {place}:\d+\]", error)
    assert stack
    assert all(line.startswith("    | ") for line in stack)


def test_a_format_can_have_the_request(make: Callable[..., Any], logger: logging.Logger, tmp_path: Path) -> None:
    pipeline = make(log_file_format="[%(asctime)s] %(levelname)s in %(module)s: %(message)s %(method)s %(path)s")
    app = flask.Flask("other")
    app.add_url_rule("/lamps", "lamps", lambda: (logger.info("counted"), "ok")[1])
    otelflask.init(app)
    app.test_client().get("/lamps")
    assert pipeline.flush(5)
    lines = (tmp_path / "app.log").read_text().splitlines()
    assert [line.partition("] ")[2] for line in lines if "counted" in line] == [
        "INFO in test_files: counted GET /lamps"
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"log_file_format": "xml"}, "log_file_format .* is 'xml', which cannot be used .*allowed are json, text, and"),
        ({"log_file_format": "%(levelname)s %(nobody)s"}, "'nobody'"),
        ({"log_file_format": "%(message)s %(threadName)s"}, "'threadName'"),
        ({"log_file_name": "a/b.log"}, "allowed is a file name such as app.log, without a folder"),
        ({"log_file_name": ""}, "allowed are two different names"),
        ({"log_file_name": "error.log"}, "allowed are two different names"),
    ],
)
def test_a_name_or_format_that_cannot_be_is_an_error_at_start(
    make: Callable[..., Any], settings: dict[str, str], said: str
) -> None:
    with pytest.raises(otelflask.SettingError, match=said):
        make(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "shop started: otelflask "),
        ({"environment": "production"}, "shop started in production: otelflask "),
        ({"environment": "production", "service_version": "1.4"}, "shop 1.4 started in production: otelflask "),
    ],
)
def test_each_start_writes_one_line_with_version_and_environment(
    settings: dict[str, str], said: str, tmp_path: Path
) -> None:
    code = """
import json, sys, flask, otelflask
settings = json.loads(sys.argv[1])
for name in ("shop", "second"):
    otelflask.init(flask.Flask(name), runtime_metrics=False, log_dir=sys.argv[2], **settings)
"""
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", code, json.dumps(settings), str(tmp_path)],
            check=True,
            timeout=60,
            env={**os.environ, "OTEL_LOGS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"},
        )
    lines = [json.loads(line) for line in (tmp_path / "app.log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["otelflask.start"] * 2
    assert all(line["message"].startswith(said) for line in lines)
    assert f"Flask {version('flask')}" in lines[0]["message"]


_FULL = """
import logging, resource, sys, time, flask, otelflask
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
app = flask.Flask("shop")
otelflask.init(app, runtime_metrics=False, reports=False, log_dir=sys.argv[1], log_file_size=10_000_000)
logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
for number in range(300):
    logger.info("line %d", number)
    time.sleep(0.002)
time.sleep(0.5)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
time.sleep(3)
"""


def test_a_full_disk_tears_and_doubles_no_line_and_all_are_there_when_it_has_room(tmp_path: Path) -> None:
    # A limit on a file's size acts like a full disk: it takes a part of a write, and then nothing.
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "OTEL_LOGS_EXPORTER": "none"},
    )
    assert done.returncode == 0, done.stderr
    assert messages(tmp_path / "app.log") == [f"line {number}" for number in range(300)]
    # Logged, and not once a line.
    assert 1 <= done.stderr.count("does not accept log lines now") <= 2, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("folder", ["/proc/version/logs", "/proc/logs"])
def test_a_folder_that_cannot_be_written_is_an_error_at_start(make: Callable[..., Any], folder: str) -> None:
    with pytest.raises(otelflask.SettingError, match=f"log_dir is '{folder}', where .* cannot be written"):
        make(log_dir=folder)


_FORK = """
import logging, os, sys, threading, flask, otelflask
app = flask.Flask("shop")
otelflask.init(app, runtime_metrics=False, reports=False, log_dir=sys.argv[1])
logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
stop = threading.Event()
def busy():
    number = 0
    while not stop.is_set():
        logger.info("parent")
        number += 1
        stop.wait(0.0005)
threading.Thread(target=busy).start()
children = []
for number in range(20):
    child = os.fork()
    if child == 0:
        logger.info("child %d", number)
        otelflask.flush(10)
        os._exit(0)
    children.append(child)
print(sorted({os.waitpid(child, 0)[1] for child in children}))
stop.set()
"""


def test_children_that_are_forked_while_a_thread_logs_write_their_lines(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "OTEL_LOGS_EXPORTER": "none"},
    )
    assert done.stdout == "[0]\n", done.stderr
    written = [line for line in messages(tmp_path / "app.log") if line.startswith("child")]
    assert sorted(written) == sorted(f"child {number}" for number in range(20))


def test_a_format_can_have_extras_and_says_who_wrote_a_line_without_a_place(
    make: Callable[..., Any], logger: logging.Logger, tmp_path: Path
) -> None:
    pipeline = make(log_file_format="%(message)s [%(extra)s] [in %(pathname)s]")
    logger.info("placed", extra={"order_id": 7, "note": "a\nb"})
    assert pipeline.flush(5)
    start, line = (tmp_path / "app.log").read_text().splitlines()
    assert start.endswith("[in otelflask]")
    assert line == f"placed [order_id=7 note=a\\nb] [in {__file__}]"


def test_a_file_that_a_handler_of_the_app_writes_too_is_told(
    make: Callable[..., Any], logger: logging.Logger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handler = logging.FileHandler(tmp_path / "app.log")
    logger.addHandler(handler)
    try:
        make()
    finally:
        logger.removeHandler(handler)
        handler.close()
    assert f"a handler of `logging` writes to {tmp_path}/app.log too" in caplog.text
