"""Draw the package's structure, for the docs: ``make docs``.

A row is a layer of the contract in ``pyproject.toml``, a box is a package or module, and an arrow is
an import. An import that a longer path implies is left out.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

import grimp
import tomllib

ROOT = Path(__file__).resolve().parents[1]
BASE = "otelflask._internal"
WIDTH, ROW, HEIGHT, GAP, LETTER = 1180, 74, 30, 14, 8
#: What imports nothing of ours shares one box, except these.
ALONE = {"request_record", "settings"}

Edges = set[tuple[str, str]]


def layers() -> list[list[str]]:
    """The rows from the top. The last one imports nothing."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rows = [[name.strip() for name in row.split("|")] for row in contracts[0]["layers"]]
    return [row for row in rows if row != ["names"]]


def imports(names: list[str]) -> Edges:
    """Which of these imports which."""
    graph = grimp.build_graph("otelflask")
    found: Edges = set()
    for name in names:
        if graph.find_descendants(f"{BASE}.{name}"):
            graph.squash_module(f"{BASE}.{name}")
    for name in names:
        targets = (item.removeprefix(f"{BASE}.") for item in graph.find_modules_directly_imported_by(f"{BASE}.{name}"))
        found |= {(name, target) for target in targets if target in names and target != name}
    return found


def reduced(edges: Edges) -> Edges:
    """The edges that no longer path implies."""
    below: dict[str, set[str]] = {}

    def reach(name: str) -> set[str]:
        if name not in below:
            direct = {target for source, target in edges if source == name}
            below[name] = direct.union(*(reach(target) for target in direct))
        return below[name]

    return {
        (source, target)
        for source, target in edges
        if not any(target in reach(other) for begin, other in edges if begin == source and other != target)
    }


def drawing() -> str:
    """The picture, as SVG."""
    rows = layers()
    leaves = [name for name in rows[-1] if name not in ALONE]
    names = [name for row in rows for name in row]
    box = dict.fromkeys(leaves, "leaves")
    edges = {(box.get(source, source), box.get(target, target)) for source, target in imports(names)}
    rows[-1] = ["leaves", *sorted(ALONE)]
    labels = {"leaves": " · ".join(leaves)}
    places: dict[str, tuple[float, float, float]] = {}
    for number, row in enumerate(rows):
        widths = [len(labels.get(name, name)) * LETTER + 24 for name in row]
        left = (WIDTH - sum(widths) - GAP * (len(row) - 1)) / 2
        for name, width in zip(row, widths, strict=True):
            places[name] = (left, number * ROW + 10, width)
            left += width + GAP
    parts = [_arrow(places[source], places[target]) for source, target in sorted(reduced(edges))]
    parts += [_box(places[name], labels.get(name, name)) for row in rows for name in row]
    height = len(rows) * ROW - ROW + HEIGHT + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" '
        'font-size="13">'
        "<title>The packages of otelflask, in layers; arrows lead from a package to what it imports</title>"
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#57606a"/></marker></defs>'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _arrow(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    x1, y1 = start[0] + start[2] / 2, start[1] + HEIGHT
    x2, y2 = end[0] + end[2] / 2, end[1] - 2
    bend = (y2 - y1) / 2
    # A long edge runs behind other boxes, so it is lighter than the short ones.
    shade = 0.75 if y2 - y1 < ROW else 0.3
    way = f"M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"
    return f'<path d="{way}" fill="none" stroke="#57606a" stroke-opacity="{shade}" marker-end="url(#end)"/>'


def _box(place: tuple[float, float, float], label: str) -> str:
    x, y, width = place
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{HEIGHT}" rx="5" fill="#ddf4ff" stroke="#0969da"/>'
        f'<text x="{x + width / 2:.0f}" y="{y + 20:.0f}" text-anchor="middle">{escape(label)}</text>'
    )


if __name__ == "__main__":
    print(drawing(), end="")
