"""The setting `libraries` names libraries."""

from __future__ import annotations

import pytest

from otelflask._internal.settings.libraries import INSTRUMENTORS, chosen


@pytest.mark.parametrize(
    ("setting", "names"),
    [("all", sorted(INSTRUMENTORS)), ("none", []), ("redis, httpx", ["redis", "httpx"])],
)
def test_a_setting_says_which(setting: str, names: list[str]) -> None:
    assert chosen(setting) == names
