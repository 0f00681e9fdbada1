"""Scripts, styles and the icon of the page, at addresses that change with their content."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Traversable

_CONTENT_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file: its bytes, the same bytes compressed, and its content type."""

    content: bytes
    compressed: bytes
    content_type: str


class Assets:
    """All assets, below one address with a hash of all of them, so that a script finds the others beside it."""

    def __init__(self) -> None:
        self._known = dict(_read(files("otelflask._internal.live_page.show").joinpath("static")))
        joined = b"".join(name.encode() + asset.content for name, asset in sorted(self._known.items()))
        self.version = hashlib.sha256(joined).hexdigest()[:12]

    def get(self, path: str) -> Asset | None:
        """The asset at a path such as ``/assets/VERSION/page.js``; None where there is none."""
        prefix = f"/assets/{self.version}/"
        return self._known.get(path.removeprefix(prefix)) if path.startswith(prefix) else None


def _read(folder: Traversable, below: str = "") -> Iterator[tuple[str, Asset]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _read(item, f"{below}{item.name}/")
        elif item.name.rpartition(".")[2] in _CONTENT_TYPES:
            content = item.read_bytes()
            kind = _CONTENT_TYPES[item.name.rpartition(".")[2]]
            yield f"{below}{item.name}", Asset(content, gzip.compress(content, mtime=0), kind)
