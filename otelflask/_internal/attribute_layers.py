"""Attributes in layers: what many items have in common is built and encoded once.

A request's span and its log record share most of their attributes. So do all spans of one SQL
statement. Each such group is a `Layer`. A span or a record carries a tuple of layers, and the
encoder keeps the bytes of each layer on the layer itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar


class Layer(dict[str, Any]):
    """A group of attributes. It must not change once an item carries it."""

    __slots__ = ("encoded",)

    #: The encoded bytes of this layer, by the encoder that made them: spans and logs have one each.
    encoded: dict[object, bytes]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.encoded = {}


Layers = tuple[dict[str, Any], ...]
#: Layers, or what makes them when something reads them.
LazyLayers = Layers | Callable[[], Layers]


def made(layers: LazyLayers) -> Layers:
    """The layers themselves."""
    return layers() if callable(layers) else layers


def merged(layers: Layers) -> dict[str, Any]:
    """All attributes as one new dict. Later layers win."""
    result: dict[str, Any] = {}
    for layer in layers:
        result.update(layer)
    return result


V = TypeVar("V")


class Interned(Generic[V]):
    """A bounded cache: a key gives the same object each time, until the cache is full and starts from nothing."""

    __slots__ = ("_items", "_make", "_size")

    def __init__(self, make: Callable[..., V], size: int = 2_000) -> None:
        self._items: dict[Hashable, V] = {}
        self._make = make
        self._size = size

    def __call__(self, *key: Hashable) -> V:
        item = self._items.get(key)
        if item is None:
            if len(self._items) >= self._size:
                # The cache is emptied as a whole, because evicting single items would cost work on each hit.
                self._items = {}
            item = self._items[key] = self._make(*key)
        return item

    def values(self) -> list[V]:
        """All objects that are cached now."""
        return list(self._items.values())
