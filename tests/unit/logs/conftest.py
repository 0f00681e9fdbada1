from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("shop.stock")
    found.setLevel(logging.INFO)
    yield found
    found.setLevel(logging.NOTSET)
