"""The app with JSON errors of its own, made of Werkzeug's HTTPException."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import errors, views


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app; `config` overrides the defaults before anything is set up."""
    app = Flask(__name__)
    app.config.from_prefixed_env()
    app.config.update(config or {})

    app.register_blueprint(views.main)
    errors.init_app(app)
    return app


def close(app: Flask) -> None:
    """Close nothing: this app holds nothing open."""
