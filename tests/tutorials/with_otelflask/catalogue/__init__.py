"""The app with JSON errors of its own, with otelflask."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

import otelflask

from . import views
from .exceptions import render


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app; `config` overrides the defaults before anything is set up."""
    app = Flask(__name__)
    app.config.from_prefixed_env()
    app.config.update(config or {})

    app.register_blueprint(views.main)
    otelflask.init(app, json_paths="/", error_renderer=render)
    return app
