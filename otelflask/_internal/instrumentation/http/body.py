"""Observe a response body to its end, and keep what it offers to the server.

A server looks at what a body offers before it reads it. From a body with a length, waitress,
gevent, eventlet and wsgiref make a Content-Length; gevent and eventlet read it once more for that.
A body of the server's own file wrapper is sent by the system. So an observed body has
``__len__``, ``__next__`` and ``close`` only where the app's has them. Source: PEP 3333, "Handling
the Content-Length Header", "Optional Platform-Specific File Handling".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry import context as context_api

from otelflask._internal import guard
from otelflask._internal.request_record import RequestRecord

#: Called at a request's end. A server that closes twice calls it twice.
End = Callable[[RequestRecord], None]
#: Makes the context manager around each further step of a stream.
StreamContext = Callable[[], AbstractContextManager[Any]]
#: Returns the former for a request, or None (`RequestObserver.stream_context`).
StreamContextOf = Callable[[RequestRecord], StreamContext | None]


def _unobserved(
    record: RequestRecord,
    result: Iterable[bytes],
    environ: dict[str, Any],
    end: End,
    stream_context_of: StreamContextOf | None,
) -> Iterable[bytes]:
    end(record)
    return result


@guard.guarded("observing a response", instead=_unobserved)
def observed(
    record: RequestRecord,
    result: Iterable[bytes],
    environ: dict[str, Any],
    end: End,
    stream_context_of: StreamContextOf | None,
) -> Iterable[bytes]:
    """Wrap what the app returned, so that its bytes are counted and its end is noticed.

    Args:
        record: The request's record.
        result: What the app returned.
        environ: The WSGI environ.
        end: Called at the end.
        stream_context_of: Gives what surrounds each further step of a stream.
    """
    size = _content_length(record)
    if "SERVER_SOFTWARE" not in environ and size is not None:
        # No server, so a test client: it keeps a response open until its body is read, which a test may never do. An
        # answer of known length is complete already.
        return _complete(record, result, size, end)
    if type(result) is list or type(result) is tuple:
        # All of it exists: none of the app's code runs any more.
        return _complete(record, result, sum(map(_length, result)), end)
    file_wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(file_wrapper, type):
        if isinstance(result, file_wrapper):
            return _observed_file(record, result, size or 0, end)
    elif file_wrapper is not None and hasattr(result, "read"):
        # uWSGI's wrapper returns the file itself, and recognises it later. Nothing is set on the app's file.
        return _complete(record, result, size or 0, end)
    kind = _KINDS[hasattr(result, "__len__"), hasattr(result, "__next__"), hasattr(result, "close")]
    # A known length is no stream: none of the app's code runs while it is read.
    return kind(
        record, result, end, stream_context_of(record) if size is None and stream_context_of is not None else None
    )


def _content_length(record: RequestRecord) -> int | None:
    for name, value in record.response_headers:
        if name.lower() == "content-length" and value.isdigit():
            return int(value)
    return None


def _length(piece: Any) -> int:
    """The bytes of a piece; 0 for what is not bytes. The server may skip or refuse that."""
    return len(piece) if hasattr(piece, "__len__") else 0


def _complete(record: RequestRecord, result: Iterable[bytes], size: int, end: End) -> Iterable[bytes]:
    record.response_size = size
    end(record)
    return result


def _observed_file(record: RequestRecord, result: Any, size: int, end: End) -> Iterable[bytes]:
    """The server's own file wrapper, because the server sends it without reading it through Python."""
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
        # It takes no attribute, so its end cannot be noticed.
        end(record)
    return result  # type: ignore[no-any-return]


class _Body:
    """The common part of observed bodies. The classes below offer it to the server."""

    __slots__ = ("_end", "_record", "_result", "_stream_context")

    def __init__(
        self, record: RequestRecord, result: Iterable[bytes], end: End, stream_context: StreamContext | None
    ) -> None:
        self._record = record
        self._result: Any = result
        self._end = end
        self._stream_context = stream_context

    def _piece(self, pieces: Iterator[bytes]) -> bytes:
        """The next piece, made with the request's span as the current one. Raises StopIteration at the end."""
        record = self._record
        token = context_api.attach(record.context)
        try:
            if self._stream_context is None:
                piece = next(pieces)
            else:
                with self._stream_context():
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
        """Call a function of the app with the request's span as the current one. `_piece` inlines this for speed."""
        token = context_api.attach(self._record.context)
        try:
            if self._stream_context is None:
                return function(*arguments)
            with self._stream_context():
                return function(*arguments)
        finally:
            context_api.detach(token)

    def __del__(self) -> None:
        # A test client that never reads the body, or a server that never closes it.
        if not self._record.closed:
            self._end(self._record)

    def _pieces(self) -> Iterator[bytes]:
        """All pieces from the first on. A server may ask for them more than once."""
        pieces = self._call(iter, self._result)
        self._record.response_size = 0
        while True:
            try:
                piece = self._piece(pieces)
            except StopIteration:
                return
            yield piece


class _Iterable(_Body):
    """A body that is not its own iterator."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces()


class _Iterator(_Body):
    """A body that is its own iterator, as Flask's are."""

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
        """Called by the server when everything is sent or the client has gone (PEP 3333)."""
        try:
            self._call(self._result.close)
        finally:
            self._end(self._record)


def _kind(sized: bool, iterator: bool, closable: bool) -> Callable[..., Iterable[bytes]]:
    bases = ((_Sized,) if sized else ()) + ((_Closable,) if closable else ())
    return type("Body", (*bases, _Iterator if iterator else _Iterable), {"__slots__": ()})


#: Whether the app's body has ``__len__``, ``__next__`` and ``close`` → the class with the same.
_KINDS = {
    (sized, iterator, closable): _kind(sized, iterator, closable)
    for sized in (False, True)
    for iterator in (False, True)
    for closable in (False, True)
}
