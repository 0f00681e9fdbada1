"""The push of log lines to Loki."""

import json
import queue
import threading
import time
from http.client import HTTPException
from urllib.request import Request, urlopen


class LokiPusher:
    """Pushes lines from a queue in a thread; what does not fit in the queue is dropped."""

    def __init__(self, url: str, service: str) -> None:
        self.url = url
        self.service = service
        self.queue: queue.Queue[tuple[str, str, str] | None] = queue.Queue(maxsize=1000)
        self.thread = threading.Thread(target=self.work, name="loki", daemon=True)
        self.thread.start()

    def push(self, level: str, line: str) -> None:
        """Queue one line."""
        try:
            self.queue.put_nowait((level, str(time.time_ns()), line))
        except queue.Full:
            pass

    def work(self) -> None:
        """Push until told to end; a Loki that is away loses lines and disturbs nobody."""
        while (item := self.queue.get()) is not None:
            level, timestamp, line = item
            stream = {"service": self.service, "level": level}
            body = json.dumps({"streams": [{"stream": stream, "values": [[timestamp, line]]}]}).encode()
            try:
                with urlopen(Request(self.url, body, {"Content-Type": "application/json"}), timeout=2):
                    pass
            except (OSError, HTTPException):
                pass

    def close(self) -> None:
        """Push what is queued, and end the thread."""
        self.queue.put(None)
        self.thread.join(timeout=5)
