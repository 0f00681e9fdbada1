"""The app's exceptions: of a lookup, and of a status that Werkzeug does not know."""

from werkzeug.exceptions import HTTPException


class UnknownProductError(KeyError):
    """There is no such product."""


class UnknownSizeError(UnknownProductError):
    """There is the product, but not in this size."""


class UnknownShoeSizeError(UnknownSizeError):
    """There is the shoe, but not in this size."""


class InsufficientStorage(HTTPException):
    """There is no room left."""

    code = 507
    description = "There is no room left on this server."
