"""Each module has a docstring, and docstrings describe the parameters that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted([*(ROOT / "otelflask").rglob("*.py"), *(ROOT / "grafana").rglob("*.py")])
Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _documented(tree: ast.Module) -> Iterator[tuple[Documented, str]]:
    for node in ast.walk(tree):
        if isinstance(node, Documented) and (text := ast.get_docstring(node)):
            yield node, text


def _parameters(node: Documented) -> set[str]:
    if isinstance(node, ast.ClassDef):
        made = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        return _parameters(made[0]) if made else set()
    given = node.args
    names = [item.arg for item in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return {
        *names,
        *(f"*{given.vararg.arg}" for _ in [0] if given.vararg),
        *(f"**{given.kwarg.arg}" for _ in [0] if given.kwarg),
    }


def _section(text: str, title: str) -> list[str]:
    found = re.search(rf"^{title}:\n((?:    .*\n?|\n)+)", text, re.M)
    return re.findall(r"^    (\S[^:]*):", found[1], re.M) if found else []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_argument_that_is_described_exists_and_none_is_missing(path: Path) -> None:
    for node, text in _documented(ast.parse(path.read_text())):
        described = _section(text, "Args")
        if described:
            assert set(described) == _parameters(node) - {"self", "cls"}, f"{path.name}: {node.name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_attribute_that_is_described_exists(path: Path) -> None:
    source = path.read_text()
    for node, text in _documented(ast.parse(source)):
        for names in _section(text, "Attributes"):
            for name in names.split(", "):
                assert re.search(rf"\b{name}\b\s*[:=]", source), f"{path.name}: {node.name}.{name}"


def test_no_docstring_has_a_form_of_its_own() -> None:
    forms = re.compile(r"\b(?:In|Out): ")
    assert [
        path.name for path in MODULES for _, text in _documented(ast.parse(path.read_text())) if forms.search(text)
    ] == []
