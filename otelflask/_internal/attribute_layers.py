"""Attributes in layers: what is common to many items is built, and encoded, once.

A request's span and its log record share most of what they say; so do all
spans of one SQL statement. Each such group is a :class:`Layer`; a span or a
record carries a tuple of layers, and the encoder keeps the bytes on the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar


class Layer(dict[str, Any]):
    """A group of attributes that is not changed once an item carries it."""

    __slots__ = ("encoded",)

    #: The bytes of this layer, by the encoder that made them: spans and logs have one each.
    encoded: dict[object, bytes]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.encoded = {}


Layers = tuple[dict[str, Any], ...]


def merged(layers: Layers) -> dict[str, Any]:
    """All attributes as one new dict; later layers win."""
    result: dict[str, Any] = {}
    for layer in layers:
        result.update(layer)
    return result


V = TypeVar("V")


class Interned(Generic[V]):
    """A bounded cache: the same key gives the same object until the cache is full and starts anew."""

    __slots__ = ("_items", "_make", "_size")

    def __init__(self, make: Callable[..., V], size: int = 2_000) -> None:
        self._items: dict[Hashable, V] = {}
        self._make = make
        self._size = size

    def __call__(self, *key: Hashable) -> V:
        item = self._items.get(key)
        if item is None:
            if len(self._items) >= self._size:
                # Started anew rather than evicted one by one: no bookkeeping on each hit.
                self._items = {}
            item = self._items[key] = self._make(*key)
        return item
