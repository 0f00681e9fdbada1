"""Errors of a shop with four workers: what arrives at a receiver, and in a mail box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
        OTELFLASK_MAIL_TO="team@shop.example",
        OTELFLASK_MAIL_FROM="shop@shop.example",
        OTELFLASK_MAIL_SERVER=f"127.0.0.1:{mailbox.port}",
        OTELFLASK_MAIL_SECURITY="none",
        OTELFLASK_STATE_DIR=str(tmp_path / "state"),
    )
    paths = ["/simulate-error", "/simulate-error?at=checkout"] * 25
    with ThreadPoolExecutor(8) as pool:
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
    # Below the limit of each process: all of them are whole, each with the trace of its request.
    assert {record.message.trace_id.hex() for record in reports} == {request.trace_id for request in sent}
    assert len({record.resource["process.pid"] for record in reports}) > 1

    mailed = [message.get_content() for message in mailbox.mails]
    assert sorted(group for group in counts for text in mailed if group in text) == sorted(counts)
