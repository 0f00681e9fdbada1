"""Other libraries: OpenTelemetry's own instrumentations, with their known faults corrected.

Each has an extra (``otelflask[redis]``), and is used where both the library and its
instrumentation are installed. Corrected are names that grow with the data, secrets in URLs, and
missing attributes that the conventions require.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import INVALID_SPAN, Span, Tracer, TracerProvider, get_current_span

from otelflask._internal import guard
from otelflask._internal.compat.otel_instrumentation import replace_pipeline_names
from otelflask._internal.export.pipeline import Pipeline
from otelflask._internal.import_hooks import Cancel, is_importable, when_imported
from otelflask._internal.limits import bounded
from otelflask._internal.redaction import Scrubber
from otelflask._internal.settings.libraries import INSTRUMENTORS, is_disabled

#: The package of the instrumentors.
_PACKAGE = "opentelemetry.instrumentation"
#: The longest URL that is kept, in characters.
MAX_URL = 8_192
#: The instrumentors that were used.
_instrumented: list[Any] = []
#: Functions that cancel a library's instrumentation before its import.
_waiting: list[Cancel] = []


def instrument(names: Iterable[str], pipeline: Pipeline) -> None:
    """Instrument libraries when the app imports them, where nobody has done it before.

    Args:
        names: Names of `INSTRUMENTORS`.
        pipeline: The pipeline.
    """
    for name in names:
        if not is_disabled(name) and is_installed(name):
            action = functools.partial(_instrument, name, pipeline)
            # Either import may come first, and imports the other.
            _waiting.extend(when_imported(module, action) for module in (name, f"{_PACKAGE}.{name}"))


def uninstrument() -> None:
    """Undo `instrument`, for tests."""
    while _waiting:
        _waiting.pop()()
    while _instrumented:
        _instrumented.pop().uninstrument()


def is_installed(name: str) -> bool:
    """Whether a library and its instrumentation are installed."""
    return is_importable(name) and is_importable(f"{_PACKAGE}.{name}")


def _instrument(name: str, pipeline: Pipeline) -> None:
    module = importlib.import_module(f"{_PACKAGE}.{name}")
    kind = getattr(module, INSTRUMENTORS[name], None)
    if kind is None:
        # The instrumentor itself is importing the library. Its own import ends later, and is noticed then.
        return
    instrumentor = kind()
    if instrumentor.is_instrumented_by_opentelemetry:
        return
    given = {"tracer_provider": pipeline.tracer_provider, "meter_provider": pipeline.meter_provider}
    options = _OPTIONS.get(name)
    instrumentor.instrument(**given | (options(pipeline) if options is not None else {}))
    _instrumented.append(instrumentor)


def _url_masked(scrubber: Scrubber) -> Callable[..., None]:
    """A request hook that masks secrets in `url.full`. The instrumentations mask only five names of cloud providers."""

    @guard.guarded("masking a URL")
    def hook(span: Any, *request: Any) -> None:
        attributes = getattr(span, "attributes", None) or {}
        # The second name with OTEL_SEMCONV_STABILITY_OPT_IN=http/dup.
        for name in ("url.full", "http.url"):
            url = attributes.get(name)
            masked = scrubber.text(bounded(url, MAX_URL)) if isinstance(url, str) else url
            if masked != url:
                span.set_attribute(name, masked)

    return hook


def _requests(pipeline: Pipeline) -> dict[str, Any]:
    return {"request_hook": _url_masked(pipeline.scrubber)}


def _httpx(pipeline: Pipeline) -> dict[str, Any]:
    masked = _url_masked(pipeline.scrubber)

    async def async_hook(span: Any, request: Any) -> None:
        masked(span, request)

    return {"request_hook": masked, "async_request_hook": async_hook}


def _urllib3(pipeline: Pipeline) -> dict[str, Any]:
    masked = _url_masked(pipeline.scrubber)

    @guard.guarded("reading a request of urllib3")
    def hook(span: Any, pool: Any, request: Any) -> None:
        masked(span)
        if span.is_recording():
            # Required by the conventions; requests and httpx set it.
            span.set_attribute("server.address", pool.host)
            span.set_attribute("server.port", pool.port or (443 if pool.scheme == "https" else 80))

    return {"request_hook": hook}


def _redis(pipeline: Pipeline) -> dict[str, Any]:
    replace_pipeline_names(_pipeline_name)

    @guard.guarded("reading a command of redis")
    def named(span: Any, client: Any, arguments: Any, options: Any) -> None:
        if span.is_recording() and arguments:
            span.set_attribute("db.operation.name", str(arguments[0]).upper())

    @guard.guarded("reading a pipeline of redis")
    def sized(span: Any, client: Any, answer: Any) -> None:
        attributes = getattr(span, "attributes", None) or {}
        length = attributes.get("db.redis.pipeline_length")
        if length is not None:
            span.set_attribute("db.operation.name", span.name)
            if length > 1:
                span.set_attribute("db.operation.batch.size", length)

    return {"request_hook": named, "response_hook": sized}


def _pipeline_name(commands: str) -> str:
    """``PIPELINE SET`` for commands of one name, else ``PIPELINE`` (semantic conventions, database spans: batches)."""
    kinds = {command.upper() for command in commands.split(" ")}
    return f"PIPELINE {kinds.pop()}" if len(kinds) == 1 else "PIPELINE"


class _WithinTraces(TracerProvider):
    """A provider whose tracers start no traces: compiling a template at start is not a trace."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def get_tracer(self, *arguments: Any, **options: Any) -> Tracer:
        return _ChildTracer(self._provider.get_tracer(*arguments, **options))


class _ChildTracer(Tracer):
    """Starts spans only below other spans, and where instrumentation is not suppressed."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def start_span(self, name: str, context: Any = None, *arguments: Any, **options: Any) -> Span:
        if not self._is_within(context):
            return INVALID_SPAN
        return self._tracer.start_span(name, context, *arguments, **options)

    @staticmethod
    def _is_within(context: Any) -> bool:
        return is_instrumentation_enabled() and get_current_span(context).get_span_context().is_valid

    @contextmanager
    def start_as_current_span(self, name: str, *arguments: Any, **options: Any) -> Iterator[Span]:  # type: ignore[override]
        if not self._is_within(None):
            yield INVALID_SPAN
            return
        # The tracer itself records the exception, and reads its text with care.
        with self._tracer.start_as_current_span(name, *arguments, **options) as span:
            yield span


def _jinja2(pipeline: Pipeline) -> dict[str, Any]:
    return {"tracer_provider": _WithinTraces(pipeline.tracer_provider)}


_OPTIONS: dict[str, Callable[[Pipeline], dict[str, Any]]] = {
    "httpx": _httpx,
    "jinja2": _jinja2,
    "redis": _redis,
    "requests": _requests,
    "urllib3": _urllib3,
}
