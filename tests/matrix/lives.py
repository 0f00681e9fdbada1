"""The lives of a server: requests while its workers, its receiver and at last itself end in each way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.matrix import apps
from tests.matrix.accounts import KEPT_S, Account, Killed, account
from tests.matrix.load import Load
from tests.matrix.rows import RELOAD, STUCK, Row
from tests.matrix.sink import DOWN, HANGING, UP, Sink, arrived
from tests.servers import free_port, wait_for_port

BARE, INIT, ZERO_CODE = "bare", "init", "zero code"
SHUTDOWN_TIMEOUT_S = 3.0
#: Seconds above the time that the bare server and `shutdown_timeout` take together.
_MARGIN_S = 4.0
#: Seconds in which a worker must be replaced.
_SETTLED_S = 20.0
#: Seconds between an answer and the end of what belongs to it.
_CUT_S = 0.1
#: A line of a traceback that is ours. gunicorn writes one of a worker that is stuck.
_OWN_FRAME = "/otelflask/_internal/"
#: Nothing waits long, and queues are small enough to become full.
_SETTINGS = {
    "OTEL_BSP_SCHEDULE_DELAY": "500",
    "OTEL_BLRP_SCHEDULE_DELAY": "500",
    "OTEL_METRIC_EXPORT_INTERVAL": "500",
    "OTEL_BSP_MAX_QUEUE_SIZE": "512",
    "OTEL_BLRP_MAX_QUEUE_SIZE": "512",
    "OTELFLASK_SHUTDOWN_TIMEOUT": str(SHUTDOWN_TIMEOUT_S),
}


@dataclass
class Result:
    """What came of a row.

    Attributes:
        account: The sums of its lives.
        forms: The distinct answers of the server.
        ends: Seconds from SIGTERM to the end of the last process, by the state of the receiver.
    """

    account: Account = field(default_factory=Account)
    forms: set[bytes] = field(default_factory=set)
    ends: dict[str, float] = field(default_factory=dict)


class Life:
    """A running server under load."""

    def __init__(self, row: Row, mode: str, sink: Sink, folder: Path) -> None:
        self._row = row
        self.sink = sink
        self._port = free_port()
        self._output = folder / f"output-{self._port}.txt"
        self.killed: dict[int, Killed] = {}
        apps.write(folder)
        with self._output.open("w") as file:
            self._process = subprocess.Popen(
                _command(row, mode, self._port),
                cwd=folder,
                env={**_environment(sink, folder), **row.environment},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for_port(self._port)
        except TimeoutError:
            self.end_now()
            raise AssertionError(f"{row.name} does not start:\n{self.said()[-4000:]}") from None
        self.load = Load(self._port)

    def said(self) -> str:
        """The output of the server, but for what the app says about requests."""
        lines = self._output.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if f"|{apps.LOGGER}|{apps.LINE}" not in line)

    def answer(self, count: int) -> None:
        """Have that many requests answered. The load goes on."""
        try:
            self.load.wait_for(count)
        except TimeoutError as error:
            raise AssertionError(f"{self._row.name}: {error}\n{self.said()[-4000:]}") from None

    def settle(self) -> None:
        """Go on until what was recorded so far has been sent, and all workers answer.

        One that gets a signal while it starts may never end, also without otelflask.
        """
        end = time.monotonic() + _SETTLED_S
        while time.monotonic() < end:
            time.sleep(KEPT_S)
            latest = {answer.pid for answer in self.load.latest(1.0)}
            alive = {process.pid for process in self._tree()}
            if len(latest & alive) >= self._row.workers:
                # Who has not obeyed was not killed.
                self.killed = {pid: end for pid, end in self.killed.items() if pid not in alive}
                return
        raise AssertionError(f"{self._row.name}: a worker is not replaced within {_SETTLED_S} s\n{self.said()[-4000:]}")

    def signal_worker(self, number: signal.Signals) -> None:
        """Send a signal to a worker that has just answered."""
        latest = self.load.latest(0.5)[-1]
        if number == signal.SIGKILL or self._row.hasty_workers:
            self.killed[latest.pid] = Killed(time.time(), self.sink.away_since)
        os.kill(latest.pid, number)

    def happen(self, event: str) -> None:
        """Have an event of the row happen, and wait until it has."""
        if event == RELOAD:
            os.kill(self._process.pid, signal.SIGHUP)
            time.sleep(2)
        elif event == STUCK:
            threading.Thread(target=self._get_stuck, daemon=True).start()
            time.sleep(4)

    def _get_stuck(self) -> None:
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{self._port}/stuck", timeout=30).close()

    def end(self, number: signal.Signals) -> float:
        """End the server under load, and then the load.

        Returns:
            The seconds until its last process has ended.
        """
        tree = self._tree()
        started = time.monotonic()
        if number == signal.SIGKILL or self._row.hasty_end:
            for process in tree:
                self.killed.setdefault(process.pid, Killed(time.time(), self.sink.away_since))
        if number == signal.SIGKILL:
            for process in tree:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        else:
            self._process.send_signal(number)
        threading.Thread(target=self._process.wait, daemon=True).start()
        _, alive = psutil.wait_procs(tree, timeout=60)
        seconds = time.monotonic() - started
        if self._row.cuts:
            self.killed.setdefault(self._process.pid, Killed(time.time(), kept=_CUT_S))
        self.load.stop()
        if alive:
            self.end_now()
            raise AssertionError(f"{self._row.name} does not end by {number.name}:\n{self.said()[-4000:]}")
        return seconds

    def _tree(self) -> list[psutil.Process]:
        main = psutil.Process(self._process.pid)
        return [main, *main.children(recursive=True)]

    def end_now(self) -> None:
        """End what is left."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)


def _command(row: Row, mode: str, port: int) -> list[str]:
    values = {"{port}": str(port), "{app}": "wired" if mode == INIT else "plain"}
    command = ["opentelemetry-instrument"] if mode == ZERO_CODE else []
    for part in row.command:
        for name, value in values.items():
            part = part.replace(name, value)
        command.append(part)
    return command


def _environment(sink: Sink, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST", "FLASK"))}
    kept["PATH"] = os.path.dirname(sys.executable) + os.pathsep + kept["PATH"]
    # cheroot does not look where it is started.
    kept["PYTHONPATH"] = str(folder)
    return {**kept, **_SETTINGS, **sink.environment()}


@contextmanager
def _life(row: Row, mode: str, result: Result) -> Iterator[Life]:
    """A life, whose account is added to the result when it has ended."""
    folder = Path(tempfile.mkdtemp(prefix="otelflask-matrix-"))
    # Apache's daemons of another user read it.
    folder.chmod(0o755)
    sink = Sink()
    life = None
    try:
        life = Life(row, mode, sink, folder)
        yield life
        came = arrived(sink.collector)
        if mode != BARE:
            result.account.add(account(life.load, came, life.said(), life.killed, sink.first_away))
        result.forms |= life.load.forms
        if _OWN_FRAME in life.said() and row.event != STUCK:
            at = life.said().index(_OWN_FRAME)
            result.account.wrong.append(f"a traceback: {life.said()[max(0, at - 1000) : at + 2000]}")
    finally:
        if life is not None:
            life.load.stop()
            life.end_now()
        sink.become(DOWN)
        shutil.rmtree(folder, ignore_errors=True)


def live(row: Row, mode: str, requests: int) -> Result:
    """Have a row live: once with events of its workers and its receiver, and once for each way to end.

    Args:
        row: The server.
        mode: BARE, INIT or ZERO_CODE.
        requests: How many answers there are at least.
    """
    part = max(1, requests // 100)
    result = Result()
    if mode == BARE:
        with _life(row, mode, result) as life:
            life.answer(5 * part)
            life.settle()
            result.ends[UP] = life.end(signal.SIGTERM)
        return result
    with _life(row, mode, result) as life:
        life.answer(8 * part)
        _lose_workers(life, row, 8 * part)
        life.happen(row.event)
        for state in (DOWN, UP, HANGING, UP):
            life.sink.become(state)
            life.answer(7 * part)
        life.settle()
        result.ends[UP] = life.end(signal.SIGTERM)
    for state in (DOWN, HANGING):
        with _life(row, mode, result) as life:
            life.answer(4 * part)
            life.settle()
            life.sink.become(state)
            _lose_workers(life, row, 3 * part)
            life.answer(3 * part)
            result.ends[state] = life.end(signal.SIGTERM)
    for state in (UP, DOWN, HANGING):
        with _life(row, mode, result) as life:
            life.answer(4 * part)
            life.settle()
            life.sink.become(state)
            life.answer(3 * part)
            life.end(signal.SIGKILL)
    return result


def _lose_workers(life: Life, row: Row, answers: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if row.workers and row.replaces:
            life.signal_worker(number)
        life.answer(answers)
    life.settle()


def check(result: Result, bare: Result) -> list[str]:
    """What is wrong with a result, in words."""
    wrong = list(result.account.wrong)
    wrong += [f"{count} {signal} are unexplained" for signal, count in result.account.unexplained.items() if count]
    strange = result.forms - bare.forms
    if strange:
        wrong.append(f"answers differ from the bare server's: {sorted(strange)[:2]}, not {sorted(bare.forms)[:2]}")
    bound = bare.ends[UP] + SHUTDOWN_TIMEOUT_S + _MARGIN_S
    for state, seconds in result.ends.items():
        if seconds > bound:
            wrong.append(
                f"the end with the receiver {state} took {seconds:.1f} s, the bare server's {bare.ends[UP]:.1f}"
            )
    return wrong
