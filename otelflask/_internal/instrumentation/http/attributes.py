"""The attributes of a request by the stable HTTP conventions (semantic conventions 1.23+, HTTP spans)."""

from __future__ import annotations

from typing import Any

from otelflask._internal import attribute_names
from otelflask._internal.attribute_layers import Interned, Layer
from otelflask._internal.instrumentation.http.ended_request import EndedRequest
from otelflask._internal.request_record import RequestAttributes, RequestRecord

#: The names of all attributes of a request, its log record's included.
NAMES = frozenset(
    {
        "client.address",
        "error.type",
        "exception.message",
        "exception.type",
        "http.request.body.size",
        "http.request.method",
        "http.request.method_original",
        "http.response.body.size",
        "http.response.status_code",
        "http.route",
        "http.server.request.duration",
        "network.protocol.version",
        "server.address",
        "server.port",
        "url.path",
        "url.query",
        "url.scheme",
        "user.id",
        "user_agent.original",
        attribute_names.ERROR_CODE,
        attribute_names.ERROR_MESSAGE,
        attribute_names.PROFILE_ID,
        attribute_names.QUERY_COUNT,
        attribute_names.QUERY_DURATION,
        attribute_names.REQUEST_ID,
    }
)


def _server(host: str, scheme: str) -> tuple[str, int | None]:
    """``server.address`` and ``server.port`` of a Host header."""
    name, separator, port = host.rpartition(":")
    if not separator or "]" in port or not port.isdigit():
        name, port = host, ""
    if port and len(port) < 6:
        return name.strip("[]"), int(port)
    return name.strip("[]"), {"http": 80, "https": 443}.get(scheme)


def _caller_layer(scheme: str, host: str, protocol: str | None, user_agent: str) -> Layer:
    address, port = _server(host, scheme)
    layer = Layer({"url.scheme": scheme, "server.address": address})
    if port is not None:
        layer["server.port"] = port
    if protocol is not None:
        layer["network.protocol.version"] = protocol
    if user_agent:
        layer["user_agent.original"] = user_agent
    return layer


#: What requests on similar connections have in common, by scheme, host, protocol and user agent.
connection_layers: Interned[Layer] = Interned(_caller_layer)


def _method_layer(method: str) -> Layer:
    return Layer({"http.request.method": method})


_method_layers: Interned[Layer] = Interned(_method_layer)


def client_attributes(
    path: str, query_string: str, client: str, method_original: str, request_size: int | None, response_size: int | None
) -> dict[str, Any]:
    """What repeats where a client asks for the same again. Sizes are in bytes; None where they are not known."""
    own: dict[str, Any] = {"url.path": path}
    if query_string:
        own["url.query"] = query_string
    if client:
        own["client.address"] = client
    if method_original:
        own["http.request.method_original"] = method_original
    if request_size is not None:
        own["http.request.body.size"] = request_size
    if response_size is not None:
        own["http.response.body.size"] = response_size
    return own


def of_arrival(record: RequestRecord) -> RequestAttributes:
    """The attributes that are known when a request arrives. Samplers decide by them. They are made once."""
    if not record.attributes.outcome:
        own = client_attributes(record.path, record.query_string, record.client, _original_of(record), None, None)
        if record.request_id:
            own[attribute_names.REQUEST_ID] = record.request_id
        connection = connection_layers(record.scheme, record.host, record.protocol, record.user_agent)
        record.attributes = RequestAttributes(_method_layers(record.method), own, connection=connection)
    return record.attributes


def _original_of(record: RequestRecord) -> str:
    return record.method_original if record.method == "_OTHER" else ""


def _outcome_layer(method: str, route: str | None, status: int, error_type: str | None) -> Layer:
    layer = Layer({"http.request.method": method, "http.response.status_code": status})
    if route is not None:
        layer["http.route"] = route
    if error_type is not None:
        layer["error.type"] = error_type
    return layer


#: By method, route, status and error type: as many as the app has routes and outcomes.
outcome_layers: Interned[Layer] = Interned(_outcome_layer)


def details_of(request: RequestRecord | EndedRequest) -> dict[str, Any]:
    """What most requests do not have: user, the app's error, a profile."""
    found: dict[str, Any] = {}
    if request.user_id is not None:
        found["user.id"] = request.user_id
    if request.app_error is not None:
        found[attribute_names.ERROR_CODE], found[attribute_names.ERROR_MESSAGE] = request.app_error
    if request.profile_id:
        found[attribute_names.PROFILE_ID] = request.profile_id
    return found


def of_end(record: RequestRecord) -> RequestAttributes:
    """All attributes of a request that has ended. They are made once."""
    known = of_arrival(record)
    if not known.details:
        details: dict[str, Any] = {"http.response.body.size": record.response_size, **details_of(record)}
        if record.statement_count:
            details[attribute_names.QUERY_COUNT] = record.statement_count
            details[attribute_names.QUERY_DURATION] = record.statement_time_ns / 1e9
        if record.request_size is not None:
            details["http.request.body.size"] = record.request_size
        outcome = outcome_layers(record.method, record.route, record.status, record.error_type)
        record.attributes = RequestAttributes(outcome, known.request, details, known.connection)
    return record.attributes
