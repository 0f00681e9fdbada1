"""Numbered requests from several threads, and what came of each."""

from __future__ import annotations

import re
import socket
import threading
import time
from dataclasses import dataclass

from tests.matrix.apps import PATH

#: What differs from one response to the next, and what otelflask adds.
_DIFFERENT = (b"date:", b"x-request-id:", b"traceresponse:")
_BODY = re.compile(rb"(\d+) (\d+)\n")
#: Seconds until a request counts as unanswered, and the pause after one that found nobody.
_TIMEOUT_S, _PAUSE_S = 10.0, 0.02


@dataclass(frozen=True)
class Answer:
    """An answered request: its worker's process id, and when the answer had come, in time.time seconds."""

    pid: int
    at: float


class Load:
    """Sends ``GET /n/1``, ``GET /n/2`` and so on, until it is stopped.

    Attributes:
        answers: The answers, by number.
        unanswered: The numbers of requests that a server took and did not answer.
        forms: The distinct answers as bytes, without number, process id, date and our headers.
    """

    def __init__(self, port: int, threads: int = 6) -> None:
        self.answers: dict[int, Answer] = {}
        self.unanswered: set[int] = set()
        self.forms: set[bytes] = set()
        self._port = port
        self._next = 0
        self._stopped = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, count: int, seconds: float = 60.0) -> None:
        """Wait until `count` requests more than now have an answer.

        Raises:
            TimeoutError: They have none after `seconds`.
        """
        end = time.monotonic() + seconds
        with self._changed:
            wanted = len(self.answers) + count
            while len(self.answers) < wanted:
                if not self._changed.wait(end - time.monotonic()) and time.monotonic() >= end:
                    raise TimeoutError(f"{wanted - len(self.answers)} of {count} answers are missing after {seconds} s")

    def latest(self, seconds: float) -> list[Answer]:
        """The answers of the last `seconds` before the last one, the last one last."""
        with self._changed:
            found = sorted(self.answers.values(), key=lambda answer: answer.at)
        return [answer for answer in found if answer.at >= found[-1].at - seconds]

    def stop(self) -> None:
        """Send no more, and wait for the answers on their way."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(_TIMEOUT_S + 5)

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                self._next += 1
                number = self._next
            received = self._exchange(number)
            with self._changed:
                self._note(number, received)
                self._changed.notify_all()
            if received is None:
                time.sleep(_PAUSE_S)

    def _exchange(self, number: int) -> bytes | None:
        """The bytes of an answer; None if nobody listened."""
        try:
            connection = socket.create_connection(("127.0.0.1", self._port), _TIMEOUT_S)
        except OSError:
            return None
        received = b""
        with connection:
            try:
                request = f"GET {PATH}{number} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
                connection.sendall(request.encode())
                while piece := connection.recv(65_536):
                    received += piece
            except OSError:
                return b""
        return received

    def _note(self, number: int, received: bytes | None) -> None:
        head, _, body = (received or b"").partition(b"\r\n\r\n")
        found = _BODY.search(body)
        if found is None or int(found[1]) != number:
            if received is None:
                return
            self.unanswered.add(number)
            # A proxy tells of a worker that has ended.
            if body and not head.startswith((b"HTTP/1.1 502", b"HTTP/1.1 503")):
                self.forms.add(received or b"")
            return
        self.answers[number] = Answer(int(found[2]), time.time())
        status, *lines = head.split(b"\r\n")
        kept = sorted(line for line in lines if not line.lower().startswith(_DIFFERENT))
        # A longer number or process id changes the length.
        length = b"content-length: %d" % len(found[0])
        kept = [b"content-length: all" if line.lower() == length else line for line in kept]
        self.forms.add(b"\r\n".join([status, *kept, b"", body.replace(found[0], b"NUMBER PID\n")]))
