"""The wheel has what people and package indexes expect in it."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True)
    (found,) = folder.glob("*.whl")
    return found


def test_an_index_accepts_it_and_shows_its_readme(wheel: Path) -> None:
    every = [str(path) for path in wheel.parent.iterdir()]
    assert len(every) == 2
    command = [sys.executable, "-m", "twine", "check", "--strict", *every]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_has_the_licence_and_those_of_what_it_brings(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        licences = [name for name in opened.namelist() if ".dist-info/licenses/" in name]
        texts = [opened.read(name).decode() for name in licences]
    assert len(licences) == 2
    assert any("Apache License" in text for text in texts)
    assert any("uPlot" in name for name in licences)


def test_its_readme_leads_somewhere_outside_of_the_repository(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(opened.read(name).decode())
    readme = metadata.get_payload()
    assert isinstance(readme, str)
    text = re.sub(r"^```.*?^```", "", readme, flags=re.M | re.S)
    links = [*re.findall(r"\]\(([^)]+)\)", text), *re.findall(r'src(?:set)?="([^"]+)"', text)]
    assert len(links) > 20
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert metadata["License-Expression"] == "Apache-2.0"
    assert len(metadata.get_all("Project-URL", [])) >= 4
    assert "Programming Language :: Python :: 3.14" in metadata.get_all("Classifier", [])
