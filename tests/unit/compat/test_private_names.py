"""Private names of other packages are in `compat` only."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import otelflask

PACKAGE = Path(otelflask.__file__).parent
#: Methods that a foreign base class requires of its subclasses, by these names.
ASKED_FOR = {"_configure", "_instrument", "_uninstrument", "_receive_metrics"}
#: A module that needs a server, and one that makes an app and has all later tasks run in it.
NOT_IMPORTED = {"otelflask.demo.locustfile", "otelflask.demo.worker"}


def _sources() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if "compat" not in path.parts]


def _modules() -> Iterator[ModuleType]:
    for path in _sources():
        name = ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        if name not in NOT_IMPORTED and not name.endswith("__main__"):
            yield importlib.import_module(name)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not str(node.module).startswith("otelflask"):
            yield from (f"{node.module}.{item.name}" for item in node.names)
        elif isinstance(node, ast.Import):
            yield from (item.name for item in node.names if not item.name.startswith("otelflask"))


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_module_imports_one(path: Path) -> None:
    found = [name for name in _imported(ast.parse(path.read_text())) if any(map(_is_private, name.split(".")))]
    assert not found


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_module_asks_for_one_by_its_text(path: Path) -> None:
    asked = [
        node.args[1].value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("getattr", "hasattr", "setattr", "attrgetter", "methodcaller")
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
    ]
    assert not [name for name in asked if _is_private(str(name))]


def _source(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        # A class from C, or one made at run time.
        return ""


def _private_names(kind: type) -> set[str]:
    """The private names of a class and its instances."""
    return {name for name in {*_own(kind), *re.findall(r"self\.(\w+)", _source(kind))} if _is_private(name)}


def _own(kind: type) -> set[str]:
    """The names in a class's body. Others may be set later, such as a singleton's instance."""
    source = _source(kind)
    if not source:
        return set(vars(kind))
    (body,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(body, ast.ClassDef)
    functions = {item.name for item in body.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))}
    assigned = {item.targets[0] for item in body.body if isinstance(item, ast.Assign)}
    declared = {item.target for item in body.body if isinstance(item, ast.AnnAssign)}
    return functions | {item.id for item in (*assigned, *declared) if isinstance(item, ast.Name)}


def test_no_other_class_uses_one_that_it_inherits() -> None:
    found = set()
    for module in _modules():
        for kind in vars(module).values():
            if not isinstance(kind, type) or kind.__module__ != module.__name__:
                continue
            used = set(re.findall(r"(?:self|super\(\))\.(\w+)", _source(kind))) | _own(kind)
            for base in kind.__mro__[1:]:
                if base.__module__.startswith("otelflask"):
                    # Our classes are checked themselves, and inherit further.
                    used -= _private_names(base)
                elif base.__module__ not in ("abc", "builtins", "typing", "threading"):
                    found |= {
                        f"{kind.__qualname__}: {base.__qualname__}.{name}" for name in used & _private_names(base)
                    }
    assert not {name for name in found if name.rpartition(".")[2] not in {*ASKED_FOR, "_abc_impl"}}
