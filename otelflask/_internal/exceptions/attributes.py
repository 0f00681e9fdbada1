"""An exception as ``exception.*`` attributes: bounded, made once a request, whatever its methods do.

`traceback.format_exception` parses each source line again to draw carets (Python 3.11 and later).
That was most of the cost of a failing request. The text here is the same without the carets.
Source of the names: semantic conventions, "Exceptions".
"""

from __future__ import annotations

import functools
import linecache
import traceback
from types import CodeType, TracebackType

from opentelemetry.context import Context

from otelflask._internal import guard
from otelflask._internal.attribute_layers import Layer
from otelflask._internal.exceptions.stacks import MAX_KNOWN_FRAMES, Stack
from otelflask._internal.exceptions.walk import Node, Walk, walk
from otelflask._internal.guard import safe_text
from otelflask._internal.limits import STACKTRACE_LENGTH, cut, cut_stacktrace

#: The most frames at each end of a stack, and the most notes of an exception.
_MAX_FRAMES = 60
_MAX_NOTES = 10
_HEAD = "Traceback (most recent call last):\n"
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
#: The text, in characters, after which no further member is shown. In the end its middle is cut out.
MAX_TEXT = 4 * STACKTRACE_LENGTH
#: The longest message within a stack trace, in characters.
_MAX_MESSAGE = 8_192
#: The longest message, in characters, and the most exceptions whose attributes are the same `Layer` each time.
_MAX_KNOWN_MESSAGE = 256
_MAX_KNOWN = 64


def exception_type(error: BaseException) -> str:
    """The type's qualified name for the ``exception.type`` attribute: builtins without their module."""
    kind = type(error)
    module = kind.__module__
    return kind.__qualname__ if module in (None, "builtins") else f"{module}.{kind.__qualname__}"


def exception_layer(error: BaseException, context: Context | None = None) -> Layer:
    """``exception.type``, ``.message`` and ``.stacktrace`` of an exception.

    Args:
        error: The exception.
        context: The request's context (default: the current one), which keeps earlier walks.
    """
    return attributes_of(walk(error, context))


def attributes_of(walked: Walk) -> Layer:
    """``exception.type``, ``.message`` and ``.stacktrace`` of a walk."""
    layer = walked.attributes
    if layer is None:
        root = walked.root
        layer = walked.attributes = guard.attempt(_layer_of, root, on_error=functools.partial(_of_frames_alone, root))
    return layer


#: Attributes of exceptions that repeat. The encoder keeps their bytes on them.
_known: dict[tuple[Stack, str, str], Layer] = {}


def _layer_of(root: Node) -> Layer:
    message = safe_text(root.error)
    if len(message) > _MAX_KNOWN_MESSAGE or not _repeats(root):
        return _make(root, message, _Text().of(root))
    key = (root.stack, exception_type(root.error), message)
    layer = _known.get(key)
    if layer is None:
        layer = _make(root, message, _Text().of(root))
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[key] = layer
    return layer


def _repeats(root: Node) -> bool:
    """Whether stack, type and message are all that the exception's text shows."""
    error = root.error
    return (
        root.is_alone
        and len(root.frames) <= MAX_KNOWN_FRAMES
        and not isinstance(error, SyntaxError)
        and not getattr(error, "__notes__", ())
    )


def _of_frames_alone(root: Node, error: Exception) -> Layer:
    frames = traceback.format_tb(root.error.__traceback__, limit=-_MAX_FRAMES)
    return _make(root, safe_text(root.error), "".join(frames))


def _make(root: Node, message: str, stacktrace: str) -> Layer:
    return Layer(
        {
            "exception.type": exception_type(root.error),
            "exception.message": message,
            "exception.stacktrace": cut_stacktrace(stacktrace),
        }
    )


class _Text:
    """The text of one exception, bounded while it is made.

    Groups may hold one another, and each member may have the same causes.
    """

    def __init__(self) -> None:
        self._left = MAX_TEXT

    def of(self, node: Node, prefix: str = "", around: frozenset[int] = frozenset()) -> str:
        """The text of an exception below its causes.

        Args:
            node: The exception.
            prefix: The beginning of each line.
            around: Ids of the groups around it.
        """
        parts: list[str] = []
        link = ""
        for each in node.chain():
            if parts:
                if self._left <= 0:
                    break
                parts.append(link)
            link = _indented(_CAUSE if each.is_direct else _CONTEXT, prefix)
            own = _indented(_one(each), prefix)
            self._left -= len(own)
            parts.append(own + self._members(each, prefix, around | {id(each)}))
        return "".join(reversed(parts))

    def _members(self, node: Node, prefix: str, around: frozenset[int]) -> str:
        """The members of a group, each indented below a ruler, as `traceback` shows them."""
        parts = []
        shown = 0
        for member in node.members:
            if id(member) in around or self._left <= 0:
                continue
            shown += 1
            parts.append(f"{prefix}  +---------------- {shown} ----------------\n")
            parts.append(self.of(member, f"{prefix}  | ", around))
        if node.member_count > shown:
            parts.append(f"{prefix}  +---------------- … {node.member_count - shown} members left out …\n")
        return "".join(parts)


def _indented(text: str, prefix: str) -> str:
    return "".join(prefix + line for line in text.splitlines(keepends=True)) if prefix else text


def _one(node: Node) -> str:
    error = node.error
    stack = node.stack
    text = stack.text
    if text is None:
        text = stack.text = _HEAD + "".join(_frames(node.frames)) if node.frames else ""
    lines = [text]
    if isinstance(error, SyntaxError):
        # It shows the line that cannot be parsed.
        lines += traceback.format_exception_only(type(error), error)
        return "".join(lines)
    message = cut(safe_text(error), _MAX_MESSAGE)
    lines.append(f"{exception_type(error)}: {message}\n" if message else f"{exception_type(error)}\n")
    lines += [f"{safe_text(note)}\n" for note in getattr(error, "__notes__", ())[:_MAX_NOTES]]
    return "".join(lines)


def _frames(frames: list[TracebackType]) -> list[str]:
    left_out = len(frames) - 2 * _MAX_FRAMES
    if left_out <= 0:
        return [_line(frame) for frame in frames]
    return [
        *(_line(frame) for frame in frames[:_MAX_FRAMES]),
        f"  … {left_out} frames left out …\n",
        *(_line(frame) for frame in frames[-_MAX_FRAMES:]),
    ]


#: Lines of stacks by code, path and line number, because the same ones fail again and again. Equal functions in two
#: files have equal code.
_lines: dict[tuple[CodeType, str, int], str] = {}
_MAX_LINES = 4_096


def _line(place: TracebackType) -> str:
    code = place.tb_frame.f_code
    key = (code, code.co_filename, place.tb_lineno)
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
