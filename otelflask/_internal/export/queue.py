"""A bounded queue with one sending thread: nothing is lost without being counted.

Requests only append. The thread encodes and sends; what a receiver cannot
take now is kept and tried again with growing pauses, while new items wait in
the queue; what does not fit is dropped and counted with its reason. The
standard ``OTEL_BSP_*`` and ``OTEL_BLRP_*`` variables set the sizes.
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

#: A batch that was refused for this long, in seconds, is dropped and counted.
MAX_RETRY_AGE_S = 300.0
MAX_BACKOFF_S = 30.0
#: Seconds before the end of the process at which the last try ends.
MARGIN_S = 0.1
#: Why something is not sent at the end.
UNREACHABLE, TOO_LATE = "cannot be reached, and has taken nothing before", "has not taken it in time"
#: Servers that have taken something from this process, or from the one that it was forked from.
_have_taken: set[str] = set()


@dataclass(frozen=True, slots=True)
class QueueSizes:
    """`schedule_delay` and `export_timeout` in seconds, the others in items."""

    max_queue: int = 2_048
    max_batch: int = 512
    schedule_delay: float = 5.0
    export_timeout: float = 10.0


def _ignore(outcome: str, count: int) -> None:
    """Nobody listens."""


class ExportQueue:
    """Items of one signal on their way to one destination.

    `encode` runs in the sending thread. `counts` holds what became of every
    item: ``delivered``, ``rejected``, and ``dropped:<reason>``. `weigh` says
    how much an item counts, such as the data points of a collection; None: 1.
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
        #: Items that were there at the end and were not sent, by reason.
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
        """Start anew in a forked child: the parent sends what the parent queued."""
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
        """Most items that wait at the same time."""
        return self._sizes.max_queue

    def append(self, item: Any) -> None:
        """Queue an item. Never blocks; a full or closed queue drops the item and counts it."""
        items = self._items
        if self._worker.closing_at is not None:
            self._count("dropped:already_shutdown", self._weight([item]))
            return
        if len(items) >= self._sizes.max_queue:
            self._count("dropped:queue_full", self._weight([item]))
            guard.say(f"full:{self.name}", "the %s queue is full; items are dropped and counted", self.name)
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
        # Only what was there at the start: a steady stream must not keep a flush from ending.
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
        """Whatever delivery has met, the thread goes on."""
        self._count(f"dropped:{type(error).__name__}", self._settled())
        guard.say(f"deliver:{self.name}", "%s cannot be sent", self.name, exc_info=error)
        return True

    def _deliver(self, batch: list[Any]) -> bool:
        """Send a batch, however often it takes. Out: False where there is nobody to send anything to, at the end."""
        self._in_flight = self._weight(batch)
        payload = self._encoded(batch)
        if payload is None:
            return True
        started = time.monotonic()
        pause = 0.5
        while True:
            # An answer that does not come is noticed before whoever ends the process gives up.
            answer = self.destination.send(
                payload, min(self._sizes.export_timeout, self._worker.remaining() - MARGIN_S)
            )
            if answer.delivered or not answer.retry:
                self._answered(answer)
                return True
            closing = self._worker.closing_at is not None
            if closing and answer.unreachable and server_of(self.destination.endpoint) not in _have_taken:
                # Nobody was ever there: in all likelihood nobody will be, before the process has to end.
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
        """Count what the receiver has decided on."""
        count = self._settled()
        if not answer.delivered:
            self._count(f"dropped:{answer.error or 'refused'}", count)
            endpoint = self.destination.endpoint
            guard.say(f"refused:{self.name}", "%s refused %d %s: %s", endpoint, count, self.name, answer.error)
            return
        _have_taken.add(server_of(self.destination.endpoint))
        rejected = min(answer.rejected, count)
        self._count("delivered", count - rejected)
        if rejected:
            self._count("rejected", rejected)
            guard.say(f"rejected:{self.name}", "the receiver rejected %d %s", rejected, self.name)

    def _settled(self) -> int:
        """How much of the batch on its way is to be counted: nothing where it was given up meanwhile."""
        with self._counting:
            count, self._in_flight = self._in_flight, 0
            return count

    def _lose(self, why: str, error: str, count: int) -> None:
        """Count what the end of the process leaves. In: why in words, and the reason that is counted."""
        if count:
            self._count(f"dropped:{error or 'unreachable'}", count)
            self.unsent[why] += count

    def _wait_to_try_again(self, wait: float, answer: Answer) -> None:
        """In: seconds, which the end of the process cuts short unless the receiver has asked for them."""
        if self._worker.closing_at is None:
            guard.say(
                f"unreachable:{self.name}",
                "%s does not take %s now: %s; trying again",
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
        """What is sent of the batch; None where nothing of it can be encoded."""
        with guard.saying(f"encode:{self.name}", "an item of %s cannot be encoded", self.name):
            return self._encode(batch)
        # One bad item must not cost the others: find out which can be sent.
        good = [item for item in batch if guard.attempt(self._can_be_encoded, item, instead=lambda error: False)]
        weight = self._weight(batch) - self._weight(good)
        self._in_flight -= weight
        self._count("dropped:encoding", weight)
        return self._encode(good) if good else None

    def _can_be_encoded(self, item: Any) -> bool:
        self._encode([item])
        return True

    def flush(self, timeout: float) -> bool:
        """Send what is queued now. In: seconds to wait. Out: whether it was all tried in time."""
        if self._worker.thread is None and not self._items:
            return True
        return self._worker.flush(timeout)

    def begin_close(self, deadline: float) -> None:
        """Take no more items and try to send the rest until `deadline` (time.monotonic seconds)."""
        self._worker.begin_close(deadline)

    def join(self, deadline: float) -> bool:
        """Wait for the sending thread until `deadline`. Out: whether it has ended."""
        if self._items and self._worker.thread is None:
            # It could not be started: here, then.
            self._work()
        return self._worker.join(deadline)

    def give_up(self) -> None:
        """Wait no longer: what is left, and what is on its way, is counted as not sent."""
        self._lose(TOO_LATE, "shutdown_timeout", self._settled())
        self._drop_rest(TOO_LATE)

    def waits_for(self) -> str:
        """What the end of the process waits for, in words."""
        return f"{self.destination.endpoint} to take {self.name}"

    def lost(self) -> dict[tuple[str, str], str]:
        """What the end of the process has left since it was asked last: receiver and why → how much of what."""
        server = server_of(self.destination.endpoint)
        unsent, self.unsent = self.unsent, Counter()
        return {(server, why): f"{self._counted}: {count}" for why, count in unsent.items()}

    def _drop_rest(self, why: str) -> None:
        # Taken out one by one: the sending thread may be doing the same, and each item counts once.
        count = 0
        try:
            while True:
                count += self._weight([self._items.popleft()])
        except IndexError:
            pass
        self._lose(why, "unreachable" if why == UNREACHABLE else "shutdown_timeout", count)
