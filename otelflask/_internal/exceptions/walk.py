"""One walk over an exception: its stack, causes and members are read once, with one limit.

Stack trace, title, fingerprint, frames with variables and attributes are made from it. It also
decides which exceptions are one problem.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context

from otelflask._internal import guard
from otelflask._internal.attribute_layers import Layer
from otelflask._internal.exceptions.stacks import Stack, stack_of

#: The most exceptions of a walk, itself included; the most members of a group; the longest chain of causes in a view;
#: the most frames of a stack.
MAX_EXCEPTIONS = 120
MAX_MEMBERS = 50
MAX_CHAIN = 10
MAX_FRAMES = 20_000

_NOTHING: frozenset[int] = frozenset()
#: The key of a list in a context. Within it each exception is walked once.
WALKS_KEY = context_api.create_key("otelflask-exceptions")
_MAX_KEPT = 10


class Node:
    """One exception of a walk.

    Attributes:
        cause: The exception that a traceback shows above it.
        is_direct: Whether it was raised from `cause` explicitly.
        members: The exceptions of a group.
        member_count: The number of all members.
    """

    __slots__ = ("_frames", "_stack", "cause", "error", "is_direct", "member_count", "members")

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.cause: Node | None = None
        self.is_direct = False
        self.members: list[Node] = []
        self.member_count = 0
        self._frames: list[TracebackType] | None = None
        self._stack: Stack | None = None

    @property
    def frames(self) -> list[TracebackType]:
        """The frames of its stack, outermost first; of a very deep stack, those at both ends."""
        if self._frames is None:
            found: list[TracebackType] = []
            trace = trace_of(self.error)
            while trace is not None:
                found.append(trace)
                trace = trace.tb_next
            if len(found) > MAX_FRAMES:
                found[MAX_FRAMES // 2 : -MAX_FRAMES // 2] = []
            self._frames = found
        return self._frames

    @property
    def stack(self) -> Stack:
        """The stack that these frames went through."""
        if self._stack is None:
            self._stack = stack_of(self.frames)
        return self._stack

    @property
    def is_alone(self) -> bool:
        """Whether it has neither cause nor members."""
        return self.cause is None and not self.member_count

    def chain(self) -> Iterator[Node]:
        """This exception and its causes, each once, as many as a view shows."""
        seen: set[int] = set()
        node: Node | None = self
        while node is not None and id(node) not in seen and len(seen) < MAX_CHAIN:
            seen.add(id(node))
            yield node
            node = node.cause


class Walk:
    """An exception with its causes and members. `inner` has the ids of all but the exception itself."""

    __slots__ = ("attributes", "error", "inner", "root", "trace")

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.trace = trace_of(error)
        self.root, self.inner = _read(error)
        #: The ``exception.*`` attributes, once they are made (see ``exceptions.attributes``).
        self.attributes: Layer | None = None


def _read(error: BaseException) -> tuple[Node, frozenset[int]]:
    root = Node(error)
    held, root.member_count = _members_of(error)
    if not held and _cause_of(error) is None and _context_of(error) is None:
        # Most exceptions stand alone.
        return root, _NOTHING
    known = {id(error): root}
    # Causes are read before further members, and a member only where its causes fit too. So the limit leaves whole
    # members out, and a group of a hundred equal members looks like one of ten.
    causes: deque[Node] = deque([root])
    members: deque[tuple[Node, BaseException]] = deque()

    def node_of(other: BaseException) -> Node | None:
        node = known.get(id(other))
        if node is None and len(known) < MAX_EXCEPTIONS:
            node = known[id(other)] = Node(other)
            causes.append(node)
        return node

    while causes or members:
        if not causes:
            group, member = members.popleft()
            if id(member) in known or len(known) + MAX_CHAIN <= MAX_EXCEPTIONS:
                found = node_of(member)
                if found is not None:
                    group.members.append(found)
            continue
        node = causes.popleft()
        cause, context = _cause_of(node.error), _context_of(node.error)
        if cause is not None:
            node.cause, node.is_direct = node_of(cause), True
        if context is not None:
            # Also a cause that is not shown: what was logged of it before is the same problem.
            found = node_of(context)
            if cause is None and not _suppresses_context(node.error):
                node.cause = found
        held, node.member_count = _members_of(node.error)
        members.extend((node, member) for member in held)
    return root, frozenset(known) - {id(error)}


#: Python's own descriptors, whatever a class of the app has in their place.
_OF_PYTHON: dict[str, Any] = dict(vars(BaseException))
_cause_of = _OF_PYTHON["__cause__"].__get__
_context_of = _OF_PYTHON["__context__"].__get__
_suppresses_context = _OF_PYTHON["__suppress_context__"].__get__
trace_of = _OF_PYTHON["__traceback__"].__get__


def _members_of(error: BaseException) -> tuple[list[BaseException], int]:
    """The first members of a group, and the number of all; empty for other exceptions.

    Backports of groups count, and so does an exception of the app with such an attribute.
    """
    # It may be a property, or a list, of the app.
    return guard.attempt(_found_members, error, on_error=lambda error: ([], 0))


def _found_members(error: BaseException) -> tuple[list[BaseException], int]:
    found = getattr(error, "exceptions", None)
    if not isinstance(found, (list, tuple)):
        return [], 0
    return [item for item in found[:MAX_MEMBERS] if isinstance(item, BaseException)], len(found)


def forget(context: Context) -> None:
    """Drop the walks of a context. Log records keep it until they are exported, and a walk keeps frames alive."""
    known: Any = context.get(WALKS_KEY)
    if known:
        known.clear()


def walk(error: BaseException, context: Context | None = None) -> Walk:
    """The walk of an exception.

    A stack that has grown since the last walk is read again.

    Args:
        error: The exception.
        context: The request's context (default: the current one), which keeps earlier walks.
    """
    known: Any = context_api.get_value(WALKS_KEY, context)
    if known is None:
        return Walk(error)
    for found in known:
        if found.error is error and found.trace is trace_of(error):
            return found  # type: ignore[no-any-return]
    made = Walk(error)
    if len(known) < _MAX_KEPT:
        known.append(made)
    return made
