"""What the page loads."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from otelflask._internal.live_page.show.assets import Assets
from tests.servers import ROOT
from tests.vendor import LIVE_PAGE, VENDOR, sums


def test_code_of_others_is_what_its_authors_published_and_has_its_licence() -> None:
    noted = dict(reversed(line.split()) for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    assert sums() == noted
    for folder in (path for path in VENDOR.iterdir() if path.is_dir()):
        assert "Permission is hereby granted" in (folder / "LICENSE").read_text()
        assert f"/vendor/{folder.name}/" in (LIVE_PAGE / "templates" / "base.html").read_text()


def test_an_address_changes_with_the_content(monkeypatch: pytest.MonkeyPatch) -> None:
    assets = Assets()
    assert assets.get(f"/assets/{assets.version}/page.css") is not None
    assert assets.get("/assets/000000000000/page.css") is None
    assert assets.get(f"/assets/{assets.version}/../page.py") is None


def test_nothing_is_loaded_from_another_host_and_nothing_is_evaluated() -> None:
    for path in LIVE_PAGE.rglob("*"):
        if path.suffix in (".js", ".css", ".html", ".svg") and "vendor" not in path.parts:
            text = path.read_text()
            assert re.findall(r"(?:src|href|from|url\()\s*=?\s*[\"']?(?:https?:)?//", text) == [], path
            assert re.findall(r"\beval\(|\binnerHTML\b|new Function|insertAdjacentHTML|document\.write", text) == [], (
                path
            )


def test_the_wheel_has_all_of_it(tmp_path: Path) -> None:
    hatchling = pytest.importorskip("hatchling.builders.wheel")
    (wheel,) = hatchling.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = [path for path in LIVE_PAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    wanted = {str(path.relative_to(ROOT)) for path in files}
    assert wanted <= names
