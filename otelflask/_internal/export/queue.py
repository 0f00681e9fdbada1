"""A bounded queue with one sending thread. Nothing is lost without being counted.

Requests only append. The thread encodes and sends. When a receiver refuses a batch for now, it is
kept and sent again after growing pauses, while new items wait in the queue. What does not fit is
dropped and counted with its reason. The standard ``OTEL_BSP_*`` and ``OTEL_BLRP_*`` variables set
the sizes.
"""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from otelflask._internal import guard
from otelflask._internal.export.destinations import Answer, Destination, server_of
from otelflask._internal.lifecycle.worker import Worker
from otelflask._internal.locks import new_lock

#: Seconds after which a batch that was refused again and again is dropped and counted.
MAX_RETRY_AGE_S = 300.0
MAX_BACKOFF_S = 30.0
#: Seconds between the end of the last attempt and the end of the process.
MARGIN_S = 0.1
#: Why something is not sent at the end.
UNREACHABLE, TOO_LATE = "cannot be reached, and never accepted anything", "has not taken it in time"
#: The servers that took something from this process, or from its parent before the fork.
_have_taken: set[str] = set()


@dataclass(frozen=True, slots=True)
class QueueSizes:
    """The sizes of a queue: `schedule_delay` and `export_timeout` in seconds, the others in items."""

    max_queue: int = 2_048
    max_batch: int = 512
    schedule_delay: float = 5.0
    export_timeout: float = 10.0


def _ignore(outcome: str, count: int) -> None:
    """Ignore an outcome."""


class ExportQueue:
    """Items of one signal on their way to one destination.

    `counts` has the outcome of every item: ``delivered``, ``rejected``, and ``dropped:<reason>``.

    Args:
        name: The signal, in words.
        encode: Encodes a batch; it runs in the sending thread.
        destination: Sends a batch.
        sizes: The sizes.
        weigh: How much an item counts, such as the data points of a collection (default: 1).
    """

    def __init__(
        self,
        name: str,
        encode: Callable[[Sequence[Any]], Any],
        destination: Destination,
        sizes: QueueSizes,
        weigh: Callable[[Any], int] | None = None,
    ) -> None:
        self.name = name
        self.destination = destination
        self.counts: Counter[str] = Counter()
        #: Items that were not sent before the end, by reason.
        self.unsent: Counter[str] = Counter()
        self._encode = encode
        self._weigh = weigh
        #: What is counted, in words.
        self._counted = name if weigh is None else "metric data points"
        self._sizes = sizes
        #: Called with each outcome and its count.
        self.on_result: Callable[[str, int], None] = _ignore
        self._items: deque[Any] = deque()
        self._worker = Worker(name, self._work, sizes.schedule_delay)
        self._in_flight = 0
        self._counting = new_lock()
        self._awake = False

    def after_fork(self) -> None:
        """Start again in a forked child. The parent sends what it queued."""
        self.counts = Counter()
        self.unsent = Counter()
        self._items = deque()
        self._worker.after_fork()
        self._in_flight = 0
        self._awake = False
        self.destination.reconnect()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def capacity(self) -> int:
        """The most items that wait at the same time."""
        return self._sizes.max_queue

    def append(self, item: Any) -> None:
        """Queue an item. Never blocks: a full or closed queue drops the item and counts it."""
        items = self._items
        if self._worker.closing_at is not None:
            self._count("dropped:already_shutdown", self._weight([item]))
            return
        if len(items) >= self._sizes.max_queue:
            self._count("dropped:queue_full", self._weight([item]))
            guard.log(f"full:{self.name}", "the %s queue is full; items are dropped and counted", self.name)
            return
        items.append(item)
        if self._worker.thread is None:
            self._worker.start()
        elif len(items) >= self._sizes.max_batch and not self._awake:
            self._awake = True
            self._worker.wake()

    def _weight(self, items: Sequence[Any]) -> int:
        return len(items) if self._weigh is None else sum(map(self._weigh, items))

    def _count(self, outcome: str, count: int) -> None:
        if count:
            self.counts[outcome] += count
            self.on_result(outcome, count)

    def _work(self) -> float:
        self._awake = False
        is_last = self._worker.closing_at is not None
        self._drain()
        if is_last:
            self._drop_rest(TOO_LATE)
        return self._sizes.schedule_delay

    def _drain(self) -> None:
        # Only what was there at the start: a steady stream must not prolong a flush.
        left = len(self._items)
        while left > 0 and self._worker.remaining() > 0:
            batch: list[Any] = []
            try:
                while left > 0 and len(batch) < self._sizes.max_batch:
                    batch.append(self._items.popleft())
                    left -= 1
            except IndexError:
                left = 0
            if batch and not guard.attempt(self._deliver, batch, instead=self._undelivered):
                self._drop_rest(UNREACHABLE)
                return
            if self._worker.closing_at is not None:
                left = len(self._items)

    def _undelivered(self, error: Exception) -> bool:
        """Count a batch whose delivery raised. The thread goes on."""
        self._count(f"dropped:{type(error).__name__}", self._settled())
        guard.log(f"deliver:{self.name}", "%s cannot be sent", self.name, exc_info=error)
        return True

    def _deliver(self, batch: list[Any]) -> bool:
        """Send a batch, with as many attempts as it takes.

        Returns:
            False at the end, where there is nobody to send to.
        """
        self._in_flight = self._weight(batch)
        payload = self._encoded(batch)
        if payload is None:
            return True
        started = time.monotonic()
        pause = 0.5
        while True:
            # A missing answer is noticed before the process's end gives up.
            answer = self.destination.send(
                payload, min(self._sizes.export_timeout, self._worker.remaining() - MARGIN_S)
            )
            if answer.delivered or not answer.retry:
                self._answered(answer)
                return True
            closing = self._worker.closing_at is not None
            if closing and answer.unreachable and server_of(self.destination.endpoint) not in _have_taken:
                # Nobody was ever there, and most likely nobody will be before the process has to end.
                self._lose(UNREACHABLE, answer.error, self._settled())
                return False
            wait = answer.retry_after if answer.retry_after is not None else pause * random.uniform(0.8, 1.2)
            pause = min(pause * 2, MAX_BACKOFF_S)
            if closing and self._worker.remaining() <= wait:
                self._lose(TOO_LATE, answer.error, self._settled())
                return True
            if not closing and time.monotonic() - started + wait >= MAX_RETRY_AGE_S:
                self._count(f"dropped:{answer.error or 'unreachable'}", self._settled())
                return True
            self._wait_to_try_again(wait, answer)

    def _answered(self, answer: Answer) -> None:
        """Count what the receiver has decided."""
        count = self._settled()
        if not answer.delivered:
            self._count(f"dropped:{answer.error or 'refused'}", count)
            endpoint = self.destination.endpoint
            guard.log(f"refused:{self.name}", "%s refused %d %s: %s", endpoint, count, self.name, answer.error)
            return
        _have_taken.add(server_of(self.destination.endpoint))
        rejected = min(answer.rejected, count)
        self._count("delivered", count - rejected)
        if rejected:
            self._count("rejected", rejected)
            guard.log(f"rejected:{self.name}", "the receiver rejected %d %s", rejected, self.name)

    def _settled(self) -> int:
        """How much of the current batch is still to be counted: nothing where it was given up meanwhile."""
        with self._counting:
            count, self._in_flight = self._in_flight, 0
            return count

    def _lose(self, reason: str, error: str, count: int) -> None:
        """Count what is not sent before the process ends.

        Args:
            reason: The reason, in words.
            error: The reason, as it is counted.
            count: How much.
        """
        if count:
            self._count(f"dropped:{error or 'unreachable'}", count)
            self.unsent[reason] += count

    def _wait_to_try_again(self, wait: float, answer: Answer) -> None:
        """Wait before another attempt.

        Args:
            wait: Seconds. The process's end cuts them short, unless the receiver asked for them.
            answer: The last answer.
        """
        if self._worker.closing_at is None:
            guard.log(
                f"unreachable:{self.name}",
                "%s does not accept %s now: %s; trying again",
                self.destination.endpoint,
                self.name,
                answer.error,
            )
            left = self._worker.pause(wait)
            if answer.retry_after is None:
                return
            wait = left
        time.sleep(max(0.0, min(wait, self._worker.remaining())))

    def _encoded(self, batch: list[Any]) -> Any:
        """Encode a batch; None where nothing of it can be encoded."""
        with guard.log_errors(f"encode:{self.name}", "an item of %s cannot be encoded", self.name):
            return self._encode(batch)
        # One bad item must not cost the others: find those that can be sent.
        good = [item for item in batch if guard.attempt(self._can_be_encoded, item, instead=lambda error: False)]
        weight = self._weight(batch) - self._weight(good)
        self._in_flight -= weight
        self._count("dropped:encoding", weight)
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
        if self._worker.thread is None and not self._items:
            return True
        return self._worker.flush(timeout)

    def begin_close(self, deadline: float) -> None:
        """Accept nothing more, and try the rest until `deadline` (time.monotonic seconds)."""
        self._worker.begin_close(deadline)

    def join(self, deadline: float) -> bool:
        """Wait for the sending thread until `deadline` (time.monotonic seconds).

        Returns:
            Whether it has ended.
        """
        if self._items and self._worker.thread is None:
            # The thread could not be started, so send here.
            self._work()
        return self._worker.join(deadline)

    def give_up(self) -> None:
        """Stop waiting. What is left, and what is on its way, counts as not sent."""
        self._lose(TOO_LATE, "shutdown_timeout", self._settled())
        self._drop_rest(TOO_LATE)

    def waits_for(self) -> str:
        """What the end of the process waits for, in words."""
        return f"{self.destination.endpoint} to take {self.name}"

    def lost(self) -> dict[tuple[str, str], str]:
        """What was not sent since the last call: (receiver, reason) → amount, in words."""
        server = server_of(self.destination.endpoint)
        unsent, self.unsent = self.unsent, Counter()
        return {(server, reason): f"{self._counted}: {count}" for reason, count in unsent.items()}

    def _drop_rest(self, reason: str) -> None:
        # One by one: the sending thread may do the same, and each item must be counted once.
        count = 0
        try:
            while True:
                count += self._weight([self._items.popleft()])
        except IndexError:
            pass
        self._lose(reason, "unreachable" if reason == UNREACHABLE else "shutdown_timeout", count)
