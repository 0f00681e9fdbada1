"""Metrics under the names of many tutorials, made from those of the semantic conventions.

``flask_requests_total``, ``flask_request_duration_seconds``, ``flask_active_users``,
``db_query_count_total`` and ``db_query_duration``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask

from otelflask._internal import attribute_names
from otelflask._internal.metrics_page.snapshot import Series, Snapshot

#: The endpoint of requests that no route matches.
NO_ENDPOINT = "unknown"
_OPERATIONS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
#: Ends of transactions, which no cursor runs.
_NO_STATEMENTS = frozenset({"COMMIT", "ROLLBACK"})
_SCOPE = "otelflask.flask_names "
#: Attributes of a point → labels of its counterpart; None where it has none.
_Labels = Callable[[Mapping[str, Any]], dict[str, str] | None]


def flask_names(snapshot: Snapshot, app: Flask) -> Snapshot:
    """The metrics of a snapshot under other names.

    Args:
        snapshot: All metrics.
        app: The app, which knows the endpoint of a route.
    """
    endpoints = {
        (rule.rule, method): rule.endpoint for rule in app.url_map.iter_rules() for method in rule.methods or ()
    }

    def request(point: Mapping[str, Any]) -> dict[str, str]:
        method = str(point.get("http.request.method", ""))
        return {"method": method, "endpoint": _endpoint(endpoints, str(point.get("http.route", "")), method)}

    def request_and_status(point: Mapping[str, Any]) -> dict[str, str]:
        return {**request(point), "status": str(point.get("http.response.status_code", ""))}

    def operation(point: Mapping[str, Any]) -> dict[str, str] | None:
        name = str(point.get("db.operation.name", "")).upper()
        if name in _NO_STATEMENTS:
            return None
        return {"operation": name if name in _OPERATIONS else "OTHER"}

    def any_operation(point: Mapping[str, Any]) -> dict[str, str] | None:
        return None if operation(point) is None else {}

    requests = _series(snapshot, "http.server.request.duration")
    statements = _series(snapshot, "db.client.operation.duration")
    made = [
        _counter("flask.requests", "Requests.", requests, request_and_status),
        _histogram("flask.request.duration", "s", "Duration of requests, in seconds.", requests, request),
        _active_users(snapshot),
        _counter("db.query.count", "Statements.", statements, operation),
        _histogram("db.query.duration", "", "Duration of statements, in seconds.", statements, any_operation),
    ]
    return {f"{series.scope} {series.name}": series for series in made}


def _endpoint(endpoints: Mapping[tuple[str, str], str], route: str, method: str) -> str:
    """The endpoint of a route, which begins with the path at which a dispatcher has mounted the app."""
    while route:
        found = endpoints.get((route, method))
        if found is not None:
            return found
        _, slash, rest = route[1:].partition("/")
        route = slash + rest
    return NO_ENDPOINT


def _series(snapshot: Snapshot, name: str) -> list[Series]:
    return [series for series in snapshot.values() if series.name == name and series.kind == "histogram"]


def _counter(name: str, description: str, durations: list[Series], labels: _Labels) -> Series:
    made = Series(_SCOPE, name, "", description, "counter")
    for series in durations:
        for key, (count, *_) in series.points.items():
            named = _key(labels(json.loads(key)))
            if named:
                made.points[named] = made.points.get(named, 0) + count
    return made


def _histogram(name: str, unit: str, description: str, durations: list[Series], labels: _Labels) -> Series:
    made = Series(_SCOPE, name, unit, description, "histogram")
    for series in durations:
        # A view of the app may give one metric other buckets.
        made.bounds = made.bounds or series.bounds
        for key, point in series.points.items():
            named = _key(labels(json.loads(key)))
            if series.bounds != made.bounds or not named:
                continue
            known = made.points.get(named, [0] * len(point))
            made.points[named] = [mine + other for mine, other in zip(known, point, strict=True)]
    return made


def _active_users(snapshot: Snapshot) -> Series:
    made = Series(_SCOPE, "flask.active_users", "", "Different users of the last 5 minutes.", "gauge", points={"{}": 0})
    for series in snapshot.values():
        if series.name == "otelflask.users.active":
            for key, value in series.points.items():
                if json.loads(key).get(attribute_names.WINDOW) == "5m":
                    made.points["{}"] = value
    return made


def _key(labels: dict[str, str] | None) -> str:
    """Labels as a key of points; empty for none."""
    return "" if labels is None else json.dumps(labels, sort_keys=True)
