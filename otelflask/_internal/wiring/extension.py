"""The extension for apps: `init(app)`, or `OtelFlask(app)` in Flask's usual form."""

from __future__ import annotations

from flask import Flask
from typing_extensions import Unpack

from otelflask._internal.wiring import install as wiring
from otelflask._internal.wiring.options import InitOptions


class OtelFlask:
    """The extension in Flask's usual form: ``OtelFlask(app)``, or ``OtelFlask()`` and ``init_app(app)``.

    Args:
        app: The app, if there is one already.
        **options: The options of `init`.
    """

    def __init__(self, app: Flask | None = None, **options: Unpack[InitOptions]) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Add telemetry to an app. A second call changes nothing.

        Args:
            app: The app.

        Raises:
            SettingError: An option is unknown, or its value is not allowed.
        """
        wiring.install(app, self._options)


def init(app: Flask, **options: Unpack[InitOptions]) -> OtelFlask:
    """Add spans, metrics and logs to an app, and send them as OTLP.

    A second call for the same app changes nothing. The options are all settings, by their names
    (``docs/settings.md``), and the following:

    - ``tracer_provider``, ``meter_provider``, ``logger_provider``: providers of the OpenTelemetry SDK.
      The defaults are the global providers, if the app has set them. Otherwise otelflask makes new ones
      as the ``OTEL_*`` variables say.
    - ``request_hook(span, environ)``: called when a request's span has started.
      ``response_hook(span, status, headers)``: called when the app starts its response.
    - ``user()``: returns the user of the current request, or None. The default is Flask-Login's user.
    - ``error_renderer(answer)``: called for error responses that are not pages, and for `success`,
      `created`, `updated` and `deleted`. It takes an `otelflask.errors.Answer`, and returns anything that a
      view may return.
    - ``error_fingerprint(exception)``: returns a list of texts that names the group of an error report,
      or None for the default group.
    - ``rollback_sessions``: objects with ``rollback()``, such as a ``scoped_session``, that are rolled
      back after an unhandled error. The session of Flask-SQLAlchemy always is.
    - ``may_monitor(environ)``: returns whether a request may see the live page, with ``monitor="on"``.

    Args:
        app: The app.
        **options: The options.

    Returns:
        The extension.

    Raises:
        SettingError: An option is unknown, or its value is not allowed. It is a ValueError.
    """
    return OtelFlask(app, **options)
