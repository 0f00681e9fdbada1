"""sentry-sdk's event as bounded attributes of a log record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from otelflask._internal import attribute_names
from otelflask._internal.app_code import is_in_app
from otelflask._internal.error_reports.sentry import Event
from otelflask._internal.guard import safe_text
from otelflask._internal.limits import bounded
from otelflask._internal.redaction import MASK, Scrubber

#: The longest parts, in characters. With message and stack trace, a report stays below 32 KB.
MAX_MESSAGE = 2_000
MAX_FRAMES_JSON = 6_000
MAX_BREADCRUMBS_JSON = 3_000
MAX_EXTRA_JSON = 2_000
MAX_TAGS = 20
MAX_TAG = 200
MAX_VARIABLE = 200
MAX_VARIABLES = 15
MAX_LINE = 200
_WORD = re.compile(r"[A-Za-z_]\w*")
_LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"")
_OF_SDK = frozenset({"trace", "runtime", "sys.argv"})


def event_attributes(event: Event, scrubber: Scrubber) -> dict[str, Any]:
    """User, tags, breadcrumbs, frames and extras of an event, as far as it has them."""
    found: dict[str, Any] = {}
    user = event.get("user") or {}
    for key, name in (("id", "user.id"), ("username", "user.name"), ("email", "user.email")):
        if user.get(key) is not None:
            found[name] = cut(safe_text(user[key]), MAX_TAG, scrubber)
    tags = event.get("tags") or {}
    items = tags.items() if isinstance(tags, Mapping) else tags
    shown = {safe_text(key)[:MAX_TAG]: bounded(safe_text(value), MAX_TAG) for key, value in list(items)[:MAX_TAGS]}
    shown = {key: cut(str(scrubber.value(key, value)), MAX_TAG, scrubber) for key, value in shown.items()}
    if shown:
        # Single attributes for searches, and one attribute with all for display.
        found.update({f"{attribute_names.TAG_PREFIX}{key}": value for key, value in shown.items()})
        found[attribute_names.ERROR_TAGS] = _json(shown)
    if event.get("event_id"):
        found[attribute_names.ERROR_EVENT_ID] = event["event_id"]
    breadcrumbs = (event.get("breadcrumbs") or {}).get("values") or []
    if breadcrumbs:
        newest_first = ((_json(_breadcrumb(item, scrubber)),) for item in reversed(breadcrumbs))
        found[attribute_names.ERROR_BREADCRUMBS] = _last_that_fit(newest_first, MAX_BREADCRUMBS_JSON)
    frames = _frames(event, scrubber)
    if frames:
        found[attribute_names.ERROR_FRAMES] = frames
    extra = {**(event.get("extra") or {})}
    extra.update({key: value for key, value in (event.get("contexts") or {}).items() if key not in _OF_SDK})
    if extra:
        text = _json(scrubber.value("extra", bounded(extra, MAX_EXTRA_JSON)))
        found[attribute_names.ERROR_EXTRA] = (
            text if len(text) <= MAX_EXTRA_JSON else _json({"left_out": list(extra)[:50]})
        )
    return found


def cut(text: str, limit: int, scrubber: Scrubber) -> str:
    """Mask a text, then cut it to `limit` characters. After the cut, half a secret would not be recognised."""
    return scrubber.text(text[: 4 * limit])[:limit]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=safe_text, separators=(",", ":"))


def _breadcrumb(item: Mapping[str, Any], scrubber: Scrubber) -> dict[str, Any]:
    kept = {key: item[key] for key in ("timestamp", "level", "category") if item.get(key)}
    message = item.get("message") or scrubber.value("data", bounded(item.get("data") or "", MAX_TAG))
    return {**kept, "message": cut(safe_text(message), MAX_TAG, scrubber)}


def _last_that_fit(items: Iterable[tuple[str, ...]], limit: int) -> str:
    """A JSON list of the last items that fit.

    Args:
        items: The items as JSON, last first, each in its forms, longest first.
        limit: The longest list, in characters.
    """
    kept: list[str] = []
    for forms in items:
        text = next((form for form in forms if len(form) < limit), None)
        if text is None:
            break
        limit -= len(text) + 1
        kept.append(text)
    return f"[{','.join(reversed(kept))}]"


def _frames(event: Event, scrubber: Scrubber) -> str:
    """Source and local variables of the app's frames, innermost last as in a traceback, as many as fit."""
    exceptions = (event.get("exception") or {}).get("values") or []
    if not exceptions:
        return ""
    # sentry-sdk puts the outermost exception last.
    frames = ((exceptions[-1].get("stacktrace") or {}).get("frames")) or []
    own = [frame for frame in frames if is_in_app(frame.get("abs_path") or "")] or frames[-1:]
    return _last_that_fit((_frame(frame, scrubber) for frame in reversed(own)), MAX_FRAMES_JSON)


def _frame(frame: Mapping[str, Any], scrubber: Scrubber) -> tuple[str, str]:
    """One frame as JSON, with its source and variables, and without."""
    shown = {
        "file": frame.get("abs_path") or frame.get("filename"),
        "line": frame.get("lineno"),
        "function": frame.get("function"),
    }
    around = {
        "before": [_source(line, scrubber) for line in (frame.get("pre_context") or [])[-3:]],
        "source": _source(frame.get("context_line") or "", scrubber),
        "after": [_source(line, scrubber) for line in (frame.get("post_context") or [])[:2]],
        "variables": {
            name: _short(scrubber.value(name, bounded(value, MAX_VARIABLE)), scrubber)
            for name, value in list((frame.get("vars") or {}).items())[:MAX_VARIABLES]
            if not name.startswith("__")
        },
    }
    return _json({**shown, **around}), _json(shown)


def _source(line: str, scrubber: Scrubber) -> str:
    """A line of source. Strings in a line that names a secret are masked, such as a default argument."""
    line = line[: 4 * MAX_LINE]
    if any(scrubber.is_sensitive(word) for word in _WORD.findall(line)):
        line = _LITERAL.sub(f'"{MASK}"', line)
    code, sign, comment = line.partition("#")
    return f"{scrubber.text(code, pairs=False)}{sign}{scrubber.text(comment)}"[:MAX_LINE]


def _short(value: Any, scrubber: Scrubber) -> str:
    text = value if isinstance(value, str) else _json(value)
    return text if len(text) <= MAX_VARIABLE else cut(text, MAX_VARIABLE - 1, scrubber) + "…"
