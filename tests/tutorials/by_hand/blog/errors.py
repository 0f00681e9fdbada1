"""The error pages."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from .views import db

errors_bp = Blueprint("errors", __name__)


@errors_bp.app_errorhandler(404)
def not_found(_error: Exception) -> ResponseReturnValue:
    """Show that there is no such page."""
    return render_template("error/404.html"), 404


@errors_bp.app_errorhandler(500)
def internal_error(_error: Exception) -> ResponseReturnValue:
    """Show that something failed."""
    # The page reads current_user, which a session with a failed transaction cannot load.
    db.session.rollback()
    return render_template("error/500.html"), 500
