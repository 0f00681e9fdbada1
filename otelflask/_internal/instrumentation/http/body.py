"""A response body that is seen to its end, and stays to its server what it was.

A server looks at what a body offers before it reads it: of one with a length
waitress, gevent, eventlet and wsgiref make a Content-Length, the two in the
middle by reading it once more; one of the server's own file wrapper is sent by
the system. So an observed body has ``__len__``, ``__next__`` and ``close`` where
the app's has them, and nowhere else. Source: PEP 3333, "Handling the
Content-Length Header", "Optional Platform-Specific File Handling".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry import context as context_api

from otelflask._internal import guard
from otelflask._internal.request_record import RequestRecord

#: Told of a request's end; a server that asks twice lets it be told twice.
End = Callable[[RequestRecord], None]
#: Makes what surrounds the app's code while it goes on with a stream.
Again = Callable[[], AbstractContextManager[Any]]
#: Says what that is, or None (`RequestObserver.again`).
AgainOf = Callable[[RequestRecord], Again | None]


def _unobserved(
    record: RequestRecord, result: Iterable[bytes], environ: dict[str, Any], end: End, again_of: AgainOf | None
) -> Iterable[bytes]:
    end(record)
    return result


@guard.guarded("observing a response", instead=_unobserved)
def observed(
    record: RequestRecord, result: Iterable[bytes], environ: dict[str, Any], end: End, again_of: AgainOf | None
) -> Iterable[bytes]:
    """What the app returned, so that its bytes are counted and its end is told.

    In: the request's record, what the app returned, the WSGI environ, what is
    told of the end, and what surrounds a stream.
    """
    size = _content_length(record)
    if "SERVER_SOFTWARE" not in environ and size is not None:
        # No server, so a test client: it keeps a response open until its body is read, which a test
        # may never do. An answer of known length is complete already.
        return _complete(record, result, size, end)
    if type(result) is list or type(result) is tuple:
        # All of it is there: nothing of the app's runs any more.
        return _complete(record, result, sum(map(_length, result)), end)
    file_wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(file_wrapper, type):
        if isinstance(result, file_wrapper):
            return _observed_file(record, result, size or 0, end)
    elif file_wrapper is not None and hasattr(result, "read"):
        # uWSGI's gives the file itself back, and knows it again. It is the app's: nothing is written to it.
        return _complete(record, result, size or 0, end)
    kind = _KINDS[hasattr(result, "__len__"), hasattr(result, "__next__"), hasattr(result, "close")]
    # A known length is no stream: nothing of the app's runs while it is read.
    return kind(record, result, end, again_of(record) if size is None and again_of is not None else None)


def _content_length(record: RequestRecord) -> int | None:
    for name, value in record.response_headers:
        if name.lower() == "content-length" and value.isdigit():
            return int(value)
    return None


def _length(piece: Any) -> int:
    """Bytes of a piece. A server may pass over what is no bytes, or refuse it."""
    return len(piece) if hasattr(piece, "__len__") else 0


def _complete(record: RequestRecord, result: Iterable[bytes], size: int, end: End) -> Iterable[bytes]:
    record.response_size = size
    end(record)
    return result


def _observed_file(record: RequestRecord, result: Any, size: int, end: End) -> Iterable[bytes]:
    """The server's file wrapper itself: the server sends it without reading it through Python."""
    record.response_size = size
    close = getattr(result, "close", None)

    def close_both() -> None:
        try:
            if close is not None:
                close()
        finally:
            end(record)

    try:
        result.close = close_both
    except (AttributeError, TypeError):
        # One that takes no attribute: its end is not seen.
        end(record)
    return result  # type: ignore[no-any-return]


class _Body:
    """What observed bodies have in common; the classes below offer it to the server."""

    __slots__ = ("_again", "_end", "_record", "_result")

    def __init__(self, record: RequestRecord, result: Iterable[bytes], end: End, again: Again | None) -> None:
        self._record = record
        self._result: Any = result
        self._end = end
        self._again = again

    def _piece(self, pieces: Iterator[bytes]) -> bytes:
        """The next piece, made while the request's span is the current one. Raises StopIteration at the end."""
        record = self._record
        token = context_api.attach(record.context)
        try:
            if self._again is None:
                piece = next(pieces)
            else:
                with self._again():
                    piece = next(pieces)
        except StopIteration:
            # The server asks for more only after it has sent the last piece.
            self._end(record)
            raise
        except BaseException as error:
            record.error = error
            record.broken = True
            record.unhandled = True
            raise
        finally:
            context_api.detach(token)
        record.response_size += len(piece) if type(piece) is bytes else _length(piece)
        return piece

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call what is the app's, in the same surroundings: a piece has them written out, since it is one of many."""
        token = context_api.attach(self._record.context)
        try:
            if self._again is None:
                return function(*arguments)
            with self._again():
                return function(*arguments)
        finally:
            context_api.detach(token)

    def __del__(self) -> None:
        # A test client that never reads the body, a server that never closes it.
        if not self._record.closed:
            self._end(self._record)

    def _pieces(self) -> Iterator[bytes]:
        """All pieces, from the first on; a server may ask for them more than once."""
        pieces = self._call(iter, self._result)
        self._record.response_size = 0
        while True:
            try:
                piece = self._piece(pieces)
            except StopIteration:
                return
            yield piece


class _Iterable(_Body):
    """Of a body that is not its own iterator."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces()


class _Iterator(_Body):
    """Of a body that is its own iterator, as Flask's are."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        return self if iter(self._result) is self._result else self._pieces()

    def __next__(self) -> bytes:
        return self._piece(self._result)


class _Sized(_Body):
    __slots__ = ()

    def __len__(self) -> int:
        return len(self._result)


class _Closable(_Body):
    __slots__ = ()

    def close(self) -> None:
        """Called by the server when all is sent or the client has gone (PEP 3333)."""
        try:
            self._call(self._result.close)
        finally:
            self._end(self._record)


def _kind(sized: bool, iterator: bool, closable: bool) -> Callable[..., Iterable[bytes]]:
    bases = ((_Sized,) if sized else ()) + ((_Closable,) if closable else ())
    return type("Body", (*bases, _Iterator if iterator else _Iterable), {"__slots__": ()})


#: Whether the app's has ``__len__``, ``__next__`` and ``close`` → the class that has the same.
_KINDS = {
    (sized, iterator, closable): _kind(sized, iterator, closable)
    for sized in (False, True)
    for iterator in (False, True)
    for closable in (False, True)
}
