"""An exception with its causes and members in the form of sentry-sdk's events, bounded.

sentry-sdk's own walk reads source and local variables of up to 2,000 frames of every member of a
group. That takes seconds for a recursion or a wide group.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from sentry_sdk.utils import serialize_frame, should_hide_frame, single_exception_from_error_tuple

from otelflask._internal.app_code import is_in_app
from otelflask._internal.exceptions.walk import Node, Walk

#: The most exceptions of an event, and the most frames at the outer and inner end of a stack.
MAX_EXCEPTIONS = 20
MAX_OUTER, MAX_INNER = 10, 40


def exception_values(
    walk: Walk, options: dict[str, Any], mechanism: dict[str, Any], whole: bool
) -> list[dict[str, Any]]:
    """The event's ``exception.values``, with the exception itself last.

    Args:
        walk: The walk of the exception.
        options: The client's options.
        mechanism: How the exception was caught.
        whole: Whether frames of libraries have source and local variables too.
    """
    values = []
    for number, (node, parent, source) in enumerate(_numbered(walk.root)):
        ids: dict[str, Any] = {"exception_id": number}
        if number:
            ids.update(parent_id=parent, source=source)
        error = node.error
        value = single_exception_from_error_tuple(type(error), error, None, options, mechanism, **ids)
        frames = _frames(node.frames, options, whole)
        if frames:
            value["stacktrace"] = {"frames": frames}
        values.append(value)
    values.reverse()
    return values


def _numbered(root: Node) -> Iterator[tuple[Node, int, str]]:
    """Each exception once, with its parent's number and its relation to the parent: causes, then members."""
    seen: set[int] = set()
    waiting: deque[tuple[Node, int, str]] = deque([(root, 0, "")])
    while waiting and len(seen) < MAX_EXCEPTIONS:
        node, parent, source = waiting.popleft()
        if id(node) in seen:
            continue
        number = len(seen)
        seen.add(id(node))
        yield node, parent, source
        if node.cause is not None:
            waiting.appendleft((node.cause, number, "__cause__" if node.is_direct else "__context__"))
        waiting.extend((member, number, f"exceptions[{n}]") for n, member in enumerate(node.members))


def _frames(places: list[TracebackType], options: dict[str, Any], whole: bool) -> list[dict[str, Any]]:
    if len(places) > MAX_OUTER + MAX_INNER:
        places = [*places[:MAX_OUTER], *places[-MAX_INNER:]]
    places = [place for place in places if not should_hide_frame(place.tb_frame)]
    last = places[-1] if places else None
    frames = []
    for place in places:
        # The innermost frame is always shown in full.
        looked_at = whole or place is last or is_in_app(place.tb_frame.f_code.co_filename)
        frames.append(
            serialize_frame(
                place.tb_frame,
                tb_lineno=place.tb_lineno,
                include_local_variables=looked_at and options["include_local_variables"],
                include_source_context=looked_at and options["include_source_context"],
                max_value_length=options["max_value_length"],
                custom_repr=options.get("custom_repr"),
            )
        )
    return frames
