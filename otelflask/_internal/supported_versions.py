"""The oldest versions of the app's libraries that are instrumented; what is older is left alone."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.version import InvalidVersion, Version

from otelflask._internal import guard
from otelflask._internal.import_hooks import is_importable

#: Distribution → its oldest version.
OLDEST = {"Flask": "2.3", "SQLAlchemy": "2.0"}
_MISSING = {
    "Flask": "its apps are left alone: otelflask starts nothing",
    "SQLAlchemy": "its engines are left alone: no spans and metrics of statements, and no slow-query log",
}


def is_supported(name: str) -> bool:
    """Whether this library is there in a version that is instrumented; says once what is missing where it is too old.

    In: a distribution of `OLDEST`.
    """
    try:
        installed = version(name)
    except PackageNotFoundError:
        if not is_importable(name.lower()):
            return False
        installed = "of unknown version"
    try:
        if Version(installed) >= Version(OLDEST[name]):
            return True
    except (InvalidVersion, TypeError):
        # One that nobody can compare is no version that is known to work.
        installed = str(installed)
    guard.say(
        f"version:{name}",
        "%s %s is installed, and otelflask needs %s or later; %s",
        name,
        installed,
        OLDEST[name],
        _MISSING[name],
    )
    return False
