"""``make demo``: the shop and its payments under gunicorn, a worker, gentle load, the console view. Ctrl-C ends all."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from types import FrameType

import simple_websocket

#: The first requests, so that each view of the live page has content.
FIRST = ["/api/products/ratings", "/slow-query", "/simulate-error", "/api/products", "/failing-dependency", "/health"]
#: The gentle load, by weight.
PATHS = (
    ["/api/products", "/api/products/7", "/api/products/featured"] * 6
    + ["/api/products/7/purchase"] * 6
    + ["/api/products/ratings", "/api/products/9999", "/simulate-error", "/slow-query"]
    + ["/failing-dependency", "/health"]
)  # fmt: skip


def _load(url: str, stop: threading.Event, pause: float) -> None:
    choice = random.Random(1)
    first = list(FIRST)
    while not stop.wait(min(pause, 0.2) if first else pause):
        path = first[0] if first else choice.choice(PATHS)
        try:
            body = b'{"quantity": 1}' if path.endswith("/purchase") else None
            request = urllib.request.Request(url + path, body, {"Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=5).read()
        except urllib.error.HTTPError as error:
            # The load contains errors, and the shop prints them.
            error.close()
        except OSError:
            # Not started yet.
            continue
        del first[:1]


def _watch(url: str, stop: threading.Event) -> None:
    """Look at the stock of a product by a WebSocket, again and again."""
    address = f"{url.replace('http', 'ws', 1)}/api/products/7/stock"
    while not stop.wait(5.0):
        try:
            with contextlib.closing(simple_websocket.Client(address)) as client:
                for _ in range(10):
                    client.receive(timeout=1.0)
        except (OSError, simple_websocket.ConnectionError, simple_websocket.ConnectionClosed):
            # Not started yet, or about to end.
            continue


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _collector_listens(endpoint: str) -> bool:
    host, _, port = endpoint.partition("://")[2].partition("/")[0].partition(":")
    try:
        socket.create_connection((host, int(port or 4318)), timeout=0.3).close()
    except OSError:
        return False
    return True


def main() -> int:
    """Run the demo until Ctrl-C.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m otelflask.demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1 (default: 8000)")
    parser.add_argument("--workers", type=int, default=2, help="gunicorn workers (default: 2)")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two requests of the load")
    options = parser.parse_args()
    if not _is_free(options.port):
        print(f"Port {options.port} is taken; choose another: make demo PORT=8001", file=sys.stderr)
        return 2
    environment = dict(os.environ)
    environment.setdefault("OTELFLASK_CONSOLE", "traces")
    environment.setdefault("OTELFLASK_ENVIRONMENT", "development")
    endpoint = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    if not _collector_listens(endpoint):
        for name in ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"):
            environment.setdefault(name, "none")
    gunicorn = [sys.executable, "-m", "gunicorn", "--threads", "4", "--graceful-timeout", "3", "--log-level", "warning"]
    payments_port = _free_port()
    environment.setdefault("SHOP_PAYMENTS_URL", f"http://127.0.0.1:{payments_port}")
    payments = [*gunicorn, "otelflask.demo.payments:create_app()", "--bind", f"127.0.0.1:{payments_port}"]
    shop = [*gunicorn, "otelflask.demo.shop:create_app()", "--bind", f"127.0.0.1:{options.port}"]
    shop += ["--workers", str(options.workers)]
    worker = [sys.executable, "-m", "celery", "--quiet", "--app", "otelflask.demo.worker:queue", "worker", "--beat"]
    worker += ["--concurrency", "1", "--loglevel", "warning", "--without-mingle", "--without-gossip"]
    mails = tempfile.TemporaryDirectory(prefix="otelflask-shop-jobs-")
    environment.setdefault("SHOP_BROKER_URL", "filesystem://")
    environment.setdefault("SHOP_BROKER_FOLDER", mails.name)
    url = f"http://127.0.0.1:{options.port}"
    print(f"The shop runs at {url}; each request is printed below as a tree of its spans. Try:")
    for path, what in (
        ("/api/products", "a page of products"),
        ("/api/products/ratings", "an N+1"),
        ("/slow-query", "a slow statement"),
        ("/simulate-error", "an error"),
    ):
        print(f"  curl -s {url}{path:<24} # {what}")
    print(f"  curl -s -X POST '{url}/simulate-outage?seconds=60'  # no payments: a circuit breaker opens")
    sending = environment.get("OTEL_TRACES_EXPORTER") != "none"
    print(
        f"Telemetry goes to {endpoint}."
        if sending
        else f"Nothing listens at {endpoint}, so nothing is sent; start a collector and run this again to send to it."
    )
    print(f"Ctrl-C ends it all. What it does, live: {url}/monitoring\n", flush=True)
    # A process group of its own, so that gunicorn gets Ctrl-C once, from here.
    commands = (shop, payments, worker)
    servers = [subprocess.Popen(command, env=environment, start_new_session=True) for command in commands]
    stop = threading.Event()
    threading.Thread(target=_load, args=(url, stop, options.pause), daemon=True).start()
    threading.Thread(target=_watch, args=(url, stop), daemon=True).start()

    def end(number: int, frame: FrameType | None) -> None:
        for server in servers:
            server.send_signal(signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    status = servers[0].wait()
    stop.set()
    # Where the shop ended by itself, the others must be stopped.
    for server in servers[1:]:
        server.terminate()
        server.wait()
    mails.cleanup()
    return 0 if status in (0, -signal.SIGTERM) else status


if __name__ == "__main__":
    sys.exit(main())
