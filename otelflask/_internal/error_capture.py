"""Report an exception of work that is no request: sentry-sdk's way, which error reports listen to."""

from __future__ import annotations

import sentry_sdk
from sentry_sdk.utils import event_from_exception


def capture(error: BaseException, handled: bool, mechanism: str) -> None:
    """Report an exception, where error reports are on.

    Args:
        error: The exception.
        handled: Whether the app has handled it.
        mechanism: What has met it, such as ``command``.
    """
    client = sentry_sdk.get_client()
    if client.is_active():
        found = {"type": mechanism, "handled": handled}
        event, hint = event_from_exception(error, client_options=client.options, mechanism=found)
        sentry_sdk.capture_event(event, hint=hint)
