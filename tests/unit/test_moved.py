"""Public names are found where they once were."""

from __future__ import annotations

import importlib
import sys

import pytest

import otelflask
from otelflask._internal.moved import MOVED


@pytest.fixture(autouse=True)
def forget() -> None:
    """Nobody has imported them yet."""
    for module in MOVED:
        sys.modules.pop(module, None)


@pytest.mark.parametrize("module", [module for module, (place, _) in MOVED.items() if place])
def test_an_old_import_path_works_and_says_where_its_names_are_now(module: str) -> None:
    place, names = MOVED[module]
    with pytest.warns(DeprecationWarning, match=rf"{module} has moved: import .*{names[-1]} from {place}") as said:
        exec(compile(f"import {module}", "shop.py", "exec"))
    assert said[0].filename == "shop.py"
    found = sys.modules[module]
    assert [getattr(found, name) for name in names] == [getattr(importlib.import_module(place), name) for name in names]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_old_module_is_an_attribute_of_its_package() -> None:
    importlib.import_module("otelflask.http.instrumentor")
    assert otelflask.http.instrumentor.FlaskInstrumentor is otelflask.FlaskInstrumentor  # type: ignore[attr-defined]


def test_a_module_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"otelflask\.metrics"):
        importlib.import_module("otelflask.metrics")


def test_the_instrumentor_of_sqlalchemy_is_a_name_of_the_package() -> None:
    from otelflask._internal.instrumentation.database.instrumentor import SQLAlchemyInstrumentor

    assert otelflask.SQLAlchemyInstrumentor is SQLAlchemyInstrumentor
    with pytest.raises(AttributeError, match="nothing"):
        otelflask.nothing  # type: ignore[attr-defined]  # noqa: B018
