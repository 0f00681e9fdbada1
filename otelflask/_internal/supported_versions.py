"""The oldest supported versions of the app's libraries. Older ones are not instrumented."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.version import InvalidVersion, Version

from otelflask._internal import guard
from otelflask._internal.import_hooks import is_importable

#: Distribution → oldest version.
OLDEST = {"Flask": "2.3", "SQLAlchemy": "2.0"}
_MISSING = {
    "Flask": "otelflask does not start",
    "SQLAlchemy": "statements have no spans, no metrics and no slow-query log",
}


def is_supported(name: str) -> bool:
    """Whether a distribution of `OLDEST` is installed in a supported version. Logs once where it is too old."""
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
        # A version that cannot be compared is not known to work.
        installed = str(installed)
    guard.log(
        f"version:{name}",
        "%s %s is installed, but otelflask needs %s or later: %s",
        name,
        installed,
        OLDEST[name],
        _MISSING[name],
    )
    return False
