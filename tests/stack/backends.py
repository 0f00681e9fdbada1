"""Clients of the backends' HTTP APIs. They return decoded results, and raise for errors."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.stack.provisioned import Query

T = TypeVar("T")


def get(url: str, **parameters: Any) -> Any:
    """The JSON at an address. Raises RuntimeError with the server's text if the status is not 200."""
    if parameters:
        url += "?" + urllib.parse.urlencode(parameters, doseq=True)
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{error.code} of {url}: {error.read().decode()[:500]}") from None


def post(url: str, body: bytes, content_type: str) -> bytes:
    """Send a body. Raises RuntimeError with the server's text if the status is not a success."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answered: bytes = answer.read()
            return answered
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{error.code} of {url}: {error.read().decode(errors='replace')[:500]}") from None


def eventually(question: Callable[[], T], accept: Callable[[T], bool] = bool, seconds: float = 90) -> T:
    """The first answer that is accepted; after `seconds` the last one, accepted or not."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if accept(answer) or time.monotonic() > end:
            return answer
        time.sleep(1)


@dataclass
class Backends:
    """Prometheus, Loki and Tempo at their published ports."""

    prometheus: str
    loki: str
    tempo: str
    #: The beginning of the queried time, in epoch seconds.
    since: float = field(default_factory=lambda: time.time() - 900)

    def promql(self, expr: str) -> list[dict[str, Any]]:
        """Series of an instant query."""
        result: list[dict[str, Any]] = get(f"{self.prometheus}/api/v1/query", query=expr)["data"]["result"]
        return result

    def promql_range(self, expr: str) -> list[dict[str, Any]]:
        """Series of a range query."""
        answer = get(f"{self.prometheus}/api/v1/query_range", query=expr, start=self.since, end=time.time(), step="15s")
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def exemplars(self, expr: str) -> list[dict[str, Any]]:
        """Exemplars of the series that a query names."""
        url = f"{self.prometheus}/api/v1/query_exemplars"
        series = get(url, query=expr, start=self.since, end=time.time())["data"]
        return [exemplar for item in series for exemplar in item["exemplars"]]

    def label_values(self, selector: str, label: str) -> list[str]:
        """The values of a label, as for a dashboard's variable."""
        values: list[str] = get(f"{self.prometheus}/api/v1/label/{label}/values", **{"match[]": selector})["data"]
        return values

    def logql(self, expr: str, limit: int = 1000) -> list[dict[str, Any]]:
        """Streams or series of a range query."""
        answer = get(
            f"{self.loki}/loki/api/v1/query_range",
            query=expr,
            start=int(self.since * 1e9),
            end=int(time.time() * 1e9),
            limit=limit,
            step="15s",
        )
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def logql_instant(self, expr: str) -> list[dict[str, Any]]:
        """Series of an instant query."""
        result: list[dict[str, Any]] = get(f"{self.loki}/loki/api/v1/query", query=expr)["data"]["result"]
        return result

    def traceql(self, query: str, limit: int = 50, spans: int = 10) -> list[dict[str, Any]]:
        """Traces that a search finds."""
        answer = get(
            f"{self.tempo}/api/search",
            q=query,
            start=int(self.since),
            end=int(time.time()) + 1,
            limit=limit,
            spss=spans,
        )
        traces: list[dict[str, Any]] = answer.get("traces") or []
        return traces

    def traceql_metrics(self, query: str) -> list[dict[str, Any]]:
        """Series of a TraceQL metrics query."""
        answer = get(
            f"{self.tempo}/api/metrics/query_range", q=query, start=int(self.since), end=int(time.time()), step="15s"
        )
        series: list[dict[str, Any]] = answer.get("series") or []
        return series

    def trace(self, trace_id: str) -> dict[str, Any]:
        """A trace by its id."""
        answer: dict[str, Any] = get(f"{self.tempo}/api/v2/traces/{trace_id}")
        return answer["trace"]

    def ask(self, query: Query) -> list[dict[str, Any]]:
        """The result of a panel's query."""
        ask = {
            ("prometheus", "instant"): self.promql,
            ("prometheus", "range"): self.promql_range,
            ("prometheus", "exemplars"): self.exemplars,
            ("loki", "instant"): self.logql_instant,
            ("loki", "range"): self.logql,
            ("tempo", "search"): self.traceql,
            ("tempo", "metrics"): self.traceql_metrics,
        }[query.datasource, query.kind]
        return ask(query.text)
