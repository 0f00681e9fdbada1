"""How answers of receivers are judged."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from otelflask._internal.export.destinations import GrpcDestination, HttpDestination, SendResult
from otelflask.testing import FakeCollector, Reply


class _Unreadable:
    status_code = 200
    error = None

    def headers(self) -> dict[str, str]:
        raise RuntimeError("no headers")


def test_an_answer_that_cannot_be_read_is_no_reason_to_send_again(monkeypatch: pytest.MonkeyPatch) -> None:
    destination = HttpDestination("traces")
    monkeypatch.setattr(destination._client, "post", lambda payload, timeout: _Unreadable())
    with pytest.raises(RuntimeError, match="no headers"):
        destination.send(b"", 1.0)
    destination.close()


def test_a_process_that_sends_over_http_does_not_pay_for_grpc() -> None:
    script = "import flask, otelflask, sys; otelflask.init(flask.Flask('shop')); assert 'grpc' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", [HttpDestination, GrpcDestination])
def test_the_variable_limits_an_export(
    monkeypatch: pytest.MonkeyPatch, kind: Callable[[str], Any], fake_collector: FakeCollector
) -> None:
    protocol = "grpc" if kind is GrpcDestination else "http/protobuf"
    for name, value in fake_collector.environment(protocol).items():
        monkeypatch.setenv(name, value)
    fake_collector.default = Reply(hang=True)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    # It returns long before the receiver, which hangs for a minute.
    destination = kind("traces")
    result = destination.send(b"", math.inf)
    destination.close()
    assert (result.delivered, result.retry) == (False, True)


@pytest.mark.parametrize(("variable", "seconds"), [("30", 30.0), (None, 10.0)])
def test_an_export_may_take_longer_than_by_default(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, seconds: float
) -> None:
    if variable is not None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", variable)
    given: list[float] = []

    def post(payload: bytes, timeout: float) -> SendResult:
        given.append(timeout)
        return SendResult(True)

    destination = HttpDestination("traces")
    monkeypatch.setattr(destination._client, "post", post)
    destination.send(b"", math.inf)
    destination.close()
    assert given == [seconds]
