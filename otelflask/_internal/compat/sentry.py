"""sentry-sdk: the fingerprint of a scope, and the events that a transport has not sent.

Sources: ``sentry_sdk.scope.Scope``, ``sentry_sdk.transport``, ``sentry_sdk.worker``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentry_sdk.scope import Scope


def fingerprint_of(scope: Scope) -> Sequence[str]:
    """The fingerprint that an app has set on a scope; empty where there is none."""
    return scope._fingerprint or ()


def unsent_events(transport: Any) -> int:
    """The number of events that a transport has not sent, as far as it shows."""
    queue = getattr(getattr(transport, "_worker", None), "_queue", None)
    return int(getattr(queue, "unfinished_tasks", 0))
