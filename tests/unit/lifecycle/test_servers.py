"""Which processes are workers of one server."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import subprocess
import sys

import psutil
import pytest

from otelflask._internal.lifecycle import servers as server


def _tell(connection: multiprocessing.connection.Connection) -> None:
    connection.send(server.server_id())


def test_the_children_that_a_server_forks_are_its_workers() -> None:
    context = multiprocessing.get_context("fork")
    ids = set()
    for _ in range(2):
        told, tell = context.Pipe(False)
        worker = context.Process(target=_tell, args=(tell,))
        worker.start()
        ids.add(told.recv())
        worker.join()
    assert len(ids) == 1
    assert ids.pop().startswith(f"{os.getpid()}-")


def test_servers_that_one_shell_starts_are_servers_of_their_own() -> None:
    command = [sys.executable, "-c", "from otelflask._internal.lifecycle.servers import server_id; print(server_id())"]
    ids = {subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(ids) == 2
    assert not any(found.startswith(f"{os.getpid()}-") for found in ids)


def test_the_first_process_of_a_container_is_a_server_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def parent(self: psutil.Process) -> None:
        raise psutil.NoSuchProcess(0)

    monkeypatch.setattr(psutil.Process, "parent", parent)
    assert server.server_id().startswith(f"{os.getpid()}-")
