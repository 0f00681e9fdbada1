"""``python -m tests.vendor VERSION``: replace uPlot in the live page by another version, from npm."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

LIVE_PAGE = Path(__file__).parents[1] / "otelflask" / "_internal" / "live_page" / "show"
VENDOR = LIVE_PAGE / "static" / "vendor"
#: Path in the package → name here.
FILES = {
    "dist/uPlot.iife.min.js": "uPlot.iife.min.js",
    "dist/uPlot.min.css": "uPlot.min.css",
    "LICENSE": "LICENSE",
}


def sums() -> dict[str, str]:
    """The checksum of each file, by its path."""
    found = sorted(path for path in VENDOR.glob("*/*") if path.is_file())
    return {str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def main(version: str) -> None:
    """Download the version, replace the files, and update the references."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["npm", "pack", "--silent", f"uplot@{version}"], cwd=folder, check=True, capture_output=True, text=True
        )
        with tarfile.open(Path(folder) / done.stdout.strip()) as archive:
            archive.extractall(folder, filter="data")
        for old in VENDOR.glob("uPlot-*"):
            shutil.rmtree(old)
        target = VENDOR / f"uPlot-{version}"
        target.mkdir()
        for source, name in FILES.items():
            shutil.copyfile(Path(folder) / "package" / source, target / name)
    lines = [f"{digest}  {path}\n" for path, digest in sums().items()]
    (VENDOR / "SHA256SUMS").write_text("".join(lines))
    for path in (LIVE_PAGE / "templates" / "base.html", VENDOR / "README.md"):
        text = re.sub(r"uPlot-\d+\.\d+\.\d+", f"uPlot-{version}", path.read_text())
        path.write_text(re.sub(r"\| \d+\.\d+\.\d+ \|", f"| {version} |", text))


if __name__ == "__main__":
    main(sys.argv[1])
