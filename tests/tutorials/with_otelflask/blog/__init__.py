"""The blog's app, with otelflask."""

import logging
import os
from collections.abc import Mapping
from typing import Any

from flask import Flask

import otelflask
from tests.tutorials.by_hand.blog import views


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app; `config` overrides the defaults before anything is set up."""
    app = Flask(__name__, template_folder="../../by_hand/blog/templates")
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

    app.logger.setLevel(logging.INFO)
    otelflask.init(
        app,
        log_dir="" if app.debug else app.config["LOG_DIR"],
        log_file_name="microblog.log",
        log_error_file_name="",
        log_file_format="%(asctime)s %(levelname)s: %(message)s [in %(pathname)s:%(lineno)d]",
        log_file_size=102_400,
        log_file_count=10,
        mail_subject_prefix="Microblog: an error",
    )
    views.init_app(app)
    return app


def close(app: Flask) -> None:
    """Close the database connections."""
    views.close(app)
