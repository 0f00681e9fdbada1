"""Headers that the user wants on spans (semantic conventions, ``http.request.header.<key>``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry.util.http import SanitizeValue

from otelflask._internal.settings import Settings

#: The longest header value that is kept, in characters.
_MAX_LENGTH = 2_048
#: The longest name that is searched: an expression of a setting may start at each of its characters.
_MAX_NAME = 256


def _patterns(text: str) -> list[str]:
    return [pattern.strip() for pattern in text.split(",") if pattern.strip()]


class CapturedHeaders:
    """Selects headers by names or regular expressions, and masks those that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._sanitize = SanitizeValue(_patterns(settings.sanitized_headers))
        self._request = _patterns(settings.request_headers)
        self._response = _patterns(settings.response_headers)

    def of_request(self, environ: dict[str, Any]) -> dict[str, list[str]]:
        """The attributes of a WSGI environ's headers."""
        if not self._request:
            return {}
        headers = {
            key[5:].replace("_", "-").lower(): str(value)[:_MAX_LENGTH]
            for key, value in environ.items()
            if key.startswith("HTTP_") and len(key) <= _MAX_NAME
        }
        for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(key):
                headers[key.replace("_", "-").lower()] = str(environ[key])[:_MAX_LENGTH]
        return self._sanitize.sanitize_header_values(headers, self._request, "http.request.header.{}".format)

    def of_response(self, response_headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
        """The attributes of a response's headers. A header that occurs twice has two values."""
        if not self._response:
            return {}
        headers: dict[str, str | list[str]] = {}
        for name, value in response_headers:
            if len(name) > _MAX_NAME:
                continue
            values = headers.setdefault(name.lower(), [])
            assert isinstance(values, list)
            values.append(value[:_MAX_LENGTH])
        return self._sanitize.sanitize_header_values(headers, self._response, "http.response.header.{}".format)
