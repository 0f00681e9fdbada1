"""What cannot be encoded costs itself alone, and is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from otelflask._internal.export.handover import Handover
from otelflask._internal.export.otlp_encoder import Encoder
from otelflask._internal.export.outputs import EncodedItem, Output
from otelflask._internal.export.queue import ExportQueue, QueueOptions
from otelflask._internal.limits import Limits
from otelflask._internal.redaction import Scrubber
from otelflask._internal.sdk.flat_items import TRACE_ID_OF_RECORD, Flat
from otelflask.testing import FakeCollector

#: More than 64 bits.
TOO_LATE = 2**65


def _record(timestamp: int) -> Flat:
    return (timestamp, 1, 9, "INFO", "lamp", b"", 0, 0, 0, 0, "")


def test_a_record_that_cannot_be_encoded_is_counted_and_the_others_go_on() -> None:
    handover, encoder = Handover(), Encoder(Scrubber(), Limits())
    output = Output(handover, encoder, encoder.record, encoder.layer_of_record, TRACE_ID_OF_RECORD)
    queue: Any = ExportQueue("logs", list, object(), QueueOptions(10, 10, 60.0))  # type: ignore[arg-type]
    seen: list[EncodedItem] = []
    output.queues.append(queue)
    output.watchers.append(seen.append)
    for timestamp in (1, TOO_LATE, 2):
        output.hand_over((), _record(timestamp), False)
    handover.drain()
    assert len(seen) == 2
    assert queue.counts == {"dropped:encoding": 1}
    handover.close()


def test_a_request_that_cannot_be_encoded_counts_as_a_span_and_a_log_record(fake_collector: FakeCollector) -> None:
    code = f"""
import json, flask, otelflask
from otelflask._internal import clock
app = flask.Flask("shop")
app.get("/lamp")(lambda: "lamp")
otelflask.init(app, runtime_metrics=False)
client, time_ns = app.test_client(), clock.time_ns
for late in (False, True, False):
    clock.time_ns = (lambda: {TOO_LATE}) if late else time_ns
    client.get("/lamp")
clock.time_ns = time_ns
otelflask.flush()
queues = app.extensions["otelflask"].pipeline.queues
print(json.dumps({{queue.name: dict(queue.counts) for queue in queues}}))
"""
    environ = {**fake_collector.environment(), "OTELFLASK_GUARD": "swallow"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    # The line of the start is a log record too.
    assert counts["spans"] == {"dropped:encoding": 1, "delivered": 2}
    assert counts["log records"] == {"dropped:encoding": 1, "delivered": 3}
