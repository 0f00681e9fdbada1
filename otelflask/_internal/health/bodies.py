"""The bodies of health answers: plain JSON, and ``application/health+json`` for who asks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from otelflask._internal.health.checks import FAIL, PASS, WARN, Check, Outcome

#: A check and its outcome.
Checked = list[tuple[Check, Outcome]]

HEALTH_JSON = "application/health+json"
#: The plain body's words for a check, and for `/health`.
_WORDS = {PASS: "healthy", WARN: "degraded", FAIL: "unhealthy"}
#: The plain body's words for the paths below it.
_WORDS_BELOW = {
    "live": {PASS: "alive"},
    "ready": {PASS: "ready", WARN: "ready", FAIL: "not_ready"},
    "startup": {PASS: "started", WARN: "started", FAIL: "not_started"},
}


def plain(about: str, status: str, checks: Checked, timestamp: str | int) -> dict[str, Any]:
    """The body for everybody: the status in words, the time, and the status of each kind of check.

    Args:
        about: The part of the path below `/health`, or an empty text.
        status: ``pass``, ``warn`` or ``fail``.
        checks: The checks that count for it.
        timestamp: The time.
    """
    body = {"status": _WORDS_BELOW.get(about, _WORDS)[status], "timestamp": timestamp}
    if not checks:
        return body
    worst: dict[str, str] = {}
    for item, outcome in checks:
        kind = item.name.partition(":")[0]
        worst[kind] = max(worst.get(kind, PASS), outcome.status, key=(PASS, WARN, FAIL).index)
    return {**body, "checks": {kind: {"status": _WORDS[found]} for kind, found in worst.items()}}


def with_details(body: dict[str, Any], about_service: Mapping[str, str], checks: Checked) -> dict[str, Any]:
    """A plain body with the service, and with each check by its name: how long it took, what it saw, why it failed.

    Two checks of one kind have longer names, such as ``database:shop``.
    """
    if not checks:
        return {**body, **about_service}
    kinds = Counter(item.name.partition(":")[0] for item, _ in checks)
    shown: dict[str, dict[str, Any]] = {}
    for item, outcome in checks:
        kind = item.name.partition(":")[0]
        name = kind if kinds[kind] == 1 else item.name
        # Two engines of one database have one name.
        shown[name if name not in shown else f"{name} {len(shown)}"] = _plain_check(item, outcome)
    return {**body, **about_service, "checks": shown}


def _plain_check(item: Check, outcome: Outcome) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "status": _WORDS[outcome.status],
        "response_time_ms": round(outcome.seconds * 1000, 3),
        "critical": item.critical,
    }
    if outcome.observed is not None:
        shown |= {"value": outcome.observed, "unit": outcome.unit}
    if outcome.output:
        shown["error"] = outcome.output
    return shown


def health_json(status: str, about_service: Mapping[str, str], checks: Checked, *, details: bool) -> dict[str, Any]:
    """The body of draft-inadarei-api-health-check-06."""
    body: dict[str, Any] = {"status": status}
    if not details:
        return body
    names = {"service": "serviceId", "version": "version"}
    body.update({names[name]: value for name, value in about_service.items()})
    if checks:
        shown: dict[str, list[dict[str, Any]]] = {}
        for item, outcome in checks:
            shown.setdefault(item.name, []).append(_check_of_draft(item, outcome))
        body["checks"] = shown
    return body


def _check_of_draft(item: Check, outcome: Outcome) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "status": outcome.status,
        "time": datetime.fromtimestamp(outcome.at, timezone.utc).isoformat(timespec="milliseconds"),
        "critical": item.critical,
        "durationSeconds": round(outcome.seconds, 6),
    }
    if outcome.observed is not None:
        shown.update(observedValue=outcome.observed, observedUnit=outcome.unit)
    if outcome.output:
        shown["output"] = outcome.output
    return shown
