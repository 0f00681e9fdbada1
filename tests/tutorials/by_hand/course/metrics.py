"""Prometheus metrics of the requests, at /metrics."""

import time

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

ACTIVE_SECONDS = 300


def init_app(app: Flask) -> None:
    """Count and time each request, in a registry of the app's own."""
    registry = app.extensions["metrics_registry"] = CollectorRegistry()
    requests = Counter("flask_requests_total", "Requests", ["method", "endpoint", "status"], registry=registry)
    duration = Histogram("flask_request_duration_seconds", "Duration", ["method", "endpoint"], registry=registry)
    active_users = Gauge("flask_active_users", "Users seen in the last five minutes", registry=registry)
    last_seen: dict[int, float] = {}

    @app.before_request
    def start_timer() -> None:
        g.metrics_start = time.perf_counter()

    @app.after_request
    def record(response: Response) -> Response:
        endpoint = request.endpoint or "unknown"
        requests.labels(request.method, endpoint, response.status_code).inc()
        duration.labels(request.method, endpoint).observe(time.perf_counter() - g.metrics_start)
        if "user_id" in g:
            last_seen[g.user_id] = time.time()
        return response

    @app.get("/metrics")
    def metrics() -> Response:
        active_since = time.time() - ACTIVE_SECONDS
        for user_id, seen in list(last_seen.items()):
            if seen < active_since:
                last_seen.pop(user_id, None)
        active_users.set(len(last_seen))
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
