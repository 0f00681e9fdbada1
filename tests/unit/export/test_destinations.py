"""How answers of receivers are judged."""

from __future__ import annotations

import subprocess
import sys

import pytest

from otelflask._internal.export.destinations import HttpDestination


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
