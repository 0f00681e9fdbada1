"""The worst inputs of a stranger, each at 1, 8 and 64 KB. ``test_costs`` runs it under valgrind."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.http import parse_excluded_urls

from otelflask._internal.error_reports.fingerprint import normalised
from otelflask._internal.export.otlp_encoder import Encoder
from otelflask._internal.instrumentation.database.lexis import Rules
from otelflask._internal.instrumentation.database.plan import _INTO
from otelflask._internal.instrumentation.database.sql import read
from otelflask._internal.instrumentation.http.captured_headers import CapturedHeaders
from otelflask._internal.instrumentation.http.middleware import _REQUEST_ID, Middleware
from otelflask._internal.instrumentation.http.remote_context import remote_context
from otelflask._internal.limits import Limits
from otelflask._internal.live_page.collect.rows import _COLOUR
from otelflask._internal.live_page.show.development_server import _OwnLines
from otelflask._internal.live_page.show.views import _CURSOR, _MILLISECONDS, _TRACE_ID
from otelflask._internal.local_output.lines import LineFormat, RequestInfo
from otelflask._internal.profiles.store import ID
from otelflask._internal.redaction import Scrubber
from otelflask._internal.request_record import _NUMBER
from otelflask._internal.sdk.log_records import Record
from otelflask._internal.settings import Settings
from tests.instructions import measure
from tests.otlp import encoded_logs

KB = 1_024
SIZES = (KB, 8 * KB, 64 * KB)

scrubber = Scrubber()
#: What is repeated up to the size, after a beginning.
TEXTS: dict[str, tuple[str, str]] = {
    name: ("", name)
    for name in (
        "token", "cookie_", "signature.", "eyJ", "eyJ0eXAiOi.", "eyJ0eXAiOi.eyJ", "password=", "password='",
        'password="', "password=\\\"", "password= ", "password : ", "token%3d", "tokens=", "tokens='\"", "cookie: a; ",
        "bearer ", "basic\t", "://", "://a@", "@://", "a://b", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ",
        "-----END ", "AKIA", "AKIAAAAAAAAAAAAAAAAA", "ghp_", "xoxb-", "4", "4 ", "4-4", "4111111111111111 ",
        "debugger pin: 1", "debugger pin: ", "\u0130token=", "[redacted]", "'", '"', "=", ": ", "\\", "a", "\x00", "é",
    )
}  # fmt: skip
TEXTS |= {
    "token and letters": ("token", "a"),
    "token and spaces": ("token", " "),
    "token= and spaces": ("token=", " "),
    "token=bearer and spaces": ("token=bearer", " "),
    "token=' and backslashes": ("token='", "\\"),
    "token=' and letters": ("token='", "a"),
    "bearer and spaces": ("bearer", " "),
    "eyJ and letters": ("eyJ", "a"),
    "a key of one part": ("-----BEGIN PRIVATE KEY-----", "PRIVATE KEY"),
    "a key without an end": ("-----BEGIN PRIVATE KEY-----", "-----END A"),
    "a name of letters": ("-----BEGIN ", "A"),
    "://, letters, @": ("://@", "a"),
}
#: Cut above a limit, so they cost no more than what is kept.
STATEMENTS: dict[str, tuple[str, str]] = {
    name: ("SELECT ", name)
    for name in (
        "'", "''", '"', "`", "[a ", "$a$", "$a", "$$", "--", "/*", "%(", "%(a)s", "in (%(", "in (?,", "in (",
        "values (",
        "values (?), ", "1.", "1e", "1a", ":a", "(", "a ", " ", "E'\\", "?1", "-1",
        "/*/", "*/", "#", "1_", ".1", "q'", "q'[",
        "]'", "\"\\", "'\\", "set \"", ",\"",
    )
}  # fmt: skip
MESSAGES: dict[str, tuple[str, str]] = {
    name: ("", name)
    for name in (
        "a@a",
        "a@",
        "a.a@",
        "a://",
        "a+",
        "1.1",
        "1:",
        "0x",
        "a1",
        "'",
        "\"'",
        "/a",
        "/",
        "1-",
        "2026-11-26T",
        "f",
    )
}


def grown(text: tuple[str, str], size: int) -> str:
    first, repeated = text
    return (first + repeated * (size // len(repeated) + 1))[:size]


def record(body: str, attributes: dict[str, Any]) -> ReadableLogRecord:
    made = Record(0, SeverityNumber.INFO, "INFO", body, (attributes,), None)
    made.observed_timestamp = 0
    return ReadableLogRecord(made, Resource({}), None)


def lines_of(text: str) -> None:
    """One record through every output, with the text as its body, in a name, below a name, and in a list."""
    layout = LineFormat(scrubber, Limits())
    nested = {"text": text, "inner": {"text": [text, text]}}
    layout.json(record(text, nested), RequestInfo(path=text))
    layout.text(record(text, nested), RequestInfo(path=text))


def encoded(text: str) -> None:
    encoded_logs(
        Encoder(scrubber, Limits()), [record(text, {"text": text, "inner": {"text": [text]}, "bytes": text.encode()})]
    )


def context_of(text: str) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    environ = {"HTTP_TRACEPARENT": trace, "HTTP_TRACESTATE": text, "HTTP_BAGGAGE": text}
    remote_context(environ, "follow")
    remote_context({"HTTP_TRACEPARENT": text}, "follow")


def own_line(text: str) -> None:
    _OwnLines("/monitoring").filter(
        logging.LogRecord("werkzeug", 20, "", 0, f'127.0.0.1 - - [x] "{text}" 404 -', (), None)
    )


def captured_headers(text: str) -> None:
    name = "HTTP_" + text.upper().replace("-", "_")
    CapturedHeaders(Settings(request_headers="x-.*,accept.*", sanitized_headers=".*token.*")).of_request(
        {name: text, f"HTTP_X_{name}": text, "HTTP_X_TOKEN": text}
    )


EXCLUDED = parse_excluded_urls(".*/health.*,.*metrics$")


def excluded(text: str) -> None:
    middleware = object.__new__(Middleware)
    middleware._excluded_urls = EXCLUDED
    environ = {"PATH_INFO": f"/{text}", "QUERY_STRING": text, "HTTP_HOST": "localhost", "wsgi.url_scheme": "http"}
    middleware._is_excluded(environ)


#: Single expressions that the above does not cover.
ONE_BY_ONE: dict[str, Callable[[str], object]] = {
    "request id": _REQUEST_ID.match,
    "content length": _NUMBER.match,
    "colours of a line": lambda text: _COLOUR.sub("", text),
    "INTO of a statement": _INTO.search,
    "trace id": _TRACE_ID.fullmatch,
    "milliseconds": _MILLISECONDS.fullmatch,
    "cursor": _CURSOR.fullmatch,
    "profile": ID.fullmatch,
    "headers": captured_headers,
}
ANYTHING = {
    name: ("", name)
    for name in ("a", "0", "'", "''", "x-token", "into", "/health", " ", "\x1b[", "\x1b[0;", "\x1b[0m", "-", ".0")
}


HEADERS = {name: ("a=b", name) for name in (" ", ",", "a=b,", "a=b ,", ";", "=", "a", '"', "%41", "\t", "\t,")}
REQUESTS = {
    name: ("GET /monitoring ", name)
    for name in ("GET /monitoring HTTP/1", "GET /monitoring/", "GET ", "HTTP/1.", "\x1b[", "\x1b[0", "1")
}
FAMILIES: dict[str, tuple[Callable[[str], object], dict[str, tuple[str, str]]]] = {
    "secrets": (scrubber.text, TEXTS),
    "lines": (lines_of, {name: TEXTS[name] for name in ("token", "eyJ", "password=", "a")}),
    "otlp": (encoded, {name: TEXTS[name] for name in ("token", "eyJ", "password=", "a")}),
    "statements": (functools.partial(read, rules=Rules.PERHAPS_DOUBLE_QUOTED | Rules.NESTED | Rules.Q), STATEMENTS),
    "statements with other rules": (
        functools.partial(read, rules=Rules.BACKSLASH | Rules.DOUBLE_QUOTED | Rules.HASH),
        {name: STATEMENTS[name] for name in ("'", "''", '"', "--", "/*", "#", '"\\', "'\\")},
    ),
    "messages": (normalised, MESSAGES),
    "contexts": (context_of, HEADERS),
    "page's lines": (own_line, REQUESTS),
    # Quoting a URL costs more than the rest.
    "excluded URLs": (excluded, {name: ANYTHING[name] for name in ("a", "/health", " ", "\x1b[")}),
    **{name: (function, ANYTHING) for name, function in ONE_BY_ONE.items()},
}


def main(wanted: Iterable[str]) -> None:
    for name in wanted or FAMILIES:
        function, texts = FAMILIES[name]
        for text in texts:
            for size in SIZES:
                given = grown(texts[text], size)
                measure(f"{name} | {text!r} | {size}", lambda given=given, function=function: function(given))  # type: ignore[misc]


if __name__ == "__main__":
    main(sys.argv[1:])
