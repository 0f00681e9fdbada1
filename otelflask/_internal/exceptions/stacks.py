"""Stacks that exceptions have gone through: the same bug goes through the same places each time.

What is made of a stack alone, such as its text, is made once for all exceptions that go through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import CodeType, TracebackType

#: The most frames of a stack that is known again, and the most such stacks.
MAX_KNOWN_FRAMES = 100
_MAX_STACKS = 256


class Stack:
    """The places of a stack.

    Args:
        codes: The code of each frame. The ids of these are the key of this stack, and must not become those of
            other objects.

    Attributes:
        text: The frames' text in a stack trace; None until it is made (``exceptions.attributes``).
        group: What identifies a group of errors; None until it is made (``error_reports.fingerprint``).
    """

    __slots__ = ("_codes", "group", "text")

    def __init__(self, codes: Sequence[CodeType] = ()) -> None:
        self._codes = codes
        self.text: str | None = None
        self.group: tuple[str, str] | None = None


_stacks: dict[tuple[int, ...], Stack] = {}


def stack_of(frames: list[TracebackType]) -> Stack:
    """The stack of frames, the same object each time for the same code and instructions.

    Args:
        frames: The frames, outermost first. A stack of more than `MAX_KNOWN_FRAMES` is new each time.
    """
    if len(frames) > MAX_KNOWN_FRAMES:
        return Stack()
    # An instruction's number is stored in the frame; a line's would be looked up. The code's hash is slow.
    key = tuple([id(frame.tb_frame.f_code) for frame in frames] + [frame.tb_lasti for frame in frames])
    found = _stacks.get(key)
    if found is None:
        if len(_stacks) >= _MAX_STACKS:
            _stacks.clear()
        found = _stacks[key] = Stack([frame.tb_frame.f_code for frame in frames])
    return found
