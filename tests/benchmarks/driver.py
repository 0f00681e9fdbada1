"""One measured process: ``driver.py VARIANT ROUTE REQUESTS``. ``bench`` runs it under valgrind."""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import Any

VARIANT, ROUTE, REQUESTS = sys.argv[1], sys.argv[2], int(sys.argv[3])


def start() -> Any:
    if VARIANT in ("contrib", "otelflask-zero-code"):
        from opentelemetry.instrumentation.auto_instrumentation import initialize

        initialize(swallow_exceptions=False)
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from app import create_app  # type: ignore[import-not-found]

    app = create_app()
    if VARIANT == "otelflask":
        import otelflask

        otelflask.init(app, service_name="bench")
    elif VARIANT == "prometheus":
        from prometheus_flask_exporter import PrometheusMetrics  # type: ignore[import-not-found]

        PrometheusMetrics(app, path=None)
    return app


def environ() -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": ROUTE,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "bench",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_USER_AGENT": "bench/1.0",
        "HTTP_ACCEPT": "*/*",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def ask(app: Any, requests: int) -> None:
    """Ask for the route so many times, as a server does."""
    expected = "200" if ROUTE in ("/ping", "/api/products") else "500"
    statuses: list[str] = []
    for _ in range(requests):
        body = app(environ(), lambda status, headers, exc_info=None: statuses.append(status))
        for _piece in body:
            pass
        if hasattr(body, "close"):
            body.close()
    assert len(statuses) == requests
    assert all(status.startswith(expected) for status in statuses), statuses[:3]


def main() -> None:
    app = start()
    # A full collection walks what the start has left. One collection more or less would fall into one of two runs by
    # chance: some 100 thousand instructions a request.
    gc.collect()
    gc.freeze()
    ask(app, REQUESTS)


if __name__ == "__main__":
    main()
