"""A tutorial's app in one of its forms, running under a real gunicorn, and what it leaves behind."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import brotli
import pytest

from otelflask.testing import FakeCollector
from tests.servers import ROOT, free_port, wait_for_port

#: By hand; with one call of `init`; and the app by hand, unchanged, under ``opentelemetry-instrument``.
FORMS = ("by_hand", "init", "zero_code")
#: The forms that send telemetry.
SENDING = ("init", "zero_code")


_UNPACK = {"gzip": gzip.decompress, "br": brotli.decompress}


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Sink:
    """An HTTP server that keeps the bodies of POST requests."""

    def __init__(self) -> None:
        received: list[tuple[str, bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                unpack = _UNPACK.get(self.headers.get("Content-Encoding", ""))
                body = unpack(body) if unpack is not None else body
                received.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *arguments: object) -> None:
                """Says nothing."""

        self.received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Running:
    """A running app.

    Attributes:
        form: One of `FORMS`.
        folder: Its working directory.
        collector: Where its telemetry arrives, unless it is by hand.
    """

    def __init__(self, form: str, url: str, folder: Path, collector: FakeCollector) -> None:
        self.form = form
        self.folder = folder
        self.collector = collector
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()), _NoRedirects())

    @property
    def is_by_hand(self) -> bool:
        """Whether the answers are made by hand."""
        return self.form != "init"

    def ask(
        self, path: str, method: str = "GET", body: Any = None, form: dict[str, str] | None = None, **headers: str
    ) -> Answer:
        """The response to a request. `body` is sent as JSON, and `form` as a form."""
        data = None
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        elif form is not None:
            data = urllib.parse.urlencode(form).encode()
        elif method == "POST":
            data = b""
        request = urllib.request.Request(self._url + path, data, sent, method=method)
        try:
            with self._opener.open(request, timeout=30) as response:
                return Answer(response.status, dict(response.headers), response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read().decode())

    def page(self, path: str) -> Answer:
        """The response to a browser."""
        return self.ask(path, Accept="text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")

    def lines(self, name: str, containing: str = "", seconds: float = 60.0) -> list[str]:
        """The lines of a file with a text, as soon as there is one."""
        path = self.folder / name

        def found() -> list[str]:
            text = path.read_text("utf-8") if path.exists() else ""
            return [line for line in text.splitlines() if containing in line]

        return eventually(found, seconds)

    def metrics(self) -> dict[str, float]:
        """The samples of `/metrics`, by name with labels in alphabetical order."""
        found = {}
        for line in self.ask("/metrics").text.splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if match and not line.startswith("#"):
                labels = ",".join(sorted((match[2] or "").split(",")))
                found[f"{match[1]}{{{labels}}}" if labels else match[1]] = float(match[3])
        return found

    def records(self, event: str = "", containing: str = "", **attributes: Any) -> list[Any]:
        """Log records that arrived at the collector, as soon as there is one. `__` in a name stands for a dot."""
        wanted = {name.replace("__", "."): value for name, value in attributes.items()}

        def found() -> list[Any]:
            return [
                record
                for record in self.collector.logs
                if record.message.event_name == event
                and containing in record.message.body.string_value
                and wanted.items() <= record.attributes.items()
            ]

        return eventually(found)

    def spans(self, name: str) -> list[Any]:
        """Spans that arrived at the collector, as soon as there is one."""
        return eventually(lambda: [span for span in self.collector.spans if span.name == name])


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        """Leave a redirect as it is."""


def eventually(question: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first answer that is true, else the last one."""
    end = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < end:
        time.sleep(0.05)
    return answer


@contextmanager
def running(name: str, form: str, folder: Path, **variables: str) -> Iterator[Running]:
    """Run an app under gunicorn.

    Args:
        name: The tutorial's package, or a module in the folder.
        form: One of `FORMS`.
        folder: Its working directory.
        **variables: Environment variables; ``FLASK_*`` are the app's configuration.
    """
    package = "with_otelflask" if form == "init" else "by_hand"
    port = free_port()
    command = ["gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "4", "--log-level", "warning"]
    command.append(
        f"{name}:create_app()" if (folder / f"{name}.py").exists() else f"tests.tutorials.{package}.{name}:create_app()"
    )
    if form == "zero_code":
        command.insert(0, "opentelemetry-instrument")
    environment = {
        variable: value
        for variable, value in os.environ.items()
        if not variable.startswith(("OTEL", "PYTEST", "FLASK", "SENTRY", "MAIL", "REDIS"))
    }
    environment |= {
        "PATH": os.path.dirname(sys.executable) + os.pathsep + environment["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error::ResourceWarning",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "300",
        "OTELFLASK_STATE_DIR": str(folder / "state"),
        "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder}/app.sqlite3",
    }
    with FakeCollector() as collector:
        environment |= {**collector.environment(), **variables}
        output = folder / "output.txt"
        with output.open("w") as file:
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            try:
                wait_for_port(port)
            except TimeoutError:
                raise AssertionError(output.read_text()) from None
            yield Running(form, f"http://127.0.0.1:{port}", folder, collector)
        finally:
            process.terminate()
            process.wait(30)


def form_of(request: pytest.FixtureRequest) -> str:
    """The form of a parametrised fixture."""
    return str(request.param)
