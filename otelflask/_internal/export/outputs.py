"""Encoded spans or log records, on their way from the handover to export queues and the live page."""

from __future__ import annotations

from collections.abc import Callable

from otelflask._internal import guard
from otelflask._internal.export.handover import Handover
from otelflask._internal.export.otlp_encoder import Encoder
from otelflask._internal.export.queue import ExportQueue
from otelflask._internal.sdk.flat_items import Flat, LayerBytes

#: Scope (`flat_items.flat_scope`), message as bytes, trace id (0 for none): a flat tuple too.
EncodedItem = tuple[Flat, bytes, int]
#: Sees each item in this process, sampled or not, beside the export.
Watcher = Callable[[EncodedItem], object]


class Output:
    """Encodes the items of one signal, and gives them to the export queues and watchers.

    Args:
        handover: Where items come from.
        encoder: Encodes items, and what many of them share.
        encode: The encoder's method for this signal.
        layer_bytes: The encoder's method for attributes that many items share.
        trace_id_at: The place of the trace id in an item.
    """

    def __init__(
        self,
        handover: Handover,
        encoder: Encoder,
        encode: Callable[[Flat], bytes],
        layer_bytes: LayerBytes,
        trace_id_at: int,
    ) -> None:
        self.handover = handover
        self.encoder = encoder
        self.layer_bytes = layer_bytes
        self.queues: list[ExportQueue] = []
        self.watchers: list[Watcher] = []
        #: Called when the provider has ended.
        self.ended: list[Callable[[], object]] = []
        self._encode = encode
        self._trace_id_at = trace_id_at
        self._kind = handover.add_view(self._view, lambda item, error: self.count_lost(error))

    def hand_over(self, scope: Flat, item: Flat, is_sampled: bool) -> None:
        """Hand over an item that has ended in the app's thread."""
        # One tuple: the garbage collector stops to track a nested one two collections later.
        self.handover.append((self._kind, is_sampled, scope, *item))

    def _view(self, handed_over: Flat) -> None:
        item = handed_over[3:]
        self.give((handed_over[2], self._encode(item), item[self._trace_id_at]), handed_over[1])

    def give(self, item: EncodedItem, is_sampled: bool) -> None:
        """Give an encoded item to the watchers, and if it is sampled to the export queues."""
        if is_sampled:
            for queue in self.queues:
                queue.append(item)
        for watcher in self.watchers:
            watcher(item)

    def count_lost(self, error: Exception) -> None:
        """Count an item that cannot be encoded."""
        for queue in self.queues:
            queue.count("dropped:encoding", 1)
            message = "some %s cannot be encoded, and are dropped and counted"
            guard.log(f"encode:{queue.name}", message, queue.name, exc_info=error)
