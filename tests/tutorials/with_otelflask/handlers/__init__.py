"""The app of Flask's own pages on errors, with otelflask: handlers and debugger stay, the client of Sentry goes."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

import otelflask
from tests.tutorials.by_hand.handlers import errors, views
from tests.tutorials.by_hand.handlers.debugger import run as run


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app; `config` overrides the defaults before anything is set up."""
    app = Flask(__name__)
    app.config.from_mapping(SENTRY_DSN=None, EXTERNAL_DEBUGGER=False)
    app.config.from_prefixed_env()
    app.config.update(config or {})

    app.register_blueprint(views.main)
    app.register_blueprint(views.bp)
    errors.init_app(app)
    otelflask.init(app)
    return app
