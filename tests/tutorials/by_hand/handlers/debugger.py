"""A run under another debugger than Flask's."""

from typing import Any

from flask import Flask


def run(app: Flask, **options: Any) -> None:
    """Run in debug mode, and leave exceptions and reloads to the other debugger where configured."""
    own = not app.config["EXTERNAL_DEBUGGER"]
    app.run(debug=True, use_debugger=own, use_reloader=own, **options)
