"""The attributes of a request by the stable HTTP conventions (semantic conventions 1.23+, HTTP spans)."""

from __future__ import annotations

from typing import Any

from otelflask.http.record import RequestRecord
from otelflask.pipeline.attributes import Interned, Layer

_PROTOCOLS = {"HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2": "2", "HTTP/2.0": "2", "HTTP/3": "3", "HTTP/3.0": "3"}
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
#: Longest piece of a header or path that is kept, in characters.
MAX_LENGTH = 2_048


def scheme(environ: dict[str, Any]) -> str:
    """``url.scheme`` from a known set: a proxy header must not make metric series."""
    value = environ.get("wsgi.url_scheme", "http")
    return value if value in _SCHEMES else "_OTHER"


def _server(host: str, scheme: str) -> tuple[str, int | None]:
    """``server.address`` and ``server.port`` of a Host header."""
    name, separator, port = host.rpartition(":")
    if not separator or "]" in port or not port.isdigit():
        name, port = host, ""
    if port and len(port) < 6:
        return name.strip("[]"), int(port)
    return name.strip("[]"), {"http": 80, "https": 443}.get(scheme)


def _server_layer(scheme: str, host: str, protocol: str, user_agent: str | None) -> Layer:
    address, port = _server(host, scheme)
    layer = Layer({"url.scheme": scheme, "server.address": address})
    if port is not None:
        layer["server.port"] = port
    if protocol in _PROTOCOLS:
        layer["network.protocol.version"] = _PROTOCOLS[protocol]
    if user_agent is not None:
        layer["user_agent.original"] = user_agent
    return layer


_server_layers: Interned[Layer] = Interned(_server_layer)


def request_layers(record: RequestRecord) -> tuple[Layer, Layer]:
    """What is known when the request arrives: what callers share, and what is this request's own."""
    environ = record.environ
    user_agent = environ.get("HTTP_USER_AGENT")
    host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME") or ""
    shared = _server_layers(
        scheme(environ),
        host[:255],
        environ.get("SERVER_PROTOCOL", ""),
        user_agent[:512] if user_agent else None,
    )
    path = (environ.get("SCRIPT_NAME") or "") + (environ.get("PATH_INFO") or "/")
    own = Layer({"url.path": _decoded(path[:MAX_LENGTH])})
    query = environ.get("QUERY_STRING")
    if query:
        own["url.query"] = query[:MAX_LENGTH]
    client = environ.get("REMOTE_ADDR")
    if client:
        own["client.address"] = client[:64]
    if record.method == "_OTHER":
        own["http.request.method_original"] = str(environ.get("REQUEST_METHOD"))[:64]
    return shared, own


def _decoded(path: str) -> str:
    """A WSGI path as text: WSGI carries the bytes as Latin-1 (PEP 3333)."""
    if path.isascii():
        return path
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


def _outcome_layer(method: str, route: str | None, status: int, error_type: str | None) -> Layer:
    layer = Layer({"http.request.method": method, "http.response.status_code": status})
    if route is not None:
        layer["http.route"] = route
    if error_type is not None:
        layer["error.type"] = error_type
    return layer


#: Method, route, status and error type of a request: as many as the app has routes and outcomes.
outcome_layer: Interned[Layer] = Interned(_outcome_layer)


def route_of(environ: dict[str, Any]) -> str | None:
    """``http.route``: the rule that Flask matched, or None."""
    request = environ.get("werkzeug.request")
    rule = getattr(request, "url_rule", None)
    return rule.rule if rule is not None else None
