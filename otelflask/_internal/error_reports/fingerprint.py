"""Group errors: a fingerprint that stays the same while the bug stays.

What counts, in this order: the user's own fingerprint; the app's own frames (module, function,
source line) of the exception and its causes; type and normalised message where the app has no
frame. Line numbers, directories, frames of libraries and variable parts of messages do not count.
So the fingerprint is the same in another process, release, directory or Python version.
"""

from __future__ import annotations

import functools
import hashlib
import linecache
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from types import CodeType, TracebackType
from typing import NamedTuple

from otelflask._internal.app_code import is_in_app
from otelflask._internal.exceptions.attributes import exception_type
from otelflask._internal.exceptions.walk import MAX_CHAIN, Node, Walk
from otelflask._internal.guard import safe_text

#: The part of a message, in characters, that counts: an e-mail pattern can run for minutes on 1 MB.
MAX_TEXT = 512
#: The longest title, in characters.
MAX_TITLE = 200
MAX_CALLER = 60

#: The placeholder for the default fingerprint, as sentry-sdk names it.
DEFAULT = "{{ default }}"

#: The variable of a function whose frames are left out, as in pytest.
_MARK = "__tracebackhide__"

#: Functions of their own up to Python 3.11, part of the surrounding one from 3.12 on (PEP 709).
_COMPREHENSIONS = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})

_CHANGING = (
    (re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"), "<uuid>"),
    (re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://\S+"), "<url>"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}"), "<email>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<date>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<ip>"),
    (re.compile(r"'[^']*'|\"[^\"]*\""), "<text>"),
    (re.compile(r"(?<![\w<])(?:/[\w.@%+-]+){2,}"), "<path>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,}\b"), "<hex>"),
    (re.compile(r"[-+]?\b\d+(?:[.,]\d+)*(?:e[-+]?\d+)?"), "<number>"),
)


class Group(NamedTuple):
    """A group of errors: a fingerprint of 16 hex digits, and a title. Titles may differ within a group."""

    fingerprint: str
    title: str


class _Place(NamedTuple):
    """A place in the app, without the line's number."""

    module: str
    function: str
    source: str


def normalised(text: str) -> str:
    """Replace the variable parts of a text: ids, numbers, quoted text, addresses, dates."""
    text = text[:MAX_TEXT]
    for pattern, name in _CHANGING:
        text = pattern.sub(name, text)
    return " ".join(text.split())


def of_exception(walk: Walk, explicit: Sequence[str] = ()) -> Group:
    """The group of an exception.

    Args:
        walk: Its walk.
        explicit: The user's fingerprint; ``{{ default }}`` in it stands for the default one.
    """
    error = walk.error
    kind = exception_type(error)
    digest, where = _identity(walk.root)
    default = Group(digest, f"{kind} in {where}" if where else f"{kind}: {normalised(safe_text(error))}")
    return _explicit(explicit, default)


def _identity(root: Node) -> tuple[str, str]:
    """The default fingerprint, and where the exception happened; empty where it has no frame in the app.

    A stack of the app identifies an exception that stands alone.
    """
    known = root.stack.group if root.is_alone else None
    if known is not None:
        return known
    parts: list[str] = []
    where = _identify(root, set(), parts, 0)
    identity = _digest(parts), where
    if where and root.is_alone and not any(_MARK in frame.tb_frame.f_code.co_varnames for frame in root.frames):
        root.stack.group = identity
    return identity


def of_log(logger: str, template: str, text: str, explicit: Sequence[str] = ()) -> Group:
    """The group of a log line without an exception.

    The template identifies a line. Where the template is the text itself, the text is normalised.

    Args:
        logger: The logger's name.
        template: The text with its placeholders.
        text: The formatted text.
        explicit: The user's fingerprint.
    """
    same = template[:MAX_TEXT] if template != text else normalised(text)
    return _explicit(explicit, Group(_digest(["log", logger, same]), same))


def _explicit(parts: Sequence[str], default: Group) -> Group:
    if not parts:
        return default._replace(title=default.title[:MAX_TITLE])
    of_digest = ["explicit", *(default.fingerprint if part == DEFAULT else safe_text(part) for part in parts)]
    explicit_text = " · ".join(safe_text(part) for part in parts if part != DEFAULT)
    return Group(_digest(of_digest), f"{default.title} ({explicit_text})"[:MAX_TITLE])


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\x00".join(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()


def _identify(node: Node, seen: set[int], parts: list[str], depth: int) -> str:
    """Add what identifies an exception and its causes, outermost first.

    Args:
        node: The exception.
        seen: Ids of what was added already.
        parts: Where to add.
        depth: The depth within groups.

    Returns:
        Where the outermost exception with a frame in the app happened; empty where none has one.
    """
    where = ""
    chain: list[BaseException] = []
    for current in node.chain():
        if id(current) in seen:
            break
        seen.add(id(current))
        chain.append(current.error)
        places = list(dict.fromkeys(_frames(current.frames)))
        parts += [" ".join(place) for place in places]
        if places:
            where = where or _named(places[-1], places[-2].source if len(places) > 1 else "")
        if current.members and depth < MAX_CHAIN:
            # Tasks end in any order, and so do a group's members.
            of_members: dict[str, str] = {}
            for member in current.members:
                of_member: list[str] = []
                where_member = _identify(member, seen, of_member, depth + 1)
                of_members[_digest(of_member)] = where_member or exception_type(member.error)
            parts += sorted(of_members)
            where = where or of_members[min(of_members)]
        parts.append("caused by")
    if not where:
        parts[:] = [f"{exception_type(each)}: {normalised(safe_text(each))}" for each in chain]
    return where


@functools.lru_cache(maxsize=4_096)
def _named(last: _Place, caller: str) -> str:
    """The innermost function, and the line that called it, because two bugs may end in the same helper."""
    where = f"{last.module.rpartition('.')[2]}.{last.function}"
    return f"{where} ← {caller[:MAX_CALLER]}" if caller else where


def _frames(traces: Iterable[TracebackType]) -> Iterator[_Place]:
    last: tuple[CodeType | None, int] = (None, 0)
    for trace in traces:
        frame, number = trace.tb_frame, trace.tb_lineno
        code = frame.f_code
        if code is last[0] and number == last[1]:
            # A recursion's next step. Thousands of them are one place.
            continue
        last = (code, number)
        path = code.co_filename
        if code.co_name in _COMPREHENSIONS or not is_in_app(path):
            continue
        # Look for the name first: reading a frame's variables copies them.
        if _MARK in code.co_varnames and frame.f_locals.get(_MARK):
            continue
        module = frame.f_globals.get("__name__") or ""
        if "__jinja_exception__" in frame.f_globals:
            # A template's frame: its module is an absolute path.
            module = path.rpartition(f"{os.sep}templates{os.sep}")[2] or os.path.basename(path)
        if path.startswith("<"):
            # Code made at run time (exec, a dataclass): its name may hold an id, and its line belongs to another file.
            yield _Place(normalised(path), normalised(safe_text(module)), code.co_name)
            continue
        yield _place(code, path, number, module)


@functools.lru_cache(maxsize=4_096)
def _place(code: CodeType, path: str, number: int, module: str) -> _Place:
    # With the path, because equal functions in two files have equal code.
    return _Place(module, code.co_name, " ".join(linecache.getline(path, number).split()))
