"""sentry-sdk: the fingerprint of a scope, and what its transport has not sent yet.

Sources: ``sentry_sdk.scope.Scope``, ``sentry_sdk.transport``, ``sentry_sdk.worker``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentry_sdk.scope import Scope


def fingerprint_of(scope: Scope) -> Sequence[str]:
    """The fingerprint that an app has set on a scope; empty where it has not."""
    return scope._fingerprint or ()


def unsent_events(transport: Any) -> int:
    """Events that a transport has not sent yet, as far as it says."""
    queue = getattr(getattr(transport, "_worker", None), "_queue", None)
    return int(getattr(queue, "unfinished_tasks", 0))
