"""``make demo``, as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from otelflask.testing import FakeCollector
from tests.servers import free_port

pytestmark = pytest.mark.slow


def test_the_demo_prints_trees_sends_and_ends_at_ctrl_c(fake_collector: FakeCollector, tmp_path: Path) -> None:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST"))}
    environment |= fake_collector.environment()
    environment |= {"OTEL_BSP_SCHEDULE_DELAY": "200", "SHOP_DATABASE_URL": f"sqlite:///{tmp_path}/shop.db"}
    demo = subprocess.Popen(
        [sys.executable, "-m", "otelflask.demo", "--port", str(port), "--pause", "0.1"],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        fake_collector.wait_for(lambda: any(s.name == "GET /api/products" for s in fake_collector.spans), timeout=60)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=60) as response:
            assert response.headers["traceresponse"]
        # The live page must have content within ten seconds.
        end = time.monotonic() + 60
        wanted = {
            "errors": "RuntimeError in shop._fail",
            "queries": "Product.reviews",
            "": "/slow-query",
            "jobs": "shop.confirm",
        }
        while wanted and time.monotonic() < end:
            for view, text in list(wanted.items()):
                if text in _shown(f"http://127.0.0.1:{port}/monitoring/{view}"):
                    del wanted[view]
            time.sleep(0.5)
        assert wanted == {}
        fake_collector.wait_for(lambda: any(s.name == "process shop.confirm" for s in fake_collector.spans), timeout=60)
        fake_collector.wait_for(lambda: any(s.name == "process shop.deliver" for s in fake_collector.spans), timeout=60)
        results = {
            s.attributes["otelflask.job.result"] for s in fake_collector.spans if s.name == "process shop.deliver"
        }
        assert results == {"success"}
        assert '<span class="warn">' in _shown(f"http://127.0.0.1:{port}/monitoring/queries")
        demo.send_signal(signal.SIGINT)
        output, _ = demo.communicate(timeout=60)
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait()
    assert demo.returncode == 0
    assert f"What it does, live: http://127.0.0.1:{port}/monitoring" in output
    assert f"The shop runs at http://127.0.0.1:{port}" in output
    assert "200 GET /api/products " in output
    assert "└─ INFO listed 10 products" in output


def _shown(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        return str(response.read().decode())


def test_a_port_that_is_taken_is_said(fake_collector: FakeCollector) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "otelflask.demo", "--port", str(fake_collector.http_port)],
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"Port {fake_collector.http_port} is taken" in done.stderr
