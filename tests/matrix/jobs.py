"""Jobs over workers that are killed and restarted: ``python -m tests.matrix.jobs``. ``JOBS`` is their number.

Each job writes its begin and its end into a file. Meanwhile processes of the workers, workers, and whole groups get
SIGKILL, and workers get SIGTERM; new ones take their place. Then each attempt is looked for: its record, its
measurement, its span and its line. The exit status is 1 if anything is unexplained or wrong.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

from otelflask.testing import FakeCollector
from tests.matrix.accounts import KEPT_S, counted_at_end
from tests.servers import redis

JOBS = int(os.environ.get("JOBS", "10000"))
#: Seconds between two signals, seconds after which a run of the matrix is given up, and workers.
PAUSE_S, LIMIT_S, WORKERS = 1.5, 900.0, 2
#: Pauses without a new attempt after which no more is expected: half a minute.
QUIET = 20
#: Seconds after which a process has sent something of a kind. Before that it imports what sends, as all others do.
FIRST_S = 6.0
#: Of so many signals, how many each kind is.
KINDS = ["child"] * 6 + ["worker", "group"] + ["end"] * 2

_COMMON = """
import logging, os, time
from flask import Flask
import otelflask

logging.basicConfig(format="%(process)d|%(levelname)s|%(name)s|%(message)s")
app = Flask("jobs")
otelflask.init(app, runtime_metrics=False)
LEDGER = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

PARENT = os.getppid()

def forked():
    # Kept, because a process whose worker is killed meanwhile has another parent.
    global PARENT
    PARENT = os.getppid()

os.register_at_fork(after_in_child=forked)

def note(kind, number):
    os.write(LEDGER, f"{kind} {number} {os.getpid()} {PARENT} {time.time()}\\n".encode())

def run(number):
    note("begin", number)
    logging.getLogger("jobs").warning("ran job %d", number)
    time.sleep(number % 7 / 500)
    note("end", number)
    if number % 50 == 0:
        raise LookupError(number)
"""
_CELERY = (
    _COMMON
    + """
from celery import Celery, signals
signals.setup_logging.connect(lambda **signal: None, weak=False)
queue = Celery("jobs", broker=os.environ["BROKER"])
queue.conf.update(broker_connection_retry_on_startup=True, task_ignore_result=True, worker_prefetch_multiplier=1)
queue.conf.broker_transport_options = {"visibility_timeout": 5}
task = queue.task(name="work.run", acks_late=True, reject_on_worker_lost=True)(run)

def send(numbers):
    for number in numbers:
        task.apply_async((number,), task_id=f"job-{number}")
"""
)
_RQ = (
    _COMMON
    + """
import redis
from rq import Queue, Worker
connection = redis.Redis.from_url(os.environ["BROKER"])
queue = Queue("jobs", connection=connection)

def send(numbers):
    for number in numbers:
        queue.enqueue("work.run", number, job_id=f"job-{number}", result_ttl=0, failure_ttl=60)

if __name__ == "__main__":
    import work
    Worker([work.queue], connection=work.connection).work(logging_level="ERROR")
"""
)
_CELERY_WORKER = ["celery", "--quiet", "--app", "work:queue", "worker", "--concurrency", "2", "--loglevel", "warning"]
#: The app and the command of each system's worker.
SYSTEMS = {
    "celery": (
        _CELERY,
        ["-m", *_CELERY_WORKER, "--max-tasks-per-child", "500", "--without-mingle", "--without-gossip"],
    ),
    "rq": (_RQ, ["work.py"]),
}


class Attempt(NamedTuple):
    """One run of a job: its process, that of its worker, its begin and its end in time.time seconds."""

    number: int
    pid: int
    worker: int
    begin: float
    end: float | None


@dataclass
class Account:
    """What came of the attempts, by kind: records, measurements, spans, lines."""

    attempts: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    unexplained: Counter[str] = field(default_factory=Counter)
    #: Runs that were counted as lost before their function began.
    before: int = 0
    wrong: list[str] = field(default_factory=list)

    def explain(self, kind: str, missing: int, killed: int, counted: int = 0) -> None:
        """Add what is missing, of which so much was in the memory of a killed process, or is counted by its own."""
        counted = min(missing, counted)
        killed = min(missing - counted, killed)
        self.missing[kind] += missing
        self.counted[kind] += counted
        self.killed[kind] += killed
        self.unexplained[kind] += missing - counted - killed


class Workers:
    """The workers, and the times at which processes got SIGKILL."""

    def __init__(self, command: list[str], folder: str, environment: dict[str, str]) -> None:
        self._command, self._folder, self._environment = command, folder, environment
        self.output = Path(folder, "output")
        self.killed: dict[int, float] = {}
        self.signals: Counter[str] = Counter()
        self._running = [self._start() for _ in range(WORKERS)]
        self._choice = random.Random(1)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, *self._command]
        with self.output.open("ab") as file:
            return subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=file, stderr=file, start_new_session=True
            )

    def disturb(self) -> None:
        """Send one signal, and start a worker in the place of one that has ended."""
        kind = self._choice.choice(KINDS)
        place = self._choice.randrange(WORKERS)
        process = self._running[place]
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(process.pid).children(recursive=True)
            if kind == "child" and children:
                self._kill([self._choice.choice(children).pid])
            elif kind == "worker":
                self._kill([process.pid])
            elif kind == "group":
                self._kill([process.pid, *(child.pid for child in children)])
            elif kind == "end":
                process.terminate()
            self.signals[kind] += 1
        if kind in ("worker", "group", "end"):
            process.wait(60)
            self._running[place] = self._start()

    def _kill(self, pids: list[int]) -> None:
        for pid in pids:
            self.killed[pid] = time.time()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """End all workers by SIGTERM."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(60)


def attempts_of(ledger: Path) -> list[Attempt]:
    """The attempts of the file."""
    begun: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    workers: dict[tuple[str, str], int] = {}
    for line in ledger.read_text().splitlines():
        kind, number, pid, worker, at = line.split()
        workers.setdefault((number, pid), int(worker))
        if kind == "begin":
            begun[number, pid].append([float(at)])
        else:
            begun[number, pid][-1].append(float(at))
    return [
        Attempt(int(number), int(pid), workers[number, pid], times[0], times[1] if len(times) > 1 else None)
        for (number, pid), runs in begun.items()
        for times in runs
    ]


def account(attempts: list[Attempt], collector: FakeCollector, workers: Workers) -> Account:
    """Compare the attempts with what came."""
    result = Account(len(attempts))
    by_number: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_number[attempt.number].append(attempt)
    records, lost = Counter[int](), Counter[int]()
    spans, lines = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    counters = set[int]()
    for record in collector.logs:
        if record.name.startswith("ran job "):
            lines[int(record.name.removeprefix("ran job ")), int(record.resource["process.pid"])] += 1
        elif record.message.event_name == "otelflask.job":
            number = int(str(record.attributes["messaging.message.id"]).removeprefix("job-"))
            records[number] += 1
            counters.add(int(record.resource["process.pid"]))
            lost[number] += record.attributes["otelflask.job.result"] == "lost"
    for span in collector.spans:
        if span.name == "process work.run":
            number = int(str(span.attributes["messaging.message.id"]).removeprefix("job-"))
            spans[number, int(span.resource["process.pid"])] += 1

    def is_in_memory(at: float, *pids: int, kept: float = KEPT_S) -> bool:
        return any(at >= workers.killed[pid] - kept for pid in pids if pid in workers.killed)

    senders = {pid for _, pid in (*spans, *lines)}

    at_end: dict[int, Counter[str]] = defaultdict(Counter, counted_at_end(workers.output.read_text()))
    counted_killed = 0
    for number, runs in by_number.items():
        # The worker counts a run: what it had not sent, or what went on, is gone with it.
        killed = sum(
            is_in_memory(run.end or time.time(), run.worker, kept=KEPT_S if run.worker in counters else FIRST_S)
            for run in runs
        )
        counted_killed += killed
        more = records[number] - len(runs)
        if more > 0:
            result.before += min(more, lost[number])
            if more > lost[number]:
                result.wrong.append(f"job {number} has {records[number]} records of {len(runs)} attempts")
        result.explain("records", max(0, -more), killed)
        if -more > killed:
            result.wrong.append(f"job {number} has {records[number]} records of {runs}")
        for run in runs:
            came = {"spans": spans[number, run.pid], "lines": lines[number, run.pid]}
            if max(came.values()) > sum(other.pid == run.pid for other in runs):
                result.wrong.append(f"job {number} of {run.pid} has {came}")
            for kind, at in (("spans", run.end), ("lines", run.begin)):
                if at is not None and not came[kind]:
                    kept = KEPT_S if run.pid in senders else FIRST_S
                    is_killed = is_in_memory(at, run.pid, run.worker, kept=kept)
                    signal_name = "spans" if kind == "spans" else "log records"
                    is_counted = not is_killed and at_end[run.pid][signal_name] > 0
                    if is_counted:
                        at_end[run.pid][signal_name] -= 1
                    result.explain(kind, 1, is_killed, is_counted)
                    if not is_killed and not is_counted:
                        kills = {pid: round(workers.killed[pid], 1) for pid in run[1:3] if pid in workers.killed}
                        result.wrong.append(
                            f"no {kind} of job {number} in {run.pid} of {run.worker} at {at:.1f}, kills: {kills}"
                        )
    measured = sum(point.count for *_, point in collector.points("otelflask.job.duration"))
    result.explain("measurements", max(0, len(attempts) - measured), counted_killed)
    if measured > len(attempts) + result.before:
        result.wrong.append(
            f"{measured} measurements of {len(attempts)} attempts, {result.before} lost before their begin"
        )
    return result


@contextlib.contextmanager
def _environment(folder: str, collector: FakeCollector) -> Iterator[dict[str, str]]:
    with redis() as url:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST"))}
        environment |= collector.environment() | {"BROKER": url, "LEDGER": f"{folder}/ledger", "PYTHONPATH": folder}
        for name in ("BSP_SCHEDULE_DELAY", "BLRP_SCHEDULE_DELAY", "METRIC_EXPORT_INTERVAL"):
            environment[f"OTEL_{name}"] = "500"
        yield environment


def live(system: str, jobs: int) -> tuple[Account, Counter[str]]:
    """Run so many jobs of a system. Returns the account, and the signals that were sent."""
    app, command = SYSTEMS[system]
    with (
        tempfile.TemporaryDirectory(prefix="otelflask-jobs-") as folder,
        FakeCollector() as collector,
        _environment(folder, collector) as environment,
    ):
        Path(folder, "work.py").write_text(app)
        ledger = Path(folder, "ledger")
        send = [sys.executable, "-c", f"import work; work.send(range({jobs}))"]
        subprocess.run(send, cwd=folder, env=environment, check=True, timeout=300)
        workers = Workers(command, folder, environment)
        end = time.monotonic() + LIMIT_S
        quiet = ended = 0
        known: list[Attempt] = []
        # Until all have ended, or nothing has begun for a while. RQ does not run again what was lost with its worker,
        # and redis gives Celery's again after the visibility timeout, at one of the looks every ten seconds.
        while ended < jobs and quiet < QUIET and time.monotonic() < end:
            time.sleep(PAUSE_S)
            before, known = len(known), attempts_of(ledger) if ledger.exists() else []
            ended = len({attempt.number for attempt in known if attempt.end is not None})
            quiet = quiet + 1 if len(known) == before and ended >= jobs // 2 else 0
            if not quiet and ended < jobs:
                workers.disturb()
        workers.end()
        time.sleep(1.0)
        return account(attempts_of(ledger), collector, workers), workers.signals


def main() -> int:
    """Run all systems. Returns the exit status."""
    failures = 0
    for system in SYSTEMS:
        started = time.monotonic()
        result, signals = live(system, JOBS)
        # RQ's workers lose a job that they have taken and not begun.
        if result.attempts < JOBS * (0.95 if system == "rq" else 1.0):
            result.wrong.append(f"only {result.attempts} attempts")
        kinds = ("records", "measurements", "spans", "lines")
        print(
            f"{system}: {result.attempts} attempts of {JOBS} jobs, {time.monotonic() - started:.0f} s, {dict(signals)}"
        )
        for name in ("missing", "counted", "killed", "unexplained"):
            print(f"  {name}: " + ", ".join(f"{getattr(result, name)[kind]} {kind}" for kind in kinds))
        print(f"  lost before their begin: {result.before}")
        for what in result.wrong[:20]:
            print(f"  wrong: {what}")
        failures += bool(result.wrong or result.unexplained.total())
    print(f"{len(SYSTEMS) - failures} passed, {failures} failed")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
