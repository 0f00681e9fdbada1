"""Export requests of encoded items: ``ExportTraceServiceRequest`` and ``ExportLogsServiceRequest``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from opentelemetry.sdk.resources import Resource

from otelflask._internal.export.otlp_encoder import Encoder, field
from otelflask._internal.sdk.flat_items import Flat


class Framing:
    """Makes export requests of encoded items: ``ExportTraceServiceRequest`` and ``ExportLogsServiceRequest``.

    Resources and scopes have the same field numbers in both.

    Args:
        encoder: Encodes resource and scopes.
        resource: Returns the resource of the items.
    """

    def __init__(self, encoder: Encoder, resource: Callable[[], Resource]) -> None:
        self._encoder = encoder
        self._resource = resource

    def request(self, items: Iterable[tuple[Flat, bytes, int]]) -> bytes:
        """The bytes of one request.

        Args:
            items: Scope, message and trace id of each item (`outputs.EncodedItem`).
        """
        by_scope: dict[Flat, list[bytes]] = {}
        for scope, item, _ in items:
            by_scope.setdefault(scope, []).append(item)
        resource = self._resource()
        body = [self._encoder.resource(resource)]
        for scope, encoded in by_scope.items():
            beginning, end = self._encoder.scope(scope)
            body.append(field(b"\x12", beginning + b"".join(encoded) + end))
        if resource.schema_url:
            body.append(field(b"\x1a", resource.schema_url.encode()))
        return field(b"\x0a", b"".join(body))
