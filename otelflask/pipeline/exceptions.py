"""An exception as ``exception.*`` attributes: bounded, once a request, whatever its methods do.

`traceback.format_exception` parses each line's source again to draw carets
(Python 3.11 and later), which was most of the cost of a failing request. The
text here is the same without them. Source of the names: semantic
conventions, "Exceptions".
"""

from __future__ import annotations

import linecache
import traceback
from types import CodeType, TracebackType
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context

from otelflask.guard import safe_text
from otelflask.pipeline.attributes import Layer
from otelflask.pipeline.limits import cut, cut_stacktrace

#: Where the exceptions of one request that are formatted already lie in its context.
_KEY = context_api.create_key("otelflask-exceptions")
#: Frames kept at each end of a stack, exceptions followed in a chain, members of groups.
_MAX_FRAMES = 60
_MAX_CHAIN = 10
_MAX_MEMBERS = 15
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
#: Characters of a message within a stack trace.
_MAX_MESSAGE = 8_192


def remembering(context: Context) -> Context:
    """A context within which an exception is formatted once, however many views show it."""
    return context_api.set_value(_KEY, [], context)


def exception_type(error: BaseException) -> str:
    """The qualified type name, as the ``exception.type`` attribute wants it: builtins without module."""
    kind = type(error)
    module = kind.__module__
    return kind.__qualname__ if module in (None, "builtins") else f"{module}.{kind.__qualname__}"


def members_of(error: BaseException, most: int) -> tuple[list[BaseException], int]:
    """A group's first members, at most so many, and how many it has; none for any other exception.

    Backports of groups count, and so do exceptions of the app's with an attribute of this name that holds others.
    """
    found = getattr(error, "exceptions", None)
    if not isinstance(found, (list, tuple)):
        return [], 0
    return [item for item in found[:most] if isinstance(item, BaseException)], len(found)


def exception_layer(error: BaseException, context: Context | None = None) -> Layer:
    """``exception.type``, ``.message`` and ``.stacktrace``. In: the request's context (default: the current one)."""
    known: Any = context_api.get_value(_KEY, context)
    if known is not None:
        for same, trace, layer in known:
            if same is error and trace is error.__traceback__:
                return layer  # type: ignore[no-any-return]
    layer = Layer(
        {
            "exception.type": exception_type(error),
            "exception.message": safe_text(error),
            "exception.stacktrace": cut_stacktrace(_stacktrace(error)),
        }
    )
    if known is not None and len(known) < _MAX_CHAIN:
        known.append((error, error.__traceback__, layer))
    return layer


def _stacktrace(error: BaseException) -> str:
    try:
        return _chain(error, [_MAX_MEMBERS])
    except Exception:
        return "".join(traceback.format_tb(error.__traceback__, limit=-_MAX_FRAMES))


def _chain(error: BaseException, members_left: list[int]) -> str:
    """An exception below its causes. `members_left` is how many members of groups may still be shown."""
    chain: list[str] = []
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen and len(seen) < _MAX_CHAIN:
        seen.add(id(current))
        chain.append(_one(current) + _members(current, members_left))
        if current.__cause__ is not None:
            chain.append(_CAUSE)
            current = current.__cause__
        elif current.__context__ is not None and not current.__suppress_context__:
            chain.append(_CONTEXT)
            current = current.__context__
        else:
            current = None
    if chain and chain[-1] in (_CAUSE, _CONTEXT):
        chain.pop()
    return "".join(reversed(chain))


def _members(error: BaseException, members_left: list[int]) -> str:
    """A group's members, each indented below a ruler, as `traceback` has them."""
    members, count = members_of(error, members_left[0])
    lines = []
    for number, member in enumerate(members, start=1):
        if members_left[0] <= 0:
            members = members[: number - 1]
            break
        members_left[0] -= 1
        lines.append(f"  +---------------- {number} ----------------\n")
        lines += [f"  | {line}" for line in _chain(member, members_left).splitlines(keepends=True)]
    if count > len(members):
        lines.append(f"  +---------------- … {count - len(members)} members left out …\n")
    return "".join(lines)


def _one(error: BaseException) -> str:
    lines = ["Traceback (most recent call last):\n"] if error.__traceback__ is not None else []
    lines += _frames(error.__traceback__)
    if isinstance(error, SyntaxError):
        # It shows the line that cannot be read.
        lines += traceback.format_exception_only(type(error), error)
        return "".join(lines)
    message = cut(safe_text(error), _MAX_MESSAGE)
    lines.append(f"{exception_type(error)}: {message}\n" if message else f"{exception_type(error)}\n")
    lines += [f"{safe_text(note)}\n" for note in getattr(error, "__notes__", ())[:_MAX_CHAIN]]
    return "".join(lines)


def _frames(trace: TracebackType | None) -> list[str]:
    places = []
    while trace is not None:
        places.append(trace)
        trace = trace.tb_next
    left_out = len(places) - 2 * _MAX_FRAMES
    if left_out <= 0:
        return [_line(place) for place in places]
    return [
        *(_line(place) for place in places[:_MAX_FRAMES]),
        f"  … {left_out} frames left out …\n",
        *(_line(place) for place in places[-_MAX_FRAMES:]),
    ]


#: Lines of stacks by code and number: the same ones fail again and again.
_lines: dict[tuple[CodeType, int], str] = {}
_MAX_LINES = 4_096


def _line(place: TracebackType) -> str:
    code = place.tb_frame.f_code
    key = (code, place.tb_lineno)
    text = _lines.get(key)
    if text is None:
        source = linecache.getline(code.co_filename, place.tb_lineno, place.tb_frame.f_globals).strip()
        text = f'  File "{code.co_filename}", line {place.tb_lineno}, in {code.co_name}\n'
        if source:
            text += f"    {source}\n"
        if len(_lines) >= _MAX_LINES:
            _lines.clear()
        _lines[key] = text
    return text
