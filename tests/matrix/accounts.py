"""The account of one life of a server: what is missing, and who has said so."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from tests.matrix.load import Load
from tests.matrix.sink import Arrived

#: The longest time for which a process keeps what it has recorded, in seconds: the handover's second, the delay of the
#: queue (set to 0.5 s), and a second for the export, because processes that start beside it take the CPU.
KEPT_S = 2.5
#: Records of a process that are not about a numbered request: of its start, and of what goes wrong.
OTHERS = 40
#: The log line at the end of a process.
_END = re.compile(r"(\d+)\|\w+\|otelflask\|otelflask: telemetry is not sent: (.*)")
_LOST = re.compile(r"(spans|log records|metric data points)(?: by [^:]+)?: (\d+)")
SIGNALS = ("spans", "log records", "metric data points")


@dataclass
class Killed:
    """The end of a process that had no time for something.

    Attributes:
        at: When it got its signal, in time.time seconds.
        away_since: When the receiver had gone before, if it had.
        kept: The seconds for which it keeps what it has recorded.
    """

    at: float
    away_since: float | None = None
    kept: float = KEPT_S

    @property
    def kept_since(self) -> float:
        """When the oldest of what it may have kept was recorded."""
        return min(self.at, self.away_since or self.at) - self.kept


@dataclass
class Account:
    """Sums of one or more lives.

    Attributes:
        requests: Answered requests.
        unanswered: Requests without an answer.
        missing: Items of answered requests that did not arrive, by signal.
        counted: Those that their process has counted.
        killed: Those that were in the memory of a process when it was killed.
        unexplained: All others.
        wrong: Whatever else must not be, in words.
    """

    requests: int = 0
    unanswered: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    unexplained: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Account) -> None:
        """Add another account."""
        self.requests += other.requests
        self.unanswered += other.unanswered
        for name in ("missing", "counted", "killed", "unexplained"):
            getattr(self, name).update(getattr(other, name))
        self.wrong += other.wrong


def counted_at_end(said: str) -> dict[int, Counter[str]]:
    """What processes say at their end that they have lost, by process id and signal."""
    found: dict[int, Counter[str]] = {}
    for pid, what in _END.findall(said):
        counts = found.setdefault(int(pid), Counter())
        for signal, count in _LOST.findall(what):
            counts[signal] += int(count)
    return found


def account(
    load: Load, came: dict[int, Arrived], said: str, killed: dict[int, Killed], away_since: float | None = None
) -> Account:
    """Compare what was answered with what came.

    Args:
        load: The requests.
        came: What came, by process id.
        said: The output of the server.
        killed: The processes that were killed, by id.
        away_since: When the receiver first went away, in time.time seconds, if it did.
    """
    result = Account(requests=len(load.answers), unanswered=len(load.unanswered))
    answered: dict[int, dict[int, float]] = {}
    for number, answer in load.answers.items():
        answered.setdefault(answer.pid, {})[number] = answer.at
    at_end = counted_at_end(said)
    for pid, numbers in answered.items():
        item = came.get(pid, Arrived())
        told = at_end.get(pid, Counter())
        kept_since = killed[pid].kept_since if pid in killed else float("inf")
        missing = {
            "spans": [at for number, at in numbers.items() if not item.spans[number]],
            "log records": [at for number, at in numbers.items() if not item.request_logs[number]]
            + [at for number, at in numbers.items() if not item.lines[number]],
        }
        for signal, times in missing.items():
            # The line at the end has all that the process has lost, and its metrics what it had lost until then.
            counted = max(told[signal], item.dropped[signal])
            in_memory = sum(at >= kept_since for at in times)
            if _explain(result, signal, len(times), counted, in_memory):
                result.wrong.append(
                    f"{pid}: {signal} of {len(times)} requests in {min(times):.1f} … {max(times):.1f} are missing, "
                    f"{counted} are counted ({dict(told)}, {dict(item.dropped)}); killed {killed.get(pid)}"
                )
            beyond = counted - len(times) - 2 * len(load.unanswered) - OTHERS
            if beyond > 0:
                result.wrong.append(
                    f"{pid} counts {beyond} {signal} that are not missing ({dict(told)}, {dict(item.dropped)})"
                )
        # Sums since the receiver went away are lost with the last collection of a process.
        left = max(0, len(numbers) - item.durations)
        lost_since = (away_since if away_since is not None else float("inf")) - KEPT_S
        counted = sum(at >= lost_since for at in numbers.values()) if told["metric data points"] else 0
        _explain(result, "metric data points", left, counted, sum(at >= kept_since for at in numbers.values()))
        _find_wrong(result, pid, item, len(load.unanswered), len(numbers))
    _find_shared(result, came)
    return result


def _explain(result: Account, signal: str, missing: int, counted: int, in_memory: int) -> int:
    """Add what is missing to the sums. Returns how much of it is unexplained."""
    result.missing[signal] += missing
    counted = min(missing, counted)
    killed = min(missing - counted, in_memory)
    result.counted[signal] += counted
    result.killed[signal] += killed
    unexplained = missing - counted - killed
    result.unexplained[signal] += unexplained
    return unexplained


def _find_wrong(result: Account, pid: int, item: Arrived, unanswered: int, answered: int) -> None:
    if item.durations > answered + unanswered:
        result.wrong.append(f"{pid} measured {item.durations} requests and answered {answered}")
    if len(item.instances) > 1:
        result.wrong.append(f"{pid} has {len(item.instances)} instance ids")


def _find_shared(result: Account, came: dict[int, Arrived]) -> None:
    for name in ("spans", "request_logs", "lines"):
        counts = sum((getattr(item, name) for item in came.values()), Counter[int]())
        twice = sum(count - 1 for count in counts.values())
        if twice:
            result.wrong.append(f"{twice} {name} came twice")
    owners = Counter(instance for item in came.values() for instance in item.instances)
    result.wrong += [f"{count} processes share an instance id" for count in owners.values() if count > 1]
