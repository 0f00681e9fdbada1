"""Run every bug of the corpus, and print its fingerprint: ``python corpus_run.py FOLDER NUMBER`` → JSON.

It also runs as a process of its own, with another hash seed, folder and line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

from otelflask._internal.error_reports import fingerprint
from otelflask._internal.exceptions.walk import Walk


def _group(bugs: Any, n: int, order: int) -> BaseException:
    errors = [_raised(bugs.bug_key, n), _raised(bugs.bug_zero, n)]
    return ExceptionGroup(f"{len(errors)} tasks failed", errors[:: -1 if order % 2 else 1])  # noqa: F821


def _raised(function: Any, n: int) -> BaseException:
    try:
        function(n)
    except Exception as error:
        return error
    raise AssertionError(f"{function.__name__} raised nothing")


async def _in_task(function: Any, n: int) -> None:
    await asyncio.create_task(_later(function, n))


async def _later(function: Any, n: int) -> None:
    await asyncio.sleep(0)
    function(n)


def events(number: int) -> Iterator[tuple[str, str]]:
    """Label and fingerprint of each event. `number` makes this run differ from others."""
    import bugs  # type: ignore[import-not-found]
    import other  # type: ignore[import-not-found]
    import retrylib  # type: ignore[import-not-found]

    for name, function in sorted(vars(bugs).items()):
        if name.startswith("bug_"):
            yield name, fingerprint.of_exception(Walk(_raised(function, 3 + 11 * number))).fingerprint
    try:
        asyncio.run(_in_task(bugs.bug_key, number))
    except KeyError as error:
        # The same bug, by another path through the library.
        yield "bug_key in a task", fingerprint.of_exception(Walk(error)).fingerprint
    if sys.version_info >= (3, 11):
        yield "group", fingerprint.of_exception(Walk(_group(bugs, number, number))).fingerprint
    # No frame of the app: type and message.
    for label, kind, message in (
        ("alone here", bugs.PaymentError, f"order {number} at 10.0.0.{number}"),
        ("alone there", other.PaymentError, f"order {number} at 10.0.0.{number}"),
        ("alone otherwise", bugs.PaymentError, f"no card for {number}"),
    ):
        yield label, fingerprint.of_exception(Walk(retrylib.fail_alone(kind, message))).fingerprint
    yield "log stock", fingerprint.of_log("shop", "stock of %s is %d", f"stock of lamp is {number}").fingerprint
    yield "log price", fingerprint.of_log("shop", "price of %s is %d", f"price of lamp is {number}").fingerprint
    text = f"order {number} of user-{number}@shop.example failed"
    yield "log formatted", fingerprint.of_log("shop", text, text).fingerprint
    yield "log of another logger", fingerprint.of_log("billing", text, text).fingerprint


if __name__ == "__main__":
    sys.path[:0] = [sys.argv[1], sys.argv[1] + "/site-packages"]
    print(json.dumps(list(events(int(sys.argv[2])))))
