"""The user of a request, as Flask-Login knows it."""

from __future__ import annotations

from flask import Flask, g


def user_of_flask_login(app: Flask) -> str | None:
    """The id of Flask-Login's user, where the app has already loaded it in this request."""
    if not hasattr(app, "login_manager"):
        return None
    user = g.get("_login_user")
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    found = user.get_id()
    return None if found is None else str(found)
