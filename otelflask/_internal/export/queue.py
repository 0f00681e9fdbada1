"""A bounded queue with one sending thread. Nothing is lost without being counted.

Requests only append. The thread encodes and sends. When a receiver cannot be reached or refuses a
batch temporarily, the batch is kept and sent again after growing pauses, while new items wait in
the queue. What does not fit is dropped and counted with its reason. The sizes and the delay of the
queues of spans and log records come from the standard ``OTEL_BSP_*`` and ``OTEL_BLRP_*``
variables. The destination limits the time of one export (``OTEL_EXPORTER_OTLP_TIMEOUT``).
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from otelflask._internal import guard, randomness
from otelflask._internal.export.destinations import Destination, SendResult, server_of
from otelflask._internal.lifecycle.background_task import BackgroundTask
from otelflask._internal.locks import new_lock

#: Seconds after which a batch that was refused again and again is dropped and counted.
MAX_RETRY_AGE_S = 300.0
#: The longest pause between two attempts, in seconds, before a jitter of 20 %.
MAX_BACKOFF_S = 30.0
#: Seconds between the end of the last attempt and the end of the process.
SHUTDOWN_MARGIN_S = 0.1
#: Reasons in the log line at shutdown.
UNREACHABLE, TOO_LATE = "cannot be reached, and has accepted nothing so far", "did not accept it in time"
#: What a process has dropped before its end. The metrics that count it may not have arrived.
EARLIER = ("the process", "dropped before its end")
#: The servers that accepted something from this process, or from its parent before the fork.
_accepting_servers: set[str] = set()


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """The options of a queue: `schedule_delay` in seconds, the others in items."""

    max_queue: int = 2_048
    max_batch: int = 512
    schedule_delay: float = 5.0


def _ignore(outcome: str, count: int) -> None:
    """Ignore an outcome."""


class ExportQueue:
    """Items of one signal on their way to one destination.

    `counts` has the outcome of every item: ``delivered``, ``rejected``, and ``dropped:<reason>``.

    Args:
        name: What it carries, such as ``spans``. `QueueMetrics` knows the names.
        encode: Encodes a batch; it runs in the sending thread.
        destination: Sends a batch.
        options: The options.
        weigh: Returns how many units an item counts for, such as the data points of a collection
            (default: each item counts 1).
    """

    def __init__(
        self,
        name: str,
        encode: Callable[[Sequence[Any]], Any],
        destination: Destination,
        options: QueueOptions,
        weigh: Callable[[Any], int] | None = None,
    ) -> None:
        self.name = name
        self.destination = destination
        self.counts: Counter[str] = Counter()
        #: Items that were not sent before the process ended, by reason, and by outcome.
        self.unsent: Counter[str] = Counter()
        self._unsent_outcomes: Counter[str] = Counter()
        self._encode = encode
        self._weigh = weigh
        #: What the counts are in, for log lines.
        self._unit = name if weigh is None else "metric data points"
        self._options = options
        #: Called with each outcome and its count.
        self.on_result: Callable[[str, int], None] = _ignore
        self._items: deque[Any] = deque()
        self._task = BackgroundTask(name, self._work, options.schedule_delay)
        self._in_flight = 0
        self._counting = new_lock()
        self._wake_requested = False

    def after_fork(self, is_heir: bool = False) -> None:
        """Start again in a forked child.

        Args:
            is_heir: Whether the child sends what its parent has queued. Otherwise the parent sends it.
        """
        if not is_heir:
            self.counts = Counter()
            self.unsent = Counter()
            self._unsent_outcomes = Counter()
            self._items = deque()
        self._task.after_fork(start=bool(self._items))
        self._in_flight = 0
        self._wake_requested = False
        self.destination.reconnect()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def capacity(self) -> int:
        """The most items that wait at the same time."""
        return self._options.max_queue

    def append(self, item: Any) -> None:
        """Queue an item. Never blocks: a full or closed queue drops the item and counts it."""
        items = self._items
        if self._task.closing_at is not None:
            self.count("dropped:already_shutdown", self._weight([item]))
            return
        if len(items) >= self._options.max_queue:
            self.count("dropped:queue_full", self._weight([item]))
            guard.log(f"full:{self.name}", "the %s queue is full; items are dropped and counted", self.name)
            return
        items.append(item)
        if self._task.thread is None:
            self._task.start()
        elif len(items) >= self._options.max_batch and not self._wake_requested:
            self._wake_requested = True
            self._task.wake()

    def _weight(self, items: Sequence[Any]) -> int:
        return len(items) if self._weigh is None else sum(map(self._weigh, items))

    def count(self, outcome: str, count: int) -> None:
        """Count the outcome of some items."""
        if count:
            self.counts[outcome] += count
            self.on_result(outcome, count)

    def _work(self) -> float:
        self._wake_requested = False
        is_last = self._task.closing_at is not None
        self._drain()
        if is_last:
            self._drop_rest(TOO_LATE)
        return self._options.schedule_delay

    def _drain(self) -> None:
        # Only what is there now: a steady stream must not prolong a flush. At shutdown, everything.
        left = len(self._items)
        while left > 0 and self._task.remaining() > 0:
            batch: list[Any] = []
            try:
                while left > 0 and len(batch) < self._options.max_batch:
                    batch.append(self._items.popleft())
                    left -= 1
            except IndexError:
                left = 0
            if batch and not guard.attempt(self._deliver, batch, on_error=self._count_failed_delivery):
                self._drop_rest(UNREACHABLE)
                return
            if self._task.closing_at is not None:
                left = len(self._items)

    def _count_failed_delivery(self, error: Exception) -> bool:
        """Count a batch whose delivery raised. Returns True, so that the next batch is tried."""
        self.count(f"dropped:{type(error).__name__}", self._take_in_flight())
        guard.log(f"deliver:{self.name}", "%s cannot be sent", self._unit, exc_info=error)
        return True

    def _deliver(self, batch: list[Any]) -> bool:
        """Send a batch. Try again until it is accepted, refused for good or too old, or the process ends.

        Returns:
            False where the process ends and the receiver was never reached, so that further batches are
            useless; else True, also where the batch was dropped.
        """
        self._in_flight = self._weight(batch)
        payload = self._encode_batch(batch)
        if payload is None:
            return True
        started = time.monotonic()
        pause = 0.5
        while True:
            # It ends before the shutdown deadline, so that a receiver that does not respond is still counted.
            result = self.destination.send(payload, self._task.remaining() - SHUTDOWN_MARGIN_S)
            if result.delivered or not result.retry:
                self._count_result(result)
                return True
            closing = self._task.closing_at is not None
            if closing and result.unreachable and server_of(self.destination.endpoint) not in _accepting_servers:
                # The receiver was never reachable, and will probably not become so before the deadline.
                self._count_unsent(UNREACHABLE, result.error, self._take_in_flight())
                return False
            wait = result.retry_after if result.retry_after is not None else pause * randomness.uniform(0.8, 1.2)
            pause = min(pause * 2, MAX_BACKOFF_S)
            if closing and self._task.remaining() <= wait:
                self._count_unsent(TOO_LATE, result.error, self._take_in_flight())
                return True
            if not closing and time.monotonic() - started + wait >= MAX_RETRY_AGE_S:
                self.count(f"dropped:{result.error or 'unreachable'}", self._take_in_flight())
                return True
            self._wait_to_try_again(wait, result)

    def _count_result(self, result: SendResult) -> None:
        """Count what the receiver has decided."""
        count = self._take_in_flight()
        if not result.delivered:
            self.count(f"dropped:{result.error or 'refused'}", count)
            endpoint = self.destination.endpoint
            guard.log(f"refused:{self.name}", "%s refuses %s (%d): %s", endpoint, self._unit, count, result.reason)
            return
        _accepting_servers.add(server_of(self.destination.endpoint))
        rejected = min(result.rejected, count)
        self.count("delivered", count - rejected)
        if rejected:
            self.count("rejected", rejected)
            message = "the receiver accepts a batch without some %s (%d)"
            guard.log(f"rejected:{self.name}", message, self._unit, rejected)

    def _take_in_flight(self) -> int:
        """Return the uncounted weight of the current batch, and reset it, so that it is counted once.

        It is 0 where `give_up` has counted it.
        """
        with self._counting:
            count, self._in_flight = self._in_flight, 0
            return count

    def _count_unsent(self, reason: str, error_type: str, count: int) -> None:
        """Count what is not sent before the process ends.

        Args:
            reason: The reason for the log line.
            error_type: The reason for the counter.
            count: How much.
        """
        if count:
            outcome = f"dropped:{error_type or 'unreachable'}"
            self.count(outcome, count)
            self._unsent_outcomes[outcome] += count
            self.unsent[reason] += count

    def _wait_to_try_again(self, wait: float, result: SendResult) -> None:
        """Wait before another attempt.

        Args:
            wait: Seconds. When shutdown begins meanwhile, a backoff ends at once. A Retry-After is still
                waited for, up to the deadline.
            result: The result of the last attempt.
        """
        if self._task.closing_at is None:
            guard.log(
                f"unreachable:{self.name}",
                "%s does not accept %s now: %s; trying again",
                self.destination.endpoint,
                self._unit,
                result.reason,
            )
            left = self._task.pause(wait)
            if result.retry_after is None:
                return
            wait = left
        time.sleep(max(0.0, min(wait, self._task.remaining())))

    def _encode_batch(self, batch: list[Any]) -> Any:
        """Encode a batch; None where nothing of it can be encoded."""
        with guard.log_errors(
            f"encode:{self.name}", "some %s cannot be encoded, and are dropped and counted", self._unit
        ):
            return self._encode(batch)
        # One bad item must not make the others fail too: find those that can be sent.
        good = [item for item in batch if guard.attempt(self._can_be_encoded, item, on_error=lambda error: False)]
        weight = self._weight(batch) - self._weight(good)
        self._in_flight -= weight
        self.count("dropped:encoding", weight)
        return self._encode(good) if good else None

    def _can_be_encoded(self, item: Any) -> bool:
        self._encode([item])
        return True

    def flush(self, timeout: float) -> bool:
        """Send what is queued now.

        Args:
            timeout: Seconds to wait.

        Returns:
            Whether everything was tried in time.
        """
        if self._task.thread is None and not self._items:
            return True
        return self._task.flush(timeout)

    def begin_close(self, deadline: float) -> None:
        """Accept no more items, and try to send the queued ones until `deadline` (time.monotonic seconds)."""
        self._task.begin_close(deadline)

    def join(self, deadline: float) -> bool:
        """Wait for the sending thread until `deadline` (time.monotonic seconds), then close the destination.

        Returns:
            Whether it has ended.
        """
        if self._items and self._task.thread is None:
            # The thread could not be started, so send here.
            self._work()
        has_ended = self._task.join(deadline)
        if has_ended:
            self.destination.close()
        return has_ended

    def give_up(self) -> None:
        """Stop waiting. Queued items and the batch on its way count as not sent."""
        self._count_unsent(TOO_LATE, "shutdown_timeout", self._take_in_flight())
        self._drop_rest(TOO_LATE)

    def waits_for(self) -> str:
        """What the end of the process waits for, in words."""
        return f"{self.destination.endpoint} to accept {self._unit}"

    def lost(self) -> dict[tuple[str, str], str]:
        """What this process has lost: (receiver or process, reason) → amount, in words."""
        server = server_of(self.destination.endpoint)
        # Copies: other threads may still count.
        lost = {(server, reason): f"{self._unit}: {count}" for reason, count in dict(self.unsent).items()}
        earlier = Counter(dict(self.counts)) - Counter(dict(self._unsent_outcomes))
        earlier.pop("delivered", None)
        if earlier:
            reasons = ((outcome.removeprefix("dropped:"), count) for outcome, count in earlier.items())
            lost[EARLIER] = ", ".join(f"{self._unit} by {reason}: {count}" for reason, count in reasons)
        return lost

    def _drop_rest(self, reason: str) -> None:
        # One by one: the sending thread may do the same, and each item must be counted once.
        count = 0
        try:
            while True:
                count += self._weight([self._items.popleft()])
        except IndexError:
            pass
        self._count_unsent(reason, "unreachable" if reason == UNREACHABLE else "shutdown_timeout", count)
