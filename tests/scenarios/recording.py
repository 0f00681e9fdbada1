"""Run the scenarios of a mode in a process of their own, and record what arrives for each.

`python -m tests.scenarios.recording` writes the recorded files again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from otelflask.testing import FakeCollector
from tests.mailbox import Mailbox
from tests.scenarios import arrived, texts
from tests.scenarios.arrived import Item, Processes
from tests.scenarios.client import TOKEN
from tests.scenarios.counts import Counts
from tests.scenarios.normalised import Labels
from tests.scenarios.stacks import ROOT
from tests.scenarios.steps import MODES, Scenario, of_mode

RECORDED = Path(__file__).parent / "recorded"
#: The longest time for the scenarios of a mode, in seconds.
LONGEST_S = 150.0
#: No timer fires while scenarios run.
_NEVER_MS = "3600000"
_SETTINGS = {
    "OTEL_BSP_SCHEDULE_DELAY": _NEVER_MS,
    "OTEL_BLRP_SCHEDULE_DELAY": _NEVER_MS,
    "OTEL_METRIC_EXPORT_INTERVAL": _NEVER_MS,
    "OTEL_PYTHON_FLASK_EXCLUDED_URLS": "excluded/",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "x-colour,cookie",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": "content-type",
    "OTEL_RESOURCE_ATTRIBUTES": "shop.shelf=upper",
    "OTELFLASK_SERVICE_VERSION": "1.2.3",
    "OTELFLASK_ENVIRONMENT": "testing",
    "OTELFLASK_LIBRARIES": "jinja2",
    "OTELFLASK_CONSOLE": "traces",
    "OTELFLASK_LOG_CONSOLE": "text",
    "OTELFLASK_MAIL_TO": "team@shop.example",
    "OTELFLASK_MAIL_FROM": "shop@shop.example",
    "OTELFLASK_MAIL_SECURITY": "none",
    "OTELFLASK_MAIL_PER_DAY": "1000",
    "OTELFLASK_METRICS_PATH": "/metrics",
    "OTELFLASK_MONITOR": "on",
    "OTELFLASK_MONITOR_TOKEN": TOKEN,
    "OTELFLASK_HEALTH_TOKEN": TOKEN,
    "OTELFLASK_REPEATED_QUERY_TIME": "0",
    # No other statement is slow, also on a busy machine.
    "OTELFLASK_SLOW_QUERY_THRESHOLD": "0.5",
    "PYTHONHASHSEED": "0",
    "PYTHONWARNINGS": "ignore::DeprecationWarning",
    "TZ": "UTC",
}
#: Scenarios with times and durations in their bodies, so that lengths differ.
_LENGTHS_VARY = ("live", "metrics", "health")
_OF_OTHERS = ("OTEL", "PYTEST", "FLASK", "SENTRY", "COVERAGE")


def record(mode: str) -> dict[str, Item]:
    """Run the scenarios of a mode. Returns the recording of each, by name."""
    with tempfile.TemporaryDirectory(prefix="otelflask-scenarios-") as folder, FakeCollector() as collector:
        mailbox = Mailbox()
        try:
            return dict(_Recording(mode, Path(folder), collector, mailbox).run())
        finally:
            mailbox.stop()


class _Recording:
    def __init__(self, mode: str, folder: Path, collector: FakeCollector, mailbox: Mailbox) -> None:
        self._mode = mode
        self._folder = folder
        self._collector = collector
        self._mailbox = mailbox
        self._processes = Processes()
        self._counts = Counts()
        #: The bytes that were read of each file.
        self._read: dict[str, int] = {}
        self._scopes: set[tuple[str, ...]] = set()
        self._spans: set[str] = set()

    def run(self) -> Iterator[tuple[str, Item]]:
        (self._folder / "lamps.txt").write_text("red\ngreen\n")
        os.utime(self._folder / "lamps.txt", (1_700_000_000, 1_700_000_000))
        with (self._folder / "stderr").open("w") as stderr:
            child = subprocess.Popen(
                self._command(),
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        killer = threading.Timer(LONGEST_S, child.kill)
        killer.start()
        try:
            assert child.stdin is not None
            assert child.stdout is not None
            for scenario in of_mode(self._mode):
                said = child.stdout.readline()
                if not said:
                    raise RuntimeError(f"{self._mode} ended before {scenario.name}: {self._all_of('stderr')}")
                yield scenario.name, self._taken(scenario, json.loads(said))
                child.stdin.write("go on\n")
                child.stdin.flush()
            child.stdin.close()
            child.wait(30)
        finally:
            killer.cancel()
            if child.poll() is None:
                child.kill()
                child.wait()
            if child.stdout is not None:
                child.stdout.close()

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "tests.scenarios.child", self._mode, str(self._folder)]
        if self._mode == "zero":
            command.insert(0, os.path.join(os.path.dirname(sys.executable), "opentelemetry-instrument"))
        return command

    def _environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OF_OTHERS)}
        folders = {"OTELFLASK_LOG_DIR": "logs", "OTELFLASK_STATE_DIR": "state"}
        return {
            **environment,
            **_SETTINGS,
            **{name: str(self._folder / folder) for name, folder in folders.items()},
            **self._collector.environment(),
            "OTELFLASK_MAIL_SERVER": f"127.0.0.1:{self._mailbox.port}",
        }

    def _taken(self, scenario: Scenario, said: Item) -> Item:
        assert said["scenario"] == scenario.name, f"{said['scenario']} ran for {scenario.name}"
        assert said["is_sent"], f"not all of {scenario.name} was sent in time"
        requests = list(self._collector.requests)
        self._collector.clear()
        mails = list(self._mailbox.mails)
        del self._mailbox.mails[: len(mails)]
        labels = Labels(str(self._folder), self._spans)
        recorded: Item = {
            "spans": arrived.spans(requests, labels, self._processes, scenario.is_ordered),
            "logs": arrived.logs(requests, labels, self._processes, scenario.is_ordered),
            "metrics": self._counts.changed(requests, labels, self._processes),
            "answer": self._answer(scenario, said["answer"], labels),
            "files": {
                name: texts.file_lines(self._new_of(f"logs/{name}"), labels, scenario.is_ordered)
                for name in ("app.log", "error.log")
            },
            "console": labels.lines(self._new_of("stderr").splitlines()),
            "mail": [texts.mail(message, labels) for message in mails],
        }
        self._scopes |= {tuple(scope) for scope in arrived.scopes(requests)}
        if scenario.name == "resource":
            recorded["resource"] = arrived.resources(requests, labels)
        elif scenario.name == "metric_names":
            recorded["metric names"] = self._counts.known()
            recorded["scopes"] = sorted(map(list, self._scopes))
        # As it is after a file was read.
        parsed: Item = json.loads(json.dumps(recorded))
        return parsed

    @staticmethod
    def _answer(scenario: Scenario, answer: Item, labels: Labels) -> Any:
        for name, value in answer.get("headers", []):
            if name == "X-Request-ID":
                labels.request(value)
        body = answer.get("body")
        if isinstance(body, str) and "<main" in body:
            answer["body"] = texts.page(body, scenario.name, labels)
        elif isinstance(body, str) and "# TYPE" in body:
            answer["body"] = texts.samples(body, labels)
        if "headers" in answer and scenario.name.startswith(_LENGTHS_VARY):
            answer["headers"] = [header for header in answer["headers"] if header[0] != "Content-Length"]
        if "headers" in answer:
            answer["headers"] = [[name, labels.value(value, name)] for name, value in answer["headers"]]
        return labels.value(answer)

    def _all_of(self, name: str) -> str:
        return (self._folder / name).read_text("utf-8", "backslashreplace")

    def _new_of(self, name: str) -> str:
        path = self._folder / name
        if not path.exists():
            return ""
        with path.open("rb") as file:
            file.seek(self._read.get(name, 0))
            new = file.read()
        self._read[name] = self._read.get(name, 0) + len(new)
        return new.decode("utf-8", "backslashreplace")


def written(recorded: Item) -> str:
    """The text of a scenario's file."""
    return json.dumps(recorded, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def path_of(mode: str, name: str) -> Path:
    """The file of a scenario."""
    return RECORDED / mode / f"{name}.json"


def main(modes: list[str]) -> None:
    """Record these modes, and write their files."""
    for mode in modes:
        found = record(mode)
        folder = RECORDED / mode
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.json"):
            old.unlink()
        for name, recorded in found.items():
            path_of(mode, name).write_text(written(recorded))
        print(f"{mode}: {len(found)} scenarios")


if __name__ == "__main__":
    main(sys.argv[1:] or list(MODES))
