"""The app that is monitored by request hooks, with otelflask."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

import otelflask
from tests.tutorials.by_hand.hooks import views


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app; `config` overrides the defaults before anything is set up."""
    app = Flask(__name__)
    app.config.from_prefixed_env()
    app.config.update(config or {})

    otelflask.init(app, service_name="product-api")
    views.init_app(app)
    return app
