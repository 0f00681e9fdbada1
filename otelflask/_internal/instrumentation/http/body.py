"""Observe a response body to its end. The wrapper has the same optional methods as the app's body.

A server tests which methods a body has before it iterates over it. From a body with a length,
waitress, gevent, eventlet and wsgiref make a Content-Length; gevent and eventlet iterate over it
once more to compute it. A body that is the server's own ``wsgi.file_wrapper`` is sent by the
operating system (sendfile). So an observed body has ``__len__``, ``__next__`` and ``close`` only
where the app's has them. Source: PEP 3333, "Handling the Content-Length Header", "Optional
Platform-Specific File Handling".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from otelflask._internal import guard
from otelflask._internal.compat.otel_api import attach, detach
from otelflask._internal.compat.werkzeug import is_called_by_test_client
from otelflask._internal.request_record import RequestRecord

#: Called at a request's end. A server that closes twice calls it twice.
OnEnd = Callable[[RequestRecord], None]
#: Makes a context manager that is entered around each chunk of a streamed response.
StreamContext = Callable[[], AbstractContextManager[Any]]
#: Returns the `StreamContext` of a request, or None (`RequestObserver.stream_context`).
StreamContextOf = Callable[[RequestRecord], StreamContext | None]


def _unobserved(
    record: RequestRecord,
    result: Iterable[bytes],
    environ: dict[str, Any],
    on_end: OnEnd,
    stream_context_of: StreamContextOf | None,
) -> Iterable[bytes]:
    on_end(record)
    return result


@guard.guarded("observing a response", fallback=_unobserved)
def observed(
    record: RequestRecord,
    result: Iterable[bytes],
    environ: dict[str, Any],
    on_end: OnEnd,
    stream_context_of: StreamContextOf | None,
) -> Iterable[bytes]:
    """Wrap what the app returned, so that its bytes are counted and its end is noticed.

    Args:
        record: The request's record.
        result: What the app returned.
        environ: The WSGI environ.
        on_end: Called at the end.
        stream_context_of: Returns the context factory of a request's stream, or None.

    Returns:
        The body for the server: a wrapper, or the app's own body where its end is noticed otherwise.
    """
    size = record.content_length
    if "SERVER_SOFTWARE" not in environ and size is not None and is_called_by_test_client():
        # It keeps a response open until its body is read, which a test may never do. A response of known length is
        # closed at once. What a stream with a Content-Length does later is not recorded there.
        return _complete(record, result, size, on_end)
    if type(result) is list or type(result) is tuple:
        # All of it exists: none of the app's code runs any more.
        return _complete(record, result, sum(map(_length, result)), on_end)
    file_wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(file_wrapper, type):
        if isinstance(result, file_wrapper):
            return _observed_file(record, result, size or 0, on_end)
    elif file_wrapper is not None and hasattr(result, "read"):
        # uWSGI's wrapper returns the file itself and recognises it later, so it must not be wrapped or changed. The
        # request ends here.
        return _complete(record, result, size or 0, on_end)
    body_class = _BODY_CLASSES[hasattr(result, "__len__"), hasattr(result, "__next__"), hasattr(result, "close")]
    # A body with a Content-Length is taken for one that needs none of the app's code, so it gets no stream context.
    return body_class(
        record, result, on_end, stream_context_of(record) if size is None and stream_context_of is not None else None
    )


def _length(chunk: Any) -> int:
    """The length of a chunk; 0 for what has no length. The server may skip or refuse that."""
    return len(chunk) if hasattr(chunk, "__len__") else 0


def _complete(record: RequestRecord, result: Iterable[bytes], size: int, on_end: OnEnd) -> Iterable[bytes]:
    record.response_size = size
    on_end(record)
    return result


def _observed_file(record: RequestRecord, result: Any, size: int, on_end: OnEnd) -> Iterable[bytes]:
    """Return the server's own file wrapper itself: the server sends it without reading it in Python.

    Its `close` is replaced, to notice the end.
    """
    record.response_size = size
    close = getattr(result, "close", None)

    def close_both() -> None:
        try:
            if close is not None:
                close()
        finally:
            on_end(record)

    try:
        result.close = close_both
    except (AttributeError, TypeError):
        # It takes no attribute, so its end cannot be noticed.
        on_end(record)
    return result  # type: ignore[no-any-return]


class _Body:
    """What all observed bodies share. The subclasses add the methods that servers look for."""

    __slots__ = ("_context", "_on_end", "_record", "_result", "_stream_context")

    def __init__(
        self, record: RequestRecord, result: Iterable[bytes], on_end: OnEnd, stream_context: StreamContext | None
    ) -> None:
        self._record = record
        # The record drops it at the end, after which the server closes the body.
        self._context = record.context
        self._result: Any = result
        self._on_end = on_end
        self._stream_context = stream_context

    def _next_chunk(self, chunks: Iterator[bytes]) -> bytes:
        """The next chunk, made with the request's span as the current one. Raises StopIteration at the end."""
        record = self._record
        token = attach(self._context)
        try:
            if self._stream_context is None:
                chunk = next(chunks)
            else:
                with self._stream_context():
                    chunk = next(chunks)
        except StopIteration:
            # The server asks for more only after it has sent the last chunk.
            self._on_end(record)
            raise
        except BaseException as error:
            record.error = error
            record.unhandled = True
            record.fail()
            raise
        finally:
            detach(token)
        # Servers send the status with the first piece, also with an empty one.
        record.has_begun = True
        record.response_size += len(chunk) if type(chunk) is bytes else _length(chunk)
        return chunk

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of the app with the request's span as the current one. `_next_chunk` inlines this."""
        token = attach(self._context)
        try:
            if self._stream_context is None:
                return function(*arguments)
            with self._stream_context():
                return function(*arguments)
        finally:
            detach(token)

    def __del__(self) -> None:
        # A test client that never reads the body, or a server that never closes it.
        if not self._record.closed:
            self._on_end(self._record)

    def _chunks(self) -> Iterator[bytes]:
        """All chunks from the first on. A server may ask for them more than once."""
        chunks = self._call(iter, self._result)
        self._record.response_size = 0
        while True:
            try:
                chunk = self._next_chunk(chunks)
            except StopIteration:
                return
            yield chunk


class _Iterable(_Body):
    """A body that is not its own iterator."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks()


class _Iterator(_Body):
    """A body with ``__next__``, as Flask's have. Usually it is its own iterator."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        return self if iter(self._result) is self._result else self._chunks()

    def __next__(self) -> bytes:
        return self._next_chunk(self._result)


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
            if not self._record.closed:
                self._on_end(self._record)


def _make_body_class(sized: bool, iterator: bool, closable: bool) -> Callable[..., Iterable[bytes]]:
    bases = ((_Sized,) if sized else ()) + ((_Closable,) if closable else ())
    return type("Body", (*bases, _Iterator if iterator else _Iterable), {"__slots__": ()})


#: Whether the app's body has ``__len__``, ``__next__`` and ``close`` → the class with the same.
_BODY_CLASSES = {
    (sized, iterator, closable): _make_body_class(sized, iterator, closable)
    for sized in (False, True)
    for iterator in (False, True)
    for closable in (False, True)
}
