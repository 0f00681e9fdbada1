"""The package shows what is public, and modules stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import otelflask

PACKAGE = Path(otelflask.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
#: `python -m otelflask.demo` is an app: nobody imports it.
APPS = {"demo"}
MAX_PUBLIC = 12
MAX_LINES = 400
#: The longest function in lines, for this percentage of all functions.
MAX_FUNCTION, SHARE = 30, 95


def _public() -> Iterator[str]:
    for path in MODULES:
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in {"_internal", *APPS}:
            yield ".".join(("otelflask", *(part for part in parts if part != "__init__")))


def test_few_modules_are_public_and_the_docs_have_all_of_them() -> None:
    page = (PACKAGE.parent / "docs" / "api.md").read_text()
    found = set(_public())
    assert len(found) <= MAX_PUBLIC
    assert found == {line.strip("# `") for line in page.splitlines() if line.startswith("## `")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_functions_are_short() -> None:
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    assert lengths[len(lengths) * SHARE // 100] <= MAX_FUNCTION


@pytest.mark.parametrize(
    "path", [item for item in MODULES if item.name == "__init__.py"], ids=lambda path: path.parent.name
)
def test_a_package_holds_names_only(path: Path) -> None:
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.If, ast.Expr)
    body = ast.parse(path.read_text()).body
    # Names that are imported on first access.
    assert all(isinstance(node, allowed) or getattr(node, "name", "") == "__getattr__" for node in body)
