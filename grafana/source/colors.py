"""One palette, by meaning: a status, a level, a state and a percentile have the same colour on every dashboard."""

from __future__ import annotations

from typing import Any

from grafana.source.queries import Json

#: What is well, what needs attention, what is wrong, and what is neither.
GOOD, ATTENTION, WORSE, BAD, NEUTRAL = "green", "yellow", "orange", "red", "text"
#: An amount without a judgement.
AMOUNT = "blue"


def thresholds(*steps: tuple[float | None, str]) -> Json:
    """Colours by threshold. The value of the first step is None."""
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


#: Shares of failures, and durations of requests in seconds.
FAILURES = thresholds((None, GOOD), (0.01, ATTENTION), (0.05, BAD))
LATENCY = thresholds((None, GOOD), (0.5, ATTENTION), (1, BAD))
#: A count that should be zero.
NONE_IS_GOOD = thresholds((None, GOOD), (1, BAD))
#: A count that should be zero, and whose zero does not say that all is well.
SOME_IS_BAD = thresholds((None, NEUTRAL), (1, BAD))
#: The share of an error budget that is left.
BUDGET = thresholds((None, BAD), (0, WORSE), (0.25, GOOD))


def override(name: str, *, regex: bool = False, **properties: Any) -> Json:
    """Properties of the fields with a name. `__` in a property's name stands for a dot."""
    return {
        "matcher": {"id": "byRegexp" if regex else "byName", "options": name},
        "properties": [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()],
    }


def failed_share(name: str, width: int) -> Json:
    """A column with a share of failures."""
    return override(
        name,
        unit="percentunit",
        custom__width=width,
        custom__cellOptions={"type": "color-text"},
        thresholds=FAILURES,
    )


def of_query(reference: str, **properties: Any) -> Json:
    """Properties of the fields of one query, by its letter."""
    return {**override("", **properties), "matcher": {"id": "byFrameRefID", "options": reference}}


def color(name: str, value: str, *, regex: bool = False) -> Json:
    """A fixed colour for a field."""
    return override(name, regex=regex, color={"mode": "fixed", "fixedColor": value})


def shades(pattern: str, value: str) -> Json:
    """Shades of a colour for the fields with a matching name."""
    return override(pattern, regex=True, color={"mode": "shades", "fixedColor": value})


#: Status codes, alone or after a name. What has no status is the type of an exception.
STATUS = [
    shades(r"/(^| )\S*[A-Za-z_]\S*$/", BAD),
    shades(r"/(^| )[12]\d\d$/", GOOD),
    shades(r"/(^| )3\d\d$/", AMOUNT),
    shades(r"/(^| )4\d\d$/", ATTENTION),
    shades(r"/(^| )5\d\d$/", BAD),
]
LEVELS = [
    color("/^debug/i", NEUTRAL, regex=True),
    color("/^info/i", AMOUNT, regex=True),
    color("/^warn/i", ATTENTION, regex=True),
    color("/^error/i", BAD, regex=True),
    color("/^(critical|fatal)/i", "dark-red", regex=True),
]
#: Shades of one colour, because a percentile is neither good nor bad.
PERCENTILES = [
    color("/p50$/", "light-blue", regex=True),
    color("/p95$/", AMOUNT, regex=True),
    color("/p99$/", "dark-blue", regex=True),
]
OUTCOMES = [
    color("/ success$/", GOOD, regex=True),
    color("/ failure$/", BAD, regex=True),
    color("/ rejected$/", ATTENTION, regex=True),
    color("/ other$/", NEUTRAL, regex=True),
]


def states(names: dict[float, tuple[str, str]]) -> list[Json]:
    """Value mappings: value → (text, colour)."""
    options = {f"{value:g}": {"text": text, "color": color} for value, (text, color) in names.items()}
    return [{"type": "value", "options": options}]


def no_value(text: str, color: str) -> Json:
    """A value mapping for no result, or a failed query: text and colour."""
    return {"type": "special", "options": {"match": "null", "result": {"text": text, "color": color}}}
