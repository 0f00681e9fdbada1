"""The app of Flask's own pages on errors: handlers, Sentry, another debugger."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import errors, views
from .debugger import run as run
from .sentry import Sentry

sentry = Sentry()


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app; `config` overrides the defaults before anything is set up."""
    app = Flask(__name__)
    app.config.from_mapping(SENTRY_DSN=None, EXTERNAL_DEBUGGER=False)
    app.config.from_prefixed_env()
    app.config.update(config or {})

    app.register_blueprint(views.main)
    app.register_blueprint(views.bp)
    errors.init_app(app)
    sentry.init_app(app)
    return app


def close(app: Flask) -> None:
    """Send no more errors of this app."""
    sentry.close(app)
