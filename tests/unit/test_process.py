"""What a process has once: a second app is told what of its options is not used, and its secrets are masked."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.integration.conftest import NO_EXPORT

SCRIPT = """
import flask, otelflask
from otelflask import process
from otelflask.settings import Settings

otelflask.init(flask.Flask("first"), redact_names="iban")
otelflask.init(flask.Flask("same"), redact_names="iban")
otelflask.init(flask.Flask("second"), redact_names="pesel", redact_patterns="DE[0-9]{20}", log_level="error",
               breaker_redis="redis://:canary@localhost/0", error_fingerprint=lambda error: None, health_path="/up")
scrubber = process._process.pipeline.scrubber
print(scrubber.text("iban=canary pesel=canary DE12345678901234567890"))
assert set(process.OF_PROCESS) <= set(Settings.__dataclass_fields__)
"""


def test_a_second_app_adds_what_is_masked_and_is_told_what_is_not_used() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, **NO_EXPORT}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "iban=[redacted] pesel=[redacted] [redacted]"
    (line,) = done.stderr.splitlines()
    assert "log_level='error' (it has 'notset'), breaker_redis='redis://[redacted]@localhost/0' (it has '')" in line
    assert "error_fingerprint is not used" in line
    assert "health_path" not in line
    assert "canary" not in line
