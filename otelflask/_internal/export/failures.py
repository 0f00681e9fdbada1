"""Why nothing was delivered: whether there was a connection, and what to write where that can be known."""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

#: Errors of the operating system, and their texts in gRPC.
_UNREACHABLE = frozenset({errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH})
_UNREACHABLE_GRPC = ("Connection refused", "Network is unreachable", "No route to host", "DNS", "errors resolving")

_NOTHING = (
    "nothing listens at this address; to send nothing, set OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER and "
    "OTEL_LOGS_EXPORTER to none"
)
_NO_SUCH_HOST = "there is no host of this name"
_IS_GRPC = "a gRPC receiver is at this address; set OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or write its port for HTTP"
_IS_HTTP = (
    "an HTTP receiver is at this address; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or write its port for gRPC"
)
_NO_TLS = "the receiver has no TLS; write http:// instead of https://"
_TLS = "the receiver has TLS; write https:// instead of http://"
_UNTRUSTED = "the receiver's certificate is not trusted; set OTEL_EXPORTER_OTLP_CERTIFICATE to its authority's file"
_CLOSED = "the receiver closes each connection; it may have TLS (write https://), or be no gRPC receiver"
_BY_STATUS = {
    401: "the receiver wants credentials; set OTEL_EXPORTER_OTLP_HEADERS",
    403: "the receiver does not allow it; check OTEL_EXPORTER_OTLP_HEADERS",
    404: "the receiver does not know this path; OTLP/HTTP has /v1/traces, /v1/metrics and /v1/logs",
    405: "this server takes no POST, so it is no OTLP receiver",
    501: "this server takes no POST, so it is no OTLP receiver",
}
#: What Go's and nginx's servers answer to HTTP on a port with TLS.
_PLAIN_TO_TLS = (b"HTTP request to an HTTPS server", b"plain HTTP request was sent to HTTPS port")
#: How OpenSSL's versions name an answer without TLS.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
#: A client's connection preface and an empty SETTINGS frame (RFC 9113, 3.4 and 6.5), and the type of that frame.
_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SETTINGS = 4
#: Seconds for one look at a port, and between two looks. A log line about it comes once a minute.
_PROBE_S = 1.0
_PROBE_EVERY_S = 60.0


class Failure(NamedTuple):
    """Why an attempt failed.

    Attributes:
        unreachable: Whether no connection was made: refused, no such host, no route.
        advice: What is wrong and what to write; empty where that is not known.
    """

    unreachable: bool = False
    advice: str = ""


def of_exception(error: BaseException | None, endpoint: str) -> Failure:
    """The failure behind an exception of the HTTP client."""
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Failure(unreachable=True, advice=_NO_SUCH_HOST)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Failure(unreachable=True, advice=_NOTHING)
    if any(_is_unreachable(cause) for cause in causes):
        return Failure(unreachable=True)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure(advice=_UNTRUSTED)
        if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
            return Failure(advice=_NO_TLS)
    # A server of HTTP/2 closes the connection at the first line of HTTP/1.1, or answers with a frame.
    closed = any(isinstance(cause, (ConnectionResetError, http.client.BadStatusLine)) for cause in causes)
    is_grpc = closed and _has_http2(endpoint, int(time.monotonic() // _PROBE_EVERY_S))
    return Failure(advice=_IS_GRPC if is_grpc else "")


def of_response(status: int, body: bytes) -> Failure:
    """The failure that an HTTP response without success tells of."""
    if status == 400 and any(text in body for text in _PLAIN_TO_TLS):
        return Failure(advice=_TLS)
    return Failure(advice=_BY_STATUS.get(status, ""))


def of_grpc(details: str) -> Failure:
    """The failure behind an UNAVAILABLE of gRPC."""
    advice = {
        "Connection refused": _NOTHING,
        "DNS": _NO_SUCH_HOST,
        "errors resolving": _NO_SUCH_HOST,
        "Failed parsing HTTP/2": _IS_HTTP,
        "CERTIFICATE_VERIFY_FAILED": _UNTRUSTED,
        "WRONG_VERSION_NUMBER": _NO_TLS,
        "Socket closed": _CLOSED,
    }
    unreachable = any(text in details for text in _UNREACHABLE_GRPC)
    return Failure(unreachable, next((found for text, found in advice.items() if text in details), ""))


def _is_unreachable(cause: BaseException) -> bool:
    return isinstance(cause, OSError) and cause.errno in _UNREACHABLE


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it comes from. The operating system's error is among its causes or arguments."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting and len(seen) < 20:
        item = waiting.pop()
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            yield item
            waiting += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]


@functools.lru_cache(maxsize=8)
def _has_http2(endpoint: str, time_slot: int) -> bool:
    """Whether a server of HTTP/2 without TLS is at an endpoint, as servers of gRPC are. Asked once a time slot."""
    answer = b""
    with contextlib.suppress(OSError, ValueError):
        parts = urlsplit(endpoint)
        with socket.create_connection((parts.hostname or "", parts.port or 80), _PROBE_S) as connection:
            connection.settimeout(_PROBE_S)
            connection.sendall(_HTTP2_HELLO)
            answer = connection.recv(9)
    return len(answer) == 9 and answer[3] == _SETTINGS
