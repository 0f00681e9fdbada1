"""Whether Apache runs this process, and what time it leaves."""

from __future__ import annotations

import sys
import types

import pytest

from otelflask._internal.compat import mod_wsgi


@pytest.mark.parametrize(("has_groups", "seconds"), [(True, 2.0), (False, float("inf"))], ids=["Apache", "package"])
def test_apache_leaves_a_process_three_seconds(
    monkeypatch: pytest.MonkeyPatch, has_groups: bool, seconds: float
) -> None:
    module = types.ModuleType("mod_wsgi")
    if has_groups:
        module.process_group = "shop"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mod_wsgi", module)
    assert mod_wsgi.seconds_at_end() == seconds
