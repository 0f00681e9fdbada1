"""The setting `libraries` names libraries."""

from __future__ import annotations

import pytest

from otelflask._internal.settings.libraries import ADDED, DISABLED, INSTRUMENTORS, REPLACED, chosen, is_disabled


@pytest.mark.parametrize(
    ("setting", "names"),
    [("all", sorted(INSTRUMENTORS)), ("none", []), ("redis, httpx", ["redis", "httpx"])],
)
def test_a_setting_says_which(setting: str, names: list[str]) -> None:
    assert chosen(setting) == names


@pytest.mark.parametrize(
    ("value", "disabled"),
    [
        ("", set()),
        ("flask, logging", {"flask", "logging"}),
        ("*", {"flask", "logging", "celery"}),
        # What a process that was started by ours inherits.
        (",".join([ADDED, *REPLACED]), set()),
        (",".join(["celery", ADDED, *REPLACED]), {"celery"}),
        (",".join([ADDED, *REPLACED, "celery"]), {"celery"}),
    ],
)
def test_what_the_user_turns_off_is_not_what_otelflask_adds(
    monkeypatch: pytest.MonkeyPatch, value: str, disabled: set[str]
) -> None:
    monkeypatch.setenv(DISABLED, value)
    assert {name for name in ("flask", "logging", "celery") if is_disabled(name)} == disabled
