"""Random numbers that do not depend on `random.seed`.

An app that calls it with a constant has all its workers make the same numbers, and so the same ids.
"""

from __future__ import annotations

from random import Random

_random = Random()
#: As those of `random`.
getrandbits, random, uniform = _random.getrandbits, _random.random, _random.uniform


def seed() -> None:
    """Seed again from the system. A forked child would make the numbers of its parent."""
    _random.seed()
