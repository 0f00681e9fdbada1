"""Old import paths of public names work."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
from typing import ClassVar, get_type_hints

import pytest

import otelflask
from otelflask import SettingError
from otelflask._internal.names import MOVED
from otelflask.breaker import CircuitOpenError
from otelflask.errors import AppError, ValidationError
from otelflask.health import Degraded


@pytest.fixture(autouse=True)
def forget() -> None:
    """Make the modules look as if they had never been imported."""
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


@pytest.mark.parametrize(
    "statement",
    [
        "from otelflask import *; flush",
        "import otelflask; assert not hasattr(otelflask, 'SQLAlchemyInstrumentor')",
        "import otelflask; otelflask.errors.NotFoundError; otelflask.health.check",
        "import otelflask; otelflask.record.set_user; otelflask.http.instrumentor.FlaskInstrumentor",
        "import otelflask.http; otelflask.http.instrumentor.FlaskInstrumentor",
    ],
)
def test_names_of_the_package_need_no_further_import_and_no_sqlalchemy(statement: str) -> None:
    without = "import sys; sys.modules['sqlalchemy'] = None\n"
    done = subprocess.run([sys.executable, "-c", without + statement], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("error", [AppError("x"), ValidationError(fields={"a": "b"}), CircuitOpenError("x")])
def test_public_exceptions_say_where_they_are_imported_from(error: AppError) -> None:
    kind = type(error)
    assert getattr(importlib.import_module(kind.__module__), kind.__name__) is kind
    assert kind.__module__ in ("otelflask.errors.exceptions", "otelflask.breaker")
    assert pickle.loads(pickle.dumps(error)).args == error.args
    assert get_type_hints(kind)["type"] == ClassVar[str]


def test_other_public_exceptions_too() -> None:
    assert (SettingError.__module__, Degraded.__module__) == ("otelflask", "otelflask.health")
