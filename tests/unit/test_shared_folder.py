"""Files that processes share: nobody reads half a file, or one that a stranger has planted."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from otelflask._internal import shared_folder
from otelflask._internal.settings import SettingError
from otelflask._internal.shared_folder import SharedFolder


@pytest.fixture
def folder(tmp_path: Path) -> SharedFolder:
    made = SharedFolder(tmp_path / "state")
    made.check()
    return made


def test_what_is_written_can_be_read_and_is_this_users_alone(folder: SharedFolder) -> None:
    folder.write("users-1", b"counted")
    assert folder.read("users-1") == b"counted"
    assert folder.names("users-") == ["users-1"]
    assert os.stat(folder.path_of("users-1")).st_mode & 0o777 == 0o600
    assert os.stat(folder.path).st_mode & 0o777 == 0o700
    folder.remove("users-1", "not there")
    assert folder.read("users-1") is None
    assert folder.changed("users-1") == 0.0


def test_nobody_reads_half_of_a_file(folder: SharedFolder) -> None:
    folder.write("file", b"a" * 100_000)
    done = threading.Event()

    def write() -> None:
        for number in range(300):
            folder.write("file", (b"a", b"b")[number % 2] * 100_000)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        data = folder.read("file")
        assert data is not None
        assert data in (b"a" * 100_000, b"b" * 100_000)
    thread.join()
    assert folder.names() == ["file"]


def _fifo(path: str) -> None:
    os.mkfifo(path)


def _link(path: str) -> None:
    secret = Path(path).parents[1] / "secret"
    secret.write_text("not ours")
    os.symlink(secret, path)


def _directory(path: str) -> None:
    os.mkdir(path)


@pytest.mark.parametrize("planted", [_fifo, _link, _directory])
def test_what_is_no_file_of_this_users_is_neither_read_nor_waited_for(
    folder: SharedFolder, planted: Callable[[str], None]
) -> None:
    planted(folder.path_of("users-1"))
    assert folder.read("users-1") is None
    assert folder.changed("users-1") == 0.0
    with pytest.raises(OSError):
        folder.make("users-1")


def test_a_planted_link_is_replaced_and_not_written_through(folder: SharedFolder) -> None:
    _link(folder.path_of("users-1"))
    folder.write("users-1", b"counted")
    assert folder.read("users-1") == b"counted"
    assert (Path(folder.path).parent / "secret").read_text() == "not ours"


def test_a_file_that_is_too_large_to_be_ours_is_not_read(folder: SharedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write("file", b"a" * 11)
    monkeypatch.setattr(shared_folder, "MAX_BYTES", 10)
    assert folder.read("file") is None


def test_a_folder_that_others_could_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(SettingError, match="allowed is a folder that belongs to this user"):
        SharedFolder(tmp_path).write("file", b"")


def test_what_a_killed_process_was_writing_is_removed(folder: SharedFolder) -> None:
    left = Path(folder.path_of("file.1.new"))
    left.write_bytes(b"half")
    assert folder.names() == []
    assert left.exists()
    os.utime(left, (1, 1))
    folder.names()
    assert not left.exists()


@pytest.mark.parametrize("planted", [_fifo, _link, _directory])
def test_what_others_plant_as_unfinished_is_passed_over(folder: SharedFolder, planted: Callable[[str], None]) -> None:
    path = folder.path_of("file.1.new")
    planted(path)
    os.utime(path, (1, 1), follow_symlinks=False)
    assert folder.names() == []


def test_a_folder_that_cannot_be_listed_has_no_names(folder: SharedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(path)

    folder.write("file", b"")
    monkeypatch.setattr(os, "listdir", refuse)
    assert folder.names() == []


def test_a_process_that_is_killed_lets_go_of_what_says_that_it_lives(folder: SharedFolder) -> None:
    script = (
        "import sys; from otelflask._internal.shared_folder import SharedFolder;"
        "held = SharedFolder(sys.argv[1]).hold('1.alive'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, folder.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "held"
        assert folder.is_held("1.alive")
        process.kill()
        process.wait(30)
        assert not folder.is_held("1.alive")
    assert not folder.is_held("never")


def test_who_is_alone_is_so_in_all_processes(folder: SharedFolder) -> None:
    with folder.locked(1.0), pytest.raises(TimeoutError), folder.locked(0.05):
        pass
