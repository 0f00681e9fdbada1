"""The business code: routes that fail, each in its way."""

from flask import Blueprint, abort

from .exceptions import InsufficientStorage, UnknownProductError, UnknownShoeSizeError

main = Blueprint("main", __name__)
bp = Blueprint("bp", __name__, url_prefix="/bp")


@main.get("/a")
def unknown_shoe_size() -> str:
    """Look for a shoe that is not there."""
    raise UnknownShoeSizeError("52")


@main.get("/b")
def unknown_product() -> str:
    """Look for a product that is not there."""
    raise UnknownProductError("umbrella")


@main.get("/full")
def full() -> str:
    """Store something."""
    raise InsufficientStorage


@main.get("/denied")
def denied() -> str:
    """Do what one may not."""
    abort(403)


@main.get("/crash")
def crash() -> str:
    """Share a basket among nobody."""
    basket = {"apples": 3, "pears": 4}
    people = 0
    return f"{sum(basket.values()) / people} each"


@bp.get("/denied")
def bp_denied() -> str:
    """Do what one may not, in the blueprint."""
    abort(403)


@bp.get("/gone")
def bp_gone() -> str:
    """Miss something, in a view of the blueprint."""
    abort(404)
