"""The HTTP server metrics (semantic conventions, HTTP metrics)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from otelflask._internal.attribute_layers import Interned
from otelflask._internal.instrumentation.http.ended_request import EndedRequest
from otelflask._internal.locks import new_lock
from otelflask._internal.observers import RequestObserver
from otelflask._internal.request_record import SWITCHING_PROTOCOLS, RequestRecord
from otelflask._internal.sdk import durations
from otelflask._internal.sdk.bound_histogram import BoundHistogram, measures_by_default
from otelflask._internal.sdk.meter_provider import MeterProvider as SdkMeterProvider
from otelflask._internal.version import __version__

SIZE_BOUNDARIES = (0.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 16_777_216.0)
SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"


#: Of duration, request size and response size.
Histograms = tuple[BoundHistogram, BoundHistogram, BoundHistogram]


class HttpMetrics(RequestObserver):
    """Duration, body sizes and active requests by method, route, status and scheme, for all apps of a provider."""

    def __init__(self, meter_provider: MeterProvider) -> None:
        meter = meter_provider.get_meter("otelflask.http", __version__, SCHEMA_URL)
        self.duration = meter.create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=durations.HTTP,
        )
        self._request_size = meter.create_histogram(
            "http.server.request.body.size",
            unit="By",
            description="Size of HTTP server request bodies.",
            explicit_bucket_boundaries_advisory=SIZE_BOUNDARIES,
        )
        self._response_size = meter.create_histogram(
            "http.server.response.body.size",
            unit="By",
            description="Size of HTTP server response bodies.",
            explicit_bucket_boundaries_advisory=SIZE_BOUNDARIES,
        )
        meter.create_observable_up_down_counter(
            "http.server.active_requests",
            callbacks=[self._observe_active],
            unit="{request}",
            description="Number of active HTTP server requests.",
        )
        #: By method, route, status, error type, scheme and protocol.
        self.histograms: Interned[Histograms] = Interned(self._bind)
        self._lock = new_lock()
        #: Whether `add` may be used. Otherwise the user's views and exemplar filters may want the request's context.
        self.measures_later = type(meter_provider) is SdkMeterProvider and measures_by_default(self.duration)
        if isinstance(meter_provider, SdkMeterProvider):
            meter_provider.before_collect.append(self.offer_exemplars)
        self.after_fork()

    @classmethod
    def by(cls, meter_provider: MeterProvider) -> HttpMetrics:
        """The metrics of a meter provider, made on first use.

        All apps share them: two instruments of one name would be two metrics of one name.
        """
        known = _by_provider.get(meter_provider)
        if known is None:
            known = _by_provider[meter_provider] = cls(meter_provider)
        return known

    def after_fork(self) -> None:
        """Forget the parent's active requests."""
        self._active: Counter[tuple[str, str]] = Counter()

    def _bind(
        self, method: str, route: str | None, status: int, error_type: str | None, scheme: str, protocol: str | None
    ) -> Histograms:
        attributes: dict[str, Any] = {
            "http.request.method": method,
            "url.scheme": scheme,
            "http.response.status_code": status,
        }
        if route is not None:
            attributes["http.route"] = route
        if error_type is not None:
            attributes["error.type"] = error_type
        if protocol is not None:
            attributes["network.protocol.version"] = protocol
        return (
            BoundHistogram(self.duration, attributes),
            BoundHistogram(self._request_size, attributes),
            BoundHistogram(self._response_size, attributes),
        )

    def _observe_active(self, options: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            active = list(self._active.items())
        return [Observation(n, {"http.request.method": method, "url.scheme": s}) for (method, s), n in active]

    def active(self) -> int:
        """The number of active requests."""
        return sum(dict(self._active).values())

    def opened(self, record: RequestRecord) -> None:
        with self._lock:
            self._active[record.method, record.scheme] += 1

    def closed(self, record: RequestRecord) -> None:
        with self._lock:
            self._active[record.method, record.scheme] -= 1

    def measure(self, request: EndedRequest, context: Context) -> None:
        """Measure a request now.

        Args:
            request: The request.
            context: Its context.
        """
        if request.status == SWITCHING_PROTOCOLS:
            # It says nothing about how fast the app answers.
            return
        duration, request_size, response_size = self.histograms(
            request.method, request.route, request.status, request.error_type, request.scheme, request.protocol
        )
        sampled = bool(request.trace_flags & 1)
        duration.record(request.duration, context, sampled)
        if request.request_size is not None:
            request_size.record(request.request_size, context, sampled)
        response_size.record(request.response_size, context, sampled)

    @staticmethod
    def add(request: EndedRequest, histograms: Histograms) -> None:
        """Measure a request that was handed over. Only where `measures_later`.

        Args:
            request: The request.
            histograms: Its `histograms`.
        """
        duration, request_size, response_size = histograms
        at, trace_id, span_id = request.ended_at, request.trace_id, request.span_id
        sampled = bool(request.trace_flags & 1)
        duration.add(request.duration, at, trace_id, span_id, sampled)
        if request.request_size is not None:
            request_size.add(request.request_size, at, trace_id, span_id, sampled)
        response_size.add(request.response_size, at, trace_id, span_id, sampled)

    def offer_exemplars(self) -> None:
        """Offer what `add` has kept as exemplars."""
        for histograms in self.histograms.values():
            for histogram in histograms:
                histogram.offer_exemplars()


#: A provider holds its metrics by their callbacks, so they live as long as it does.
_by_provider: WeakKeyDictionary[MeterProvider, HttpMetrics] = WeakKeyDictionary()
