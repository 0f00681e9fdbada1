"""The attributes of a request by the stable HTTP conventions (semantic conventions 1.23+, HTTP spans)."""

from __future__ import annotations

from typing import Any

from otelflask._internal import attribute_names
from otelflask._internal.attribute_layers import Interned, Layer
from otelflask._internal.request_record import RequestAttributes, RequestRecord


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


_connection_layers: Interned[Layer] = Interned(_caller_layer)


def _method_layer(method: str) -> Layer:
    return Layer({"http.request.method": method})


_method_layers: Interned[Layer] = Interned(_method_layer)


def of_arrival(record: RequestRecord) -> RequestAttributes:
    """The attributes that are known when a request arrives. Samplers decide by them."""
    # Not a layer: its bytes are used once.
    own: dict[str, Any] = {"url.path": record.path}
    if record.query_string:
        own["url.query"] = record.query_string
    if record.client:
        own["client.address"] = record.client
    if record.method == "_OTHER":
        own["http.request.method_original"] = record.method_original
    if record.request_id:
        own[attribute_names.REQUEST_ID] = record.request_id
    connection = _connection_layers(record.scheme, record.host, record.protocol, record.user_agent)
    return RequestAttributes(outcome=_method_layers(record.method), request=own, connection=connection)


def _outcome_layer(method: str, route: str | None, status: int, error_type: str | None) -> Layer:
    layer = Layer({"http.request.method": method, "http.response.status_code": status})
    if route is not None:
        layer["http.route"] = route
    if error_type is not None:
        layer["error.type"] = error_type
    return layer


#: As many as the app has routes and outcomes.
_outcome_layers: Interned[Layer] = Interned(_outcome_layer)


def of_end(record: RequestRecord) -> RequestAttributes:
    """All attributes of a request that has ended."""
    measured: dict[str, Any] = {"http.response.body.size": record.response_size}
    if record.request_size is not None:
        measured["http.request.body.size"] = record.request_size
    if record.user_id is not None:
        measured["user.id"] = record.user_id
    if record.statement_count:
        measured[attribute_names.QUERY_COUNT] = record.statement_count
        measured[attribute_names.QUERY_DURATION] = record.statement_time_ns / 1e9
    if record.app_error is not None:
        measured[attribute_names.ERROR_CODE], measured[attribute_names.ERROR_MESSAGE] = record.app_error
    if record.profile_id:
        measured[attribute_names.PROFILE_ID] = record.profile_id
    outcome = _outcome_layers(record.method, record.route, record.status, record.error_type)
    known = record.attributes
    return RequestAttributes(outcome, known.request, measured, known.connection)
