"""Errors of a shop with four workers: what a receiver gets, and a mailbox."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from otelflask.testing import FakeCollector
from tests.mailbox import Mailbox
from tests.stack import driver

from .conftest import Serve

pytestmark = pytest.mark.slow

SHOP = [
    "gunicorn",
    "--bind",
    "127.0.0.1:{port}",
    "--workers",
    "4",
    "--graceful-timeout",
    "5",
    "--log-level",
    "critical",
]
GEVENT = ["gunicorn", "--bind", "127.0.0.1:{port}", "--preload", "--worker-class", "gevent", "--log-level", "critical"]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.stop()


def test_fifty_errors_from_two_call_sites_in_four_workers_are_two_groups_and_two_mails(
    serve: Serve, fake_collector: FakeCollector, mailbox: Mailbox, tmp_path: Path
) -> None:
    server = serve(
        [*SHOP, "otelflask.demo.shop:create_app()"],
        fake_collector,
        SHOP_DATABASE_URL=f"sqlite:///{tmp_path / 'shop.sqlite3'}",
        # Whichever worker gets the requests, it may report each of them.
        OTELFLASK_REPORTS_PER_MINUTE="50",
        OTELFLASK_MAIL_TO="team@shop.example",
        OTELFLASK_MAIL_FROM="shop@shop.example",
        OTELFLASK_MAIL_SERVER=f"127.0.0.1:{mailbox.port}",
        OTELFLASK_MAIL_SECURITY="none",
        OTELFLASK_STATE_DIR=str(tmp_path / "state"),
    )
    paths = ["/simulate-error", "/simulate-error?at=checkout"] * 25
    with ThreadPoolExecutor(8) as pool:

        def several_workers_answer() -> bool:
            # Otherwise the first worker that is ready would get all errors.
            list(pool.map(lambda path: driver.request(server.url, path), ["/ping"] * 8))
            return len({span.resource["process.pid"] for span in fake_collector.spans}) > 2

        fake_collector.wait_for(several_workers_answer, timeout=30)
        sent = list(pool.map(lambda path: driver.request(server.url, path), paths))
    assert {request.status for request in sent} == {500}
    server.stop()

    counts: Counter[str] = Counter()
    for record in fake_collector.logs:
        if record.message.event_name == "otelflask.error_group":
            counts[str(record.attributes["otelflask.error.fingerprint"])] += int(
                record.attributes["otelflask.error.count"]
            )  # type: ignore[call-overload]
    assert list(counts.values()) == [25, 25]

    reports = [record for record in fake_collector.logs if record.message.event_name == "exception"]
    assert {record.attributes["otelflask.error.fingerprint"] for record in reports} == set(counts)
    # All of them are reported, each with the trace of its request.
    assert {record.message.trace_id.hex() for record in reports} == {request.trace_id for request in sent}
    assert len({record.resource["process.pid"] for record in reports}) > 1

    mailed = [message.get_content() for message in mailbox.mails]
    assert sorted(group for group in counts for text in mailed if group in text) == sorted(counts)


def test_parallel_errors_of_a_gevent_worker_are_all_answered(
    serve: Serve, fake_collector: FakeCollector, tmp_path: Path
) -> None:
    # With --preload, locks are made before gevent makes them its own.
    pytest.importorskip("gevent")
    server = serve(
        [*GEVENT, "otelflask.demo.shop:create_app()"],
        fake_collector,
        SHOP_DATABASE_URL=f"sqlite:///{tmp_path / 'shop.sqlite3'}",
    )
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda path: driver.request(server.url, path), ["/simulate-error"] * 24))
    assert [request.status for request in sent] == [500] * 24
    assert driver.request(server.url, "/ping").status == 200


_ONE_ERROR = """
import flask, otelflask
app = flask.Flask("shop")
app.add_url_rule("/x", "x", lambda: 1 / 0)
otelflask.init(app, runtime_metrics=False)
app.test_client().get("/x")
"""


def test_what_a_real_sentry_is_owed_is_sent_before_the_process_ends() -> None:
    received: list[str] = []

    class Sentry(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            received.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Sentry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST"))}
        for signal in ("TRACES", "METRICS", "LOGS"):
            environment[f"OTEL_{signal}_EXPORTER"] = "none"
        environment["SENTRY_DSN"] = f"http://key@127.0.0.1:{server.server_port}/1"
        done = subprocess.run([sys.executable, "-c", _ONE_ERROR], env=environment, capture_output=True, timeout=60)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert received == ["/api/1/envelope/"]
