"""The course's app, with otelflask."""

import logging
from collections.abc import Mapping
from typing import Any

from flask import Flask

import otelflask

from . import views


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app; `config` overrides the defaults before anything is set up."""
    app = Flask(__name__, template_folder="../../by_hand/course/templates")
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI="sqlite:///:memory:",
        REDIS_URL="redis://localhost:6379/0",
        FLAKY=False,
        BREAKER_TIMEOUT=60,
        OTELFLASK_ERROR_FORMAT="envelope",
        OTELFLASK_TIMESTAMP_FORMAT="epoch",
        OTELFLASK_METRICS_PATH="/metrics",
        OTELFLASK_METRICS_FLASK_NAMES=True,
        OTELFLASK_LOG_DIR="logs",
        OTELFLASK_LOG_FILE_FORMAT="[%(asctime)s] %(levelname)s in %(module)s: %(message)s",
        OTELFLASK_LOG_FILE_SIZE=10_240_000,
        OTELFLASK_LOG_FILE_COUNT=10,
        OTELFLASK_LOG_CONSOLE="auto",
        OTELFLASK_PROFILE_DIR="profiles",
    )
    app.config.from_prefixed_env()
    app.config.update(config or {})

    app.logger.setLevel(logging.INFO)
    otelflask.init(app)
    views.init_app(app)
    return app


def close(app: Flask) -> None:
    """Close the database connections."""
    views.close(app)
