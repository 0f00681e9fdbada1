"""Each command in the pages of servers starts a server that answers, and its telemetry arrives."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from otelflask._internal.wiring.server_limits import LIMITS
from otelflask.testing import FakeCollector
from tests.servers import apache_options

from .conftest import Serve

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: The option for an address, where a command has none.
ADDRESSES = {
    "gunicorn": "--bind 127.0.0.1:{port}",
    "granian": "--port {port}",
    "hypercorn": "--bind 127.0.0.1:{port}",
    "uvicorn": "--port {port}",
    "flask": "--port {port}",
}
#: The servers of pages.
TITLES = {"uwsgi": "uWSGI", "flask": "Flask's server, reloader"}


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def _commands() -> list[object]:
    return [
        pytest.param(page, command, id=f"{page.stem}-{number}")
        for page in sorted((ROOT / "docs" / "servers").glob("*.md"))
        for block in _blocks(page, "sh")
        for number, command in enumerate(block.replace("\\\n", "").strip().splitlines(), start=1)
    ]


@pytest.mark.parametrize(("page", "command"), _commands())
def test_a_command_of_a_page_serves_and_sends(
    serve: Serve,
    fake_collector: FakeCollector,
    app_dir: Path,
    page: Path,
    command: str,
) -> None:
    is_zero_code = "opentelemetry-instrument" in command
    (app_dir / "shop.py").write_text((app_dir / ("plain.py" if is_zero_code else "wired.py")).read_text())
    for code in _blocks(page, "py"):
        name = "shop_asgi.py" if page.stem == "uvicorn" else "serve.py"
        (app_dir / name).write_text(code.replace("8000", "int(__import__('sys').argv[1])"))
    words = shlex.split(command)
    variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    words = [word.replace("8000", "{port}") for word in words if not re.match(r"[A-Z_]+=", word)]
    if page.stem == "mod_wsgi":
        words += apache_options(app_dir)
    if page.stem == "gevent":
        words.append("{port}")
    elif "{port}" not in " ".join(words):
        words += ADDRESSES[next(word for word in words if word in ADDRESSES)].split()
    server = serve(words, fake_collector, **variables)
    assert server.get("/hello/ann") == (200, "hello ann")
    fake_collector.wait_for(lambda: fake_collector.spans and fake_collector.logs)
    if words[0] == "granian":
        # A worker that gets the signal before it serves never ends, with and without otelflask.
        server.pids(int(words[words.index("--workers") + 1]) if "--workers" in words else 1)
    server.stop()
    limit = next((limit for name, limit in LIMITS.items() if name.startswith(TITLES.get(page.stem, page.stem))), "")
    assert is_zero_code or limit in server.said()
