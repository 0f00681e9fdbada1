"""A log record as one line, for people or for programs. Nothing in a record can break or forge a line."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from otelflask._internal import attribute_names, event_names
from otelflask._internal.current_request import current_record, current_user_id
from otelflask._internal.guard import safe_text
from otelflask._internal.limits import BODY_LENGTH, Limits, bounded
from otelflask._internal.redaction import Scrubber, scrubbed_attributes
from otelflask._internal.request_record import RequestRecord

#: Control characters, line separators other than newline (U+0085, U+2028, U+2029), and marks that reverse the direction
#: of text. They are shown as escapes.
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SHOWN = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _CONTROLS}
_SHOWN |= {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}


def escaping(escapes: Mapping[int, str]) -> Callable[[str], str]:
    """A function that replaces characters (by code point) in a text.

    `str.translate` raises and catches an exception for each other character, unless all of the text is ASCII.
    """
    characters = "".join(map(re.escape, map(chr, escapes)))
    return functools.partial(re.compile(f"[{characters}]").sub, lambda found: escapes[ord(found.group())])


_shown = escaping(_SHOWN)
#: The same for JSON, which escapes the first 32 itself.
_json_escaped = escaping({code: f"\\u{code:04x}" for code in _CONTROLS if code >= 0x20})
#: Attributes that a text line does not show: its text has them, or people do not need them.
_LEFT_OUT = ("code.", "exception.", "http.", "url.", "network.", "server.", "client.", "user_agent.", "user.", "error.")


class RequestInfo(NamedTuple):
    """The request of a line."""

    request_id: str = ""
    method: str = ""
    path: str = ""
    client: str = ""
    user: str = ""


def current_request_info() -> RequestInfo:
    """The current request; empty outside of a request."""
    record = current_record()
    return _of(record) if record is not None else RequestInfo()


def _of(record: RequestRecord) -> RequestInfo:
    return RequestInfo(record.request_id, record.method, record.path, record.client, current_user_id() or "")


class LineFormat:
    """Formats log records as lines.

    ``json`` and ``text`` take the SDK's log record with its scope, and the request of the record.

    Args:
        scrubber: Masks secrets.
        limits: What a record may carry.
    """

    def __init__(self, scrubber: Scrubber, limits: Limits) -> None:
        self._scrubber = scrubber
        self.limits = limits

    def parts(self, item: Any, request: RequestInfo) -> tuple[dict[str, str], str, dict[str, Any]]:
        """The common fields, the message, and the attributes of a record, masked and bounded."""
        record = item.log_record
        attributes = scrubbed_attributes(record.attributes, self._scrubber, self.limits)
        moment = datetime.fromtimestamp((record.timestamp or record.observed_timestamp) / 1e9, timezone.utc)
        scope = item.instrumentation_scope
        # A request's own line may be written after the request, and has it as an attribute.
        own_id = str(attributes.pop(attribute_names.REQUEST_ID, ""))
        head = {
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.severity_text or "",
            "logger": scope.name if scope is not None else "",
            "event": record.event_name or "",
            "trace_id": f"{record.trace_id:032x}" if record.trace_id else "",
            "span_id": f"{record.span_id:016x}" if record.span_id else "",
            "request_id": request.request_id or own_id,
            "method": request.method or str(attributes.get("http.request.method", "")),
            "path": self._scrubber.text(request.path) if request.path else str(attributes.get("url.path", "")),
            "client": request.client or str(attributes.get("client.address", "")),
            "user": request.user or str(attributes.get("user.id", "")),
        }
        length = BODY_LENGTH
        body = record.body if isinstance(record.body, str) else safe_text(record.body)
        return head, self.limits.text(self._scrubber.text(bounded(body, length)), length), attributes

    def json(self, item: Any, request: RequestInfo) -> str:
        """One JSON object. What could look like a line end, or break the line's encoding, is escaped."""
        head, message, attributes = self.parts(item, request)
        line: dict[str, Any] = {name: value for name, value in head.items() if value}
        line["message"] = message
        for name, value in attributes.items():
            line.setdefault(name, value)
        text = json.dumps(line, ensure_ascii=False, default=safe_text, separators=(",", ":"))
        # JSON allows these characters only in strings, and there as escapes. A lone surrogate has no UTF-8.
        return _json_escaped(text).encode("utf-8", "backslashreplace").decode()

    def text(self, item: Any, request: RequestInfo) -> str:
        """One line, followed by the stack of an exception, with a bar before each of its lines."""
        head, message, attributes = self.parts(item, request)
        own = _own(attributes)
        about = {name: head[name] for name in ("client", "user", "request_id", "trace_id") if head[name]}
        if head["event"] != event_names.REQUEST:
            about = {"request": f"{head['method']} {head['path']}".strip(), **about}
        tail = " ".join(f"{shown(name)}={shown(value)}" for name, value in {**own, **about}.items() if value != "")
        line = f"{head['timestamp']} {head['level']:<5} {shown(head['logger'])}: {shown(message)}"
        if tail:
            line += f"  [{tail}]"
        return line + self.stack(attributes)

    @staticmethod
    def stack(attributes: dict[str, Any]) -> str:
        """The lines of an exception's stack, with a bar before each; empty without an exception."""
        text = attributes.get("exception.stacktrace")
        return "".join(f"\n    | {shown(part)}" for part in str(text).rstrip("\n").split("\n")) if text else ""


def extras(attributes: dict[str, Any]) -> str:
    """The attributes that a text line shows: ``name=value``, separated by spaces."""
    return " ".join(f"{shown(name)}={shown(value)}" for name, value in _own(attributes).items() if value != "")


def _own(attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        # The text of a request's line ends with its message.
        name: value
        for name, value in attributes.items()
        if not name.startswith(_LEFT_OUT) and name != attribute_names.ERROR_MESSAGE
    }


def shown(value: Any) -> str:
    """A value as text that cannot break a line."""
    text = value if isinstance(value, str) else safe_text(value)
    return _shown(text).encode("utf-8", "backslashreplace").decode()
