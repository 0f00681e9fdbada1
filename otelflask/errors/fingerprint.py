"""Which errors are the same: a fingerprint that stays while the bug stays.

What counts, in this order: what the user says; the app's own frames
(module, function, source line) of the exception and of its causes; type and
normalised message where no frame is the app's. Left out are line numbers,
directories, libraries' frames, and whatever in a message changes from one time
to the next, so that it is the same in another process, release, directory or
Python version.
"""

from __future__ import annotations

import functools
import hashlib
import linecache
import os
import re
from collections.abc import Iterator, Sequence
from types import CodeType, TracebackType

from otelflask.guard import safe_text
from otelflask.pipeline.exceptions import exception_type
from otelflask.pipeline.own_code import is_in_app

#: Characters of a message that count, and that regular expressions see: an e-mail pattern can run for minutes on 1 MB.
MAX_TEXT = 512
#: Exceptions followed in a chain, members looked at in a group, frames looked at in a stack.
MAX_CHAIN = 10
MAX_MEMBERS = 50
MAX_FRAMES = 20_000

#: What a user writes for the fingerprint that would have been (sentry-sdk's name for it).
DEFAULT = "{{ default }}"

#: Functions of their own up to Python 3.11, part of the one around them from 3.12 on (PEP 709).
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


def normalised(text: str) -> str:
    """The text without what changes from one time to the next: ids, numbers, quoted text, addresses, dates."""
    text = text[:MAX_TEXT]
    for pattern, name in _CHANGING:
        text = pattern.sub(name, text)
    return " ".join(text.split())


def of_exception(error: BaseException, explicit: Sequence[str] = ()) -> str:
    """16 hex digits. In: the exception, and what the user says instead, with ``{{ default }}`` for ours."""
    if explicit:
        parts = [_default(error) if part == DEFAULT else safe_text(part) for part in explicit]
        return _digest(["explicit", *parts])
    return _default(error)


def of_log(logger: str, template: str, text: str) -> str:
    """16 hex digits of a log line without an exception. In: the logger, the template, the formatted text.

    The template is what identifies a line; where it is the text itself, the text is normalised.
    """
    return _digest(["log", logger, template[:MAX_TEXT] if template != text else normalised(text)])


def of_text(explicit: Sequence[str], logger: str, template: str, text: str) -> str:
    """The same with what the user says instead, in which ``{{ default }}`` stands for ours."""
    default = of_log(logger, template, text)
    return _digest(["explicit", *(default if part == DEFAULT else safe_text(part) for part in explicit)])


def _default(error: BaseException) -> str:
    return _digest(_parts(error, set()))


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\x00".join(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()


def _parts(error: BaseException, seen: set[int]) -> list[str]:
    """What identifies an exception and its causes, outermost first."""
    parts: list[str] = []
    frames_seen = False
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(chain) < MAX_CHAIN:
        seen.add(id(current))
        chain.append(current)
        frames = list(dict.fromkeys(_frames(current.__traceback__)))
        members = getattr(current, "exceptions", None)
        if isinstance(members, (list, tuple)):
            # The order of a group's members is the order in which tasks ended.
            of_members = {_digest(_parts(member, seen)) for member in members[:MAX_MEMBERS]}
            frames += sorted(of_members)
        frames_seen = frames_seen or bool(frames)
        parts += [*frames, "caused by"]
        if current.__cause__ is not None:
            current = current.__cause__
        elif not current.__suppress_context__:
            current = current.__context__
        else:
            current = None
    if frames_seen:
        return parts
    return [f"{exception_type(each)}: {normalised(safe_text(each))}" for each in chain]


def _frames(trace: TracebackType | None) -> Iterator[str]:
    count = 0
    while trace is not None and count < MAX_FRAMES:
        frame, number = trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next
        count += 1
        code = frame.f_code
        path = code.co_filename
        if code.co_name in _COMPREHENSIONS or not is_in_app(path):
            continue
        # Its name is looked for first: to ask a frame for its variables copies them.
        if "__tracebackhide__" in code.co_varnames and frame.f_locals.get("__tracebackhide__"):
            continue
        module = frame.f_globals.get("__name__") or ""
        if "__jinja_exception__" in frame.f_globals:
            # A template's frame: its module is its absolute path.
            module = path.rpartition(f"{os.sep}templates{os.sep}")[2] or os.path.basename(path)
        if path.startswith("<"):
            # Made at run time (exec, a dataclass): the name may hold an id, and the line is of another file.
            yield f"{normalised(path)} {normalised(safe_text(module))} {code.co_name}"
            continue
        yield _place(code, number, module)


@functools.lru_cache(maxsize=4_096)
def _place(code: CodeType, number: int, module: str) -> str:
    source = " ".join(linecache.getline(code.co_filename, number).split())
    return f"{module} {code.co_name} {source}"
