"""Mask what a real Sentry gets, as in all other outputs."""

from __future__ import annotations

from typing import Any

from sentry_sdk.envelope import Envelope

from otelflask._internal.redaction import MASK, Scrubber

#: What sentry-sdk has masked itself (``sentry_sdk.utils.SENSITIVE_DATA_SUBSTITUTE``).
_FILTERED = "[Filtered]"
#: Lines of source code: a value in them is an expression, and no secret by its name.
_SOURCE = frozenset({"context_line", "pre_context", "post_context"})
#: What Sentry needs as it is: ids, types and versions.
_AS_IT_IS = frozenset({"event_id", "sdk", "modules", "platform", "type", "module", "filename", "abs_path", "function"})


def mask(envelope: Envelope, scrubber: Scrubber) -> None:
    """Mask the events of an envelope, which sentry-sdk has made of copies."""
    for item in envelope.items:
        body = getattr(item.payload, "json", None)
        if isinstance(body, dict):
            item.payload.json = {name: _masked(name, value, scrubber) for name, value in body.items()}


def _masked(name: str, value: Any, scrubber: Scrubber) -> Any:
    if name in _AS_IT_IS or value == _FILTERED:
        return value
    if isinstance(value, str):
        return MASK if scrubber.is_sensitive(name) else scrubber.text(value, pairs=name not in _SOURCE)
    if isinstance(value, dict):
        if scrubber.is_sensitive(name):
            return MASK
        return {str(key): _masked(str(key), item, scrubber) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        # Headers and tags may be pairs of a name and a value.
        if len(value) == 2 and all(isinstance(item, str) for item in value):
            return [value[0], _masked(value[0], value[1], scrubber)]
        return [_masked(name, item, scrubber) for item in value]
    return value
