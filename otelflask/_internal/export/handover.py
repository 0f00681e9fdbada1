"""What ends in the app's threads is handed over here, and an exporting thread makes its telemetry of it.

The app's thread appends one flat tuple (see ``sdk.flat_items``). The exporting thread makes the views of
the tuple: encoded spans and log records, points of metrics. While it runs Python code, no other thread
does. So it works in small pieces, and pauses between them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from otelflask._internal import guard
from otelflask._internal.lifecycle.background_task import BackgroundTask
from otelflask._internal.locks import new_rlock
from otelflask._internal.sdk.flat_items import Flat

#: The most seconds that something waits here.
INTERVAL_S = 1.0
#: At this number of waiting items the thread begins earlier.
WAKE_AT = 64
#: Items of one piece, and the seconds of the pause after it. A piece takes less than a millisecond.
PIECE = 32
PAUSE_S = 0.000_5
#: Above this number of waiting items, a thread that appends one makes some views itself.
CAPACITY = 4_096

#: Makes the views of an item, whose first element is the number of this function.
View = Callable[[Flat], None]
#: Counts an item whose view has raised.
Lost = Callable[[Flat, Exception], object]


class Handover:
    """Flat items on their way from the app's threads to their views.

    Nothing is dropped here: where the exporting thread does not get its turn, the app's threads help.
    """

    def __init__(self) -> None:
        self._views: list[View] = []
        self._losts: list[Lost] = []
        # Re-entrant: a signal handler may interrupt the thread that holds it, and flush.
        self._lock = new_rlock()
        self._task = BackgroundTask("handover", self._work, INTERVAL_S)
        self._items: deque[Flat] = deque()
        self.after_fork()

    def after_fork(self, is_heir: bool = False) -> None:
        """Start again in a forked child.

        Args:
            is_heir: Whether the child makes the views of what its parent has handed over. Otherwise the parent
                makes them.
        """
        if not is_heir:
            self._items = deque()
        #: The item whose views are made.
        self._item: Flat = ()
        self._is_woken = False
        self._is_closed = False
        self._task.after_fork(start=bool(self._items))

    def add_view(self, view: View, lost: Lost) -> int:
        """Add a kind of items.

        Args:
            view: Makes their views.
            lost: Called where that raises.

        Returns:
            The first element of these items.
        """
        self._views.append(view)
        self._losts.append(lost)
        return len(self._views) - 1

    def __len__(self) -> int:
        return len(self._items)

    def append(self, item: Flat) -> None:
        """Hand an item over."""
        items = self._items
        items.append(item)
        if self._is_closed:
            # Its queue counts it.
            self.drain()
            return
        if self._task.thread is None:
            self._task.start()
        waiting = len(items)
        if waiting >= WAKE_AT:
            if not self._is_woken:
                self._is_woken = True
                self._task.wake()
            if waiting > CAPACITY:
                self._make_some(PIECE)

    def _work(self) -> float:
        self._is_woken = False
        for _ in range(0, len(self._items), PIECE):
            self._make_some(PIECE)
            if not self._is_closed:
                time.sleep(PAUSE_S)
        return INTERVAL_S

    def _make_some(self, count: int) -> None:
        with self._lock:
            guard.attempt(self._make_each, count, on_error=self._lose)

    def _make_each(self, count: int) -> None:
        items, views = self._items, self._views
        for _ in range(count):
            try:
                item = self._item = items.popleft()
            except IndexError:
                return
            views[item[0]](item)

    def _lose(self, error: Exception) -> None:
        # Once for all items of a piece, because a guard around each would cost as much as what it guards. The rest of
        # the piece waits for the next one.
        guard.call_hook("count of lost telemetry", self._losts[self._item[0]], self._item, error)

    def drain(self) -> None:
        """Make the views of all that waits now, in this thread."""
        # A view that raises costs its own item, and not the rest.
        for _ in range(len(self._items)):
            if not self._items:
                return
            self._make_some(len(self._items))

    def close(self) -> None:
        """Make the remaining views. What comes afterwards gets its views at once."""
        self._is_closed = True
        self._task.begin_close(time.monotonic())
        self.drain()
