"""The app that is monitored by request hooks, with Loki."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import views
from .monitoring import FlaskMonitoringMiddleware


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app; `config` overrides the defaults before anything is set up."""
    app = Flask(__name__)
    app.config.from_mapping(SERVICE_NAME="product-api", LOKI_URL="http://localhost:3100/loki/api/v1/push")
    app.config.from_prefixed_env()
    app.config.update(config or {})

    views.init_app(app)
    FlaskMonitoringMiddleware(app)
    return app


def close(app: Flask) -> None:
    """Push what is left, and end the thread."""
    app.extensions["monitoring"].loki.close()
