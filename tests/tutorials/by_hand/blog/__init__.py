"""The blog's app: an error page that survives a broken session, mail and a log file."""

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import errors, logs, views


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app; `config` overrides the defaults before anything is set up."""
    app = Flask(__name__)
    app.config.from_mapping(
        SECRET_KEY="dev",
        SQLALCHEMY_DATABASE_URI="sqlite:///:memory:",
        LOG_DIR="logs",
        MAIL_SERVER=os.environ.get("MAIL_SERVER"),
        MAIL_PORT=int(os.environ.get("MAIL_PORT", 25)),
        MAIL_USE_TLS="MAIL_USE_TLS" in os.environ,
        MAIL_USERNAME=os.environ.get("MAIL_USERNAME"),
        MAIL_PASSWORD=os.environ.get("MAIL_PASSWORD"),
        MAIL_ADMINS=["admin@example.com"],
    )
    app.config.from_prefixed_env()
    app.config.update(config or {})

    views.init_app(app)
    app.register_blueprint(errors.errors_bp)
    logs.init_app(app)
    return app


def close(app: Flask) -> None:
    """Close the log file and the database connections."""
    logs.close(app)
    views.close(app)
