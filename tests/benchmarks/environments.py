"""The environments of the benchmarks: one for each variant, with the same Flask and SQLAlchemy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROUTES = ("/ping", "/api/products", "/boom")
BASE = ["flask==3.1.3", "werkzeug==3.1.9", "sqlalchemy==2.0.51", "gunicorn==27.0.1"]
OTEL = ["opentelemetry-sdk==1.45.1", "opentelemetry-exporter-otlp==1.45.1"]
VARIANTS: dict[str, list[str]] = {
    "bare": BASE,
    "contrib": [
        *BASE,
        *OTEL,
        "opentelemetry-distro==0.66b1",
        "opentelemetry-instrumentation-flask==0.66b1",
        "opentelemetry-instrumentation-sqlalchemy==0.66b1",
        "opentelemetry-instrumentation-logging==0.66b1",
    ],
    "prometheus": [*BASE, "prometheus-flask-exporter==0.23.2"],
    "otelflask": [*BASE, *OTEL, str(ROOT)],
}


def python_of(variant: str, refresh: bool = True) -> Path:
    """The variant's interpreter. Its environment is made on first use, and has this tree from the last `refresh`."""
    variant = variant.removesuffix("-zero-code")
    folder = ROOT / ".bench" / variant
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *VARIANTS[variant]], check=True)
        (folder / ".ready").touch()
    if variant == "otelflask" and refresh:
        # Always the current tree.
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", str(ROOT)], check=True
        )
    return python
