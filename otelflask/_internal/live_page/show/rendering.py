"""The page's templates, and the formats of times, sizes and shares. All values are escaped."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

NOTHING = "–"


def make_environment() -> Environment:
    """Make Jinja's environment with the page's templates and filters."""
    environment = Environment(
        loader=PackageLoader("otelflask._internal.live_page.show"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        duration=duration, seconds=seconds, clock=clock, iso_clock=iso_clock, size=size, share=share, uptime=uptime,
        rate=rate, figure=figure, short=short, level=level, parsed=parsed, segment=segment,
    )  # fmt: skip
    return environment


def duration(ns: float) -> str:
    """Nanoseconds, such as ``12.3 ms``."""
    milliseconds = ns / 1e6 if math.isfinite(ns) else 0.0
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.2g} ms"


def seconds(value: float | None) -> str:
    """Seconds, such as ``12.3 ms``."""
    return NOTHING if value is None else duration(value * 1e9)


def uptime(value: float) -> str:
    """Seconds as days, hours, minutes or seconds, such as ``3 h``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if value >= 2 * length:
            return f"{value / length:.0f} {unit}"
    return f"{value:.0f} s"


def clock(ns: int) -> Markup:
    """A time in UTC. The script converts it to the reader's time zone."""
    at = datetime.fromtimestamp(ns / 1e9, timezone.utc)
    text = f"{at:%H:%M:%S}"
    iso = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(iso, text)


def iso_clock(text: str) -> Markup:
    """A time in ISO 8601, as `clock`; empty where it is none."""
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return Markup()
    return clock(int((at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp() * 1e9))


def size(value: float | None) -> str:
    """Bytes, such as ``12 MiB``."""
    return NOTHING if value is None else f"{value / 2**20:,.0f} MiB"


def share(value: float | None) -> str:
    """A share of 1, such as ``12 %``."""
    if value is None:
        return NOTHING
    return f"{100 * value:.1f} %" if 0 < value < 0.1 else f"{100 * value:.0f} %"


def rate(value: float | None, largest: float | None = None) -> str:
    """A rate, such as ``1.2/s``; a low one is ``1.2/min`` or ``1.2/h``.

    Args:
        value: A number each second.
        largest: The largest of a column, which gives the unit of all.
    """
    if value is None:
        return NOTHING
    by = value if largest is None else largest
    unit, seconds = ("s", 1) if by >= 0.1 or not by else ("min", 60) if by * 60 >= 0.1 else ("h", 3600)
    number = value * seconds
    return f"{number:.2f}/{unit}" if number < 10 else f"{number:,.0f}/{unit}"


def figure(value: float | None, kind: str) -> str:
    """A panel's value in the format of its kind."""
    writers = {"seconds": seconds, "bytes": size, "share": share, "rate": rate}
    if kind in writers:
        return writers[kind](value)
    return NOTHING if value is None else f"{value:,.0f}"


def short(identifier: str) -> str:
    """The beginning of an id."""
    return identifier[:8]


def level(text: str) -> str:
    """The display class of a level: ``error``, ``warn`` or ``info``."""
    upper = text.upper()
    if upper.startswith("WARN"):
        return "warn"
    return "error" if upper.startswith(("ERROR", "CRITICAL", "FATAL")) else "info"


def parsed(text: Any) -> list[Any]:
    """A JSON list; empty where the text was cut and is not valid JSON any more."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def segment(text: str) -> str:
    """A text as one segment of a path, or as a value in a query string."""
    return quote(text, safe="")
