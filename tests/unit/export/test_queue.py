"""What happens to queued items, whatever the receiver answers."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from otelflask._internal.export.closing import close
from otelflask._internal.export.destinations import GrpcDestination, HttpDestination, SendResult
from otelflask._internal.export.otlp_encoder import Encoder
from otelflask._internal.export.queue import ExportQueue, QueueOptions
from otelflask._internal.limits import Limits
from otelflask._internal.redaction import Scrubber
from otelflask._internal.sdk.spans import SpanStarter
from otelflask.testing import FakeCollector, Reply
from tests.otlp import encoded_spans

Send = Callable[[int], None]


@pytest.fixture(params=["http", "grpc"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def queue(fake_collector: FakeCollector, protocol: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExportQueue]:
    for name, value in fake_collector.environment("grpc" if protocol == "grpc" else "http/protobuf").items():
        monkeypatch.setenv(name, value)
    destination: Any = GrpcDestination("traces") if protocol == "grpc" else HttpDestination("traces")
    encode = functools.partial(encoded_spans, Encoder(Scrubber(), Limits()))
    queue = ExportQueue("spans", encode, destination, QueueOptions(50, 10, 0.05))
    yield queue
    queue.begin_close(time.monotonic() + 1)
    queue.join(time.monotonic() + 2)
    destination.close()


@pytest.fixture
def send(queue: ExportQueue) -> Send:
    starter = SpanStarter(TracerProvider(shutdown_on_exit=False).get_tracer("test"))

    def send(count: int) -> None:
        for n in range(count):
            span: Any = starter.start(f"span {n}", SpanKind.INTERNAL, (), 1)
            span.end(2)
            queue.append(span)

    return send


def settled(queue: ExportQueue, count: int) -> dict[str, int]:
    end = time.monotonic() + 60
    while sum(queue.counts.values()) < count:
        assert time.monotonic() < end, queue.counts
        time.sleep(0.02)
    return dict(queue.counts)


def test_everything_arrives_once(queue: ExportQueue, send: Send, fake_collector: FakeCollector) -> None:
    send(35)
    assert settled(queue, 35) == {"delivered": 35}
    assert sorted(s.name for s in fake_collector.spans) == sorted(f"span {n}" for n in range(35))


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_is_busy_gets_it_later(
    queue: ExportQueue, send: Send, fake_collector: FakeCollector, status: int
) -> None:
    fake_collector.script.extend([Reply(status, {"Retry-After": "0.1"})] * 2)
    send(5)
    assert settled(queue, 5) == {"delivered": 5}
    assert fake_collector.attempts == 3


def test_a_refusal_is_counted_with_its_reason(
    queue: ExportQueue, send: Send, fake_collector: FakeCollector, protocol: str
) -> None:
    fake_collector.script.append(Reply(400))
    send(5)
    reason = "INVALID_ARGUMENT" if protocol == "grpc" else "400"
    assert settled(queue, 5) == {f"dropped:{reason}": 5}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(302, {"Location": "/login"}), "302"),
        (Reply(200, body=b"<html>log in</html>"), "not_otlp"),
        (Reply(500), "500"),
    ],
)
@pytest.mark.parametrize("protocol", ["http"], indirect=True)
def test_an_answer_that_is_not_otlp_is_a_failure(
    queue: ExportQueue, send: Send, fake_collector: FakeCollector, reply: Reply, reason: str
) -> None:
    fake_collector.script.append(reply)
    send(5)
    assert settled(queue, 5) == {f"dropped:{reason}": 5}


@pytest.mark.parametrize("protocol", ["http"], indirect=True)
def test_a_partial_success_counts_what_was_rejected(
    queue: ExportQueue, send: Send, fake_collector: FakeCollector
) -> None:
    fake_collector.script.append(Reply(rejected=2))
    send(5)
    assert settled(queue, 5) == {"delivered": 3, "rejected": 2}


def test_a_full_queue_drops_and_counts(queue: ExportQueue, send: Send, fake_collector: FakeCollector) -> None:
    fake_collector.default = Reply(503)
    send(200)
    assert queue.counts["dropped:queue_full"] >= 130


@pytest.mark.parametrize("protocol", ["http"], indirect=True)
def test_one_item_that_cannot_be_encoded_does_not_cost_the_others(
    queue: ExportQueue, send: Send, fake_collector: FakeCollector
) -> None:
    queue.append(object())
    send(4)
    assert settled(queue, 5) == {"dropped:encoding": 1, "delivered": 4}


def test_closing_with_a_hanging_receiver_ends_in_time_and_counts(
    queue: ExportQueue, send: Send, fake_collector: FakeCollector
) -> None:
    fake_collector.default = Reply(hang=True)
    send(30)
    deadline = time.monotonic() + 0.5
    queue.begin_close(deadline)
    queue.join(deadline)
    # The receiver hangs for a minute.
    assert time.monotonic() < deadline + 30
    assert queue.flush(3.0)
    assert sum(queue.counts.values()) == 30
    assert queue.counts["delivered"] == 0
    send(1)
    assert queue.counts["dropped:already_shutdown"] == 1


def test_flush_sends_what_is_queued(queue: ExportQueue, send: Send, fake_collector: FakeCollector) -> None:
    send(3)
    assert queue.flush(5.0)
    assert len(fake_collector.spans) == 3


class Odd:
    """A destination that raises, which ours never do."""

    component_type = "odd"
    endpoint = "http://[::1:4318"

    def __init__(self) -> None:
        self.calls = 0

    def send(self, payload: Any, timeout: float) -> SendResult:
        self.calls += 1
        if self.calls == 1:
            raise RuntimeError("no lock")
        return SendResult(True)

    def close(self) -> None:
        """Nothing is open."""

    def reconnect(self) -> None:
        """Nothing is open."""


def test_a_destination_that_raises_costs_its_batch_and_no_more() -> None:
    queue = ExportQueue("things", list, Odd(), QueueOptions(50, 1, 0.02))
    for n in range(3):
        queue.append(n)
    assert settled(queue, 3) == {"dropped:RuntimeError": 1, "delivered": 2}
    close([queue], time.monotonic() + 5)


def test_what_has_no_thread_is_sent_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    destination = Odd()
    destination.calls = 1
    queue = ExportQueue("things", list, destination, QueueOptions(50, 10, 0.02))
    queue.append(1)
    assert not queue.flush(1.0)
    close([queue], time.monotonic() + 5)
    assert queue.counts == {"delivered": 1}


class _Closable(Odd):
    def __init__(self) -> None:
        self.calls: list[str] = []

    def send(self, payload: Any, timeout: float) -> SendResult:
        self.calls.append("send")
        return SendResult(True)

    def close(self) -> None:
        self.calls.append("close")


def test_the_end_closes_the_destination_after_the_last_batch() -> None:
    destination = _Closable()
    queue = ExportQueue("things", list, destination, QueueOptions(10, 10, 60.0))
    queue.append("item")
    close([queue], time.monotonic() + 5)
    assert destination.calls == ["send", "close"]


def test_the_last_log_line_has_what_was_dropped_before(caplog: pytest.LogCaptureFixture) -> None:
    destination = Odd()
    destination.calls = 1
    queue = ExportQueue("things", list, destination, QueueOptions(2, 2, 60.0))
    queue.count("dropped:queue_full", 3)
    queue.count("dropped:encoding", 1)
    queue.count("delivered", 7)
    close([queue], time.monotonic() + 5)
    assert [record.getMessage() for record in caplog.records] == [
        "otelflask: telemetry is not sent: the process dropped before its end "
        "(things by queue_full: 3, things by encoding: 1)"
    ]


class _Interrupted(Odd):
    """A destination that takes long."""

    endpoint = "http://127.0.0.1:4318/v1/things"

    def send(self, payload: Any, timeout: float) -> SendResult:
        time.sleep(0.5)
        return SendResult(False, error="Timeout")


def test_an_end_that_a_signal_interrupts_counts_what_is_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = ExportQueue("things", list, _Interrupted(), QueueOptions(9, 2, 60.0))
    for n in range(5):
        queue.append(n)

    def leave(deadline: float) -> bool:
        raise SystemExit(1)

    monkeypatch.setattr(queue, "join", leave)
    with pytest.raises(SystemExit):
        close([queue], time.monotonic() + 60)
    (line,) = [record.getMessage() for record in caplog.records if "not sent" in record.getMessage()]
    assert "http://127.0.0.1:4318 did not accept it in time (things: 5)" in line
