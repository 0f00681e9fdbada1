"""The course's app: errors, logs, metrics, profiling, database timing, health and a breaker."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import database, errors, health, logs, metrics, profiling, views


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app; `config` overrides the defaults before anything is set up."""
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI="sqlite:///:memory:",
        REDIS_URL="redis://localhost:6379/0",
        FLAKY=False,
        BREAKER_TIMEOUT=60,
        LOG_DIR="logs",
        PROFILING_ENABLED=False,
        PROFILE_DIR="profiles",
        SLOW_QUERY_THRESHOLD=1.0,
        MAX_DISK_PERCENT=90,
        MAX_MEMORY_PERCENT=90,
    )
    app.config.from_prefixed_env()
    app.config.update(config or {})

    views.init_app(app)
    # The first before_request and the last after_request: the profile covers the other hooks.
    profiling.init_app(app)
    logs.init_app(app)
    metrics.init_app(app)
    database.init_app(app)
    app.register_blueprint(errors.errors_bp)
    app.register_blueprint(health.health_bp)
    return app


def close(app: Flask) -> None:
    """Close the log files and the database connections."""
    logs.close(app)
    views.close(app)
