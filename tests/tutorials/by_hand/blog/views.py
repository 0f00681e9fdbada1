"""The business code: users who register, log in and change their names."""

from flask import Blueprint, Flask, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import (  # type: ignore[import-untyped]
    LoginManager,
    UserMixin,
    current_user,
    login_required,
    login_user,
    logout_user,
)
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The base of the models."""


db = SQLAlchemy(model_class=Base)
login_manager = LoginManager()
login_manager.login_view = "main.login"
main = Blueprint("main", __name__)


class User(UserMixin, db.Model):  # type: ignore[name-defined,misc]
    """A user, whose name nobody else has."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)


@login_manager.user_loader  # type: ignore[untyped-decorator]
def load_user(user_id: str) -> User | None:
    """Find the user of a session."""
    return db.session.get(User, int(user_id))


@main.get("/")
def index() -> ResponseReturnValue:
    """Show the first page."""
    return render_template("index.html")


@main.route("/register", methods=["GET", "POST"])
def register() -> ResponseReturnValue:
    """Create a user."""
    if request.method == "POST":
        db.session.add(User(name=request.form["name"]))
        db.session.commit()
        return redirect(url_for("main.login"))
    return render_template("form.html", title="Register")


@main.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    """Log a user in."""
    if request.method == "POST":
        login_user(db.first_or_404(select(User).filter_by(name=request.form["name"])))
        return redirect(url_for("main.index"))
    return render_template("form.html", title="Log in")


@main.get("/logout")
def logout() -> ResponseReturnValue:
    """Log the user out."""
    logout_user()
    return redirect(url_for("main.index"))


@main.route("/profile", methods=["GET", "POST"])
@login_required  # type: ignore[untyped-decorator]
def profile() -> ResponseReturnValue:
    """Change the user's name; that it may be taken is not thought of."""
    if request.method == "POST":
        current_user.name = request.form["name"]
        db.session.commit()
        return redirect(url_for("main.profile"))
    return render_template("form.html", title="Profile", name=current_user.name)


def init_app(app: Flask) -> None:
    """Open the database and add the routes."""
    db.init_app(app)
    login_manager.init_app(app)
    app.register_blueprint(main)
    with app.app_context():
        db.create_all()


def close(app: Flask) -> None:
    """Close the database connections."""
    with app.app_context():
        db.engine.dispose()
