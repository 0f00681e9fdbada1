"""Count the different users of the last 5 and 15 minutes, over all workers of a machine.

Each process counts its own users a minute, and writes the counters to a file beside those of the
others whenever metrics are collected. Then it reports the union of all files. No user's name is
stored or sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import CallbackOptions, Observation

from otelflask._internal import attribute_names, clock, guard
from otelflask._internal.instrumentation.users.hyperloglog import SIZE, HyperLogLog
from otelflask._internal.locks import new_lock
from otelflask._internal.observers import RequestObserver
from otelflask._internal.request_record import RequestRecord
from otelflask._internal.settings import SettingError
from otelflask._internal.shared_folder import SharedFolder
from otelflask._internal.version import __version__

#: The reported windows: ``otelflask.window`` → minutes.
WINDOWS = {"5m": 5, "15m": 15}
_MINUTES = max(WINDOWS.values()) + 1
#: A minute's number, and its counter's registers.
_ENTRY = struct.Struct(f">Q{SIZE}s")


class ActiveUsers(RequestObserver):
    """Counts active users.

    Args:
        meter_provider: Where they are measured.
        folder: The folder that the workers share. It is made when there is something to share.
        service: What the workers of one app have in common.
        now: Returns epoch seconds.
    """

    def __init__(
        self, meter_provider: Any, folder: SharedFolder, service: str, now: Callable[[], float] = clock.epoch_seconds
    ) -> None:
        self._now = now
        self._folder = folder
        name = hashlib.blake2b(service.encode(), digest_size=8).hexdigest()
        self._prefix = f"users-{name}-"
        self._lock = new_lock()
        self.after_fork()
        meter_provider.get_meter("otelflask.users", __version__).create_observable_gauge(
            "otelflask.users.active",
            callbacks=[self._observe],
            unit="{user}",
            description="Different users in the last minutes, in all workers of a machine.",
        )

    def after_fork(self) -> None:
        self._minutes: dict[int, HyperLogLog] = {}
        self._name = f"{self._prefix}{os.getpid()}"
        self._written = False
        self._any = False

    def closed(self, record: RequestRecord) -> None:
        if record.user_id is not None:
            self.seen(record.user_id)

    def seen(self, user_id: str) -> None:
        """Count a user's request."""
        minute = int(self._now() // 60)
        with self._lock:
            counter = self._minutes.get(minute)
            if counter is None:
                counter = self._minutes[minute] = HyperLogLog()
                for old in [known for known in self._minutes if known <= minute - _MINUTES]:
                    del self._minutes[old]
            counter.add(user_id)

    def _observe(self, options: CallbackOptions) -> Iterable[Observation]:
        now = int(self._now() // 60)
        with self._lock:
            own = {minute: bytes(counter.registers) for minute, counter in self._minutes.items()}
        if own or self._written:
            self._write(own)
        found = [*self._others(), *own.items()]
        self._any = self._any or bool(found)
        if not self._any:
            # An app without users has no such metric.
            return
        for window, minutes in WINDOWS.items():
            union = HyperLogLog()
            for minute, registers in found:
                # The current minute, and those before it.
                if now - minutes < minute <= now:
                    union.join(registers)
            yield Observation(union.count(), {attribute_names.WINDOW: window})

    def _write(self, own: dict[int, bytes]) -> None:
        try:
            self._folder.write(self._name, b"".join(_ENTRY.pack(*item) for item in own.items()))
            self._written = True
        except (OSError, SettingError) as error:
            guard.log("users", "active users of this worker cannot be shared with the others: %s", error)

    def _others(self) -> list[tuple[int, bytes]]:
        """The counters of the other workers. Files that nobody writes any more are removed."""
        found: list[tuple[int, bytes]] = []
        for name in self._folder.names(self._prefix):
            if name == self._name:
                continue
            with contextlib.suppress(OSError):
                if time.time() - self._folder.changed(name) > _MINUTES * 60:
                    self._folder.remove(name)
                    continue
                data = self._folder.read(name) or b""
                if len(data) % _ENTRY.size == 0:
                    found += _ENTRY.iter_unpack(data)
        return found
