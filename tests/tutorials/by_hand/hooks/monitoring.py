"""The monitoring by request hooks: a line for each request, a page and its health endpoint."""

import json
import logging
import time
import traceback
from datetime import datetime, timezone
from typing import Any

import psutil
from flask import Blueprint, Flask, Response, current_app, g, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from .loki import LokiPusher

monitoring_bp = Blueprint("monitoring", __name__, url_prefix="/monitoring")


class FlaskMonitoringMiddleware:
    """Logs one line for each request of the app, and pushes it to Loki."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.process = psutil.Process()
        self.loki = LokiPusher(app.config["LOKI_URL"], app.config["SERVICE_NAME"])
        app.logger.setLevel(logging.INFO)
        app.before_request(self.before_request)
        app.after_request(self.after_request)
        app.teardown_request(self.teardown_request)
        app.register_error_handler(Exception, self.handle_exception)
        app.register_blueprint(monitoring_bp)
        app.extensions["monitoring"] = self

    def system_metrics(self) -> dict[str, float]:
        """Measure the process."""
        with self.process.oneshot():
            return {
                "cpu_percent": self.process.cpu_percent(),
                "memory_rss_mb": round(self.process.memory_info().rss / 1024**2, 2),
                "memory_percent": round(self.process.memory_percent(), 2),
                "threads": self.process.num_threads(),
                "uptime_seconds": round(time.time() - self.process.create_time(), 2),
            }

    def before_request(self) -> None:
        """Note how the request begins."""
        g.start = time.perf_counter()
        g.start_metrics = self.system_metrics()

    def after_request(self, response: Response) -> Response:
        """Note the response."""
        g.response = {"status_code": response.status_code, "content_length": response.content_length}
        return response

    def handle_exception(self, error: Exception) -> ResponseReturnValue:
        """Note the error, and answer."""
        if isinstance(error, HTTPException):
            return jsonify(error=error.description), error.code or 500
        g.error = {"type": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}
        return jsonify(error="Internal server error"), 500

    def teardown_request(self, _error: BaseException | None) -> None:
        """Log the request."""
        entry: dict[str, Any] = {
            "timestamp": datetime.now(timezone.utc).isoformat(),
            "request": {
                "method": request.method,
                "path": request.path,
                "endpoint": request.endpoint or "unknown",
                "remote_addr": request.remote_addr,
                "user_agent": request.user_agent.string,
            },
            "response": g.get("response"),
            "performance": {
                "duration_ms": round((time.perf_counter() - g.start) * 1000, 2),
                "start_metrics": g.start_metrics,
                "end_metrics": self.system_metrics(),
            },
        }
        if "error" in g:
            entry["error"] = g.error
        level = "error" if "error" in g else "info"
        line = json.dumps(entry, ensure_ascii=False)
        self.app.logger.log(logging.getLevelName(level.upper()), line)
        self.loki.push(level, line)


@monitoring_bp.get("/dashboard")
def dashboard() -> ResponseReturnValue:
    """Show the page that keeps asking for the health."""
    return render_template("monitoring/dashboard.html")


@monitoring_bp.get("/health")
def health() -> ResponseReturnValue:
    """Answer with the health of the process."""
    metrics = current_app.extensions["monitoring"].system_metrics()
    shown = {name: metrics[name] for name in ("cpu_percent", "memory_percent", "threads")}
    return jsonify(status="healthy", system_metrics=shown)
