"""The extension as apps use it: `init(app)`, or `OtelFlask(app)` in Flask's usual form."""

from __future__ import annotations

from flask import Flask
from typing_extensions import Unpack

from otelflask._internal.wiring import install as wiring
from otelflask._internal.wiring.options import InitOptions


class OtelFlask:
    """The extension in Flask's usual form: ``OtelFlask(app, **options)``, or ``OtelFlask(**options).init_app(app)``.

    Takes the options of `init`.
    """

    def __init__(self, app: Flask | None = None, **options: Unpack[InitOptions]) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Give the app telemetry; a second call changes nothing.

        Raises SettingError when an option is not allowed.
        """
        wiring.install(app, self._options)


def init(app: Flask, **options: Unpack[InitOptions]) -> OtelFlask:
    """Give the app spans, metrics and logs that leave as OTLP.

    In: the app; optionally providers of the OpenTelemetry SDK (default: the
    ones set globally, else new ones by the ``OTEL_*`` variables); hooks
    ``request_hook(span, environ)`` and ``response_hook(span, status,
    headers)``; ``error_renderer(problem)``, which makes the body of an error
    that is not answered by a page; ``error_fingerprint(exception)``, which
    says as a list of texts which reports are one group, or None for the
    default; sessions (such as a ``scoped_session``) that are
    rolled back after an unhandled error, besides Flask-SQLAlchemy's;
    ``user()``, which says who makes the current request (default:
    Flask-Login's user, where the app has asked for it), or None;
    ``may_monitor(environ)``, which says of a request whether it may see the
    live page, where `monitor` is ``on``; and any setting by its name (``docs/settings.md``).
    Raises SettingError (a ValueError) for a name that does not exist, and for a value that is not allowed.
    """
    return OtelFlask(app, **options)
