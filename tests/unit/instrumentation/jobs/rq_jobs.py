"""Jobs of RQ: a worker imports them by name."""

from __future__ import annotations

import logging

from rq import Retry, get_current_job


def logs() -> None:
    logging.getLogger("work").warning("shipped")


def fails() -> None:
    order = 7
    raise LookupError(f"no order {order}")


def pays(card: str, kind: str) -> None:
    raise LookupError("no account")


def asks_again() -> Retry | None:
    job = get_current_job()
    return Retry(max=1) if job is not None and not job.number_of_retries else None


async def waits() -> None:
    logging.getLogger("work").warning("shipped")
