"""The examples in the docs run, and what they name exists."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Code that the examples of a page assume.
BEFORE = {
    "requests.md": """
        from types import SimpleNamespace
        import otelflask
        user = SimpleNamespace(id=7)
    """,
    "testing.md": """
        import flask
        import otelflask

        def create_app():
            app = flask.Flask("shop")
            app.add_url_rule("/checkout", "checkout", lambda: ("done", 201), methods=["POST"])
            return app
    """,
}


def _examples() -> list[object]:
    # The API page has signatures, and no examples.
    pages = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name != "api.md")]
    return [
        pytest.param(page.name, code, id=f"{page.relative_to(ROOT)}-{number}")
        for page in pages
        for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S), start=1)
    ]


@pytest.mark.parametrize(("page", "code"), _examples())
def test_an_example_runs(page: str, code: str, tmp_path: Path) -> None:
    text = textwrap.dedent(BEFORE.get(page, "")) + code
    if "def test_" not in code:
        text = f"def test_example():\n{textwrap.indent(text, '    ')}"
    (tmp_path / "test_example.py").write_text(text)
    # A process of its own, so that it leaves nothing here.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_step_that_the_architecture_names_is_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    steps = re.findall(r"`([a-z_/]+)\.py:([\w.]+)`", page)
    assert len(steps) > 60
    below = ROOT / "otelflask" / "_internal"
    for path in re.findall(r"`([a-z_/]+(?:\.py|\.html|/))[:`]", page):
        assert (
            (below / path).exists()
            or (ROOT / path).exists()
            or (below / "instrumentation" / path).exists()
            or (below / "live_page" / path).exists()
        ), path
    for path, name in steps:
        found: object = importlib.import_module("otelflask._internal." + path.replace("/", "."))
        for part in name.split("."):
            found = getattr(found, part)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="griffe2md needs Python 3.11")
def test_the_page_of_the_api_is_made_from_the_docstrings() -> None:
    from tests.api_page import page

    assert (ROOT / "docs" / "api.md").read_text() == page(), "run: make docs"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the garbage collector's metrics differ")
def test_the_page_of_names_is_made_from_the_code_and_the_scenarios() -> None:
    from tests.telemetry_page import page

    assert (ROOT / "docs" / "telemetry.md").read_text() == page(), "run: make docs"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tests.structure needs Python 3.11")
def test_the_picture_of_the_structure_is_of_this_structure() -> None:
    from tests.structure import drawing

    assert (ROOT / "docs" / "images" / "structure.svg").read_text() == drawing(), "run: make docs"


def test_each_page_is_linked_from_the_readme_and_each_link_leads_somewhere() -> None:
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")}
    assert pages <= set(_links(ROOT / "README.md"))
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for link in _links(page):
            path, _, part = link.partition("#")
            target = (page.parent / path) if path else page
            assert target.exists(), f"{page.name}: {link}"
            assert not part or part in _headings(target), f"{page.name}: {link}"


def test_each_make_command_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= targets, page.name


def _links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith(("http", "/d/", "mailto:"))]


def _headings(page: Path) -> set[str]:
    text = page.read_text()
    named = set(re.findall(r'(?:id|name)="([^"]+)"', text)) | set(re.findall(r"\{#([^}]+)\}", text))
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return named | {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
