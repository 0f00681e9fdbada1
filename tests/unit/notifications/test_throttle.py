"""How often a group is mailed, for all processes of a machine."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from otelflask._internal.notifications.throttle import Throttle
from otelflask._internal.shared_folder import SharedFolder


def test_after_an_hour_the_next_mail_says_how_many_were_held_back(tmp_path: Path) -> None:
    throttle = Throttle(SharedFolder(tmp_path), "shop", 10)
    first = throttle.claim("a", 1, 1_000_000.0)
    assert first is not None
    assert (first.occurrences, first.since) == (1, None)
    throttle.sent("a", first, 1_000_000.0)
    assert throttle.claim("a", 40, 1_000_060.0) is None
    assert throttle.claim("a", 9, 1_003_599.0) is None
    assert throttle.claim("b", 1, 1_000_060.0) is not None
    second = throttle.claim("a", 1, 1_003_600.0)
    assert second is not None
    assert (second.occurrences, second.since) == (50, 1_000_000.0)


def test_a_day_has_a_cap_and_what_is_over_it_is_mailed_the_day_after(tmp_path: Path) -> None:
    throttle = Throttle(SharedFolder(tmp_path), "shop", 2)
    claims = [throttle.claim(group, 1, 1_000_000.0) for group in ("a", "b", "c")]
    assert [claim and claim.left_today for claim in claims] == [1, 0, None]
    assert Throttle(SharedFolder(tmp_path), "another", 2).claim("a", 1, 1_000_000.0) is not None
    later = throttle.claim("c", 1, 1_000_000.0 + 86_400)
    assert later is not None
    assert later.occurrences == 2


def test_a_claim_of_a_killed_process_is_free_again_with_its_count(tmp_path: Path) -> None:
    assert Throttle(SharedFolder(tmp_path), "shop", 10).claim("a", 3, 1_000_000.0) is not None
    another = Throttle(SharedFolder(tmp_path), "shop", 10)
    assert another.claim("a", 1, 1_000_300.0) is None
    claim = another.claim("a", 1, 1_000_700.0)
    assert claim is not None
    assert claim.occurrences == 5


def test_a_folder_that_was_cleaned_up_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    throttle = Throttle(SharedFolder(folder), "shop", 10)
    shutil.rmtree(folder)
    assert throttle.claim("a", 1, 1_000_000.0) is not None


def test_groups_that_were_never_mailed_are_forgotten_too(tmp_path: Path) -> None:
    throttle = Throttle(SharedFolder(tmp_path), "shop", 1)
    for number in range(50):
        throttle.claim(f"group {number}", 1, 1_000_000.0)
    throttle.claim("another", 1, 1_000_000.0 + 40 * 86_400)
    with contextlib.closing(sqlite3.connect(tmp_path / "mail.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM mailed").fetchone() == (1,)


_WORKER = """
import sys
from otelflask._internal.notifications.throttle import Throttle
from otelflask._internal.shared_folder import SharedFolder
throttle = Throttle(SharedFolder(sys.argv[1]), "shop", 1000)
print(sum(throttle.claim(f"group {n % 5}", 1, 1e6) is not None for n in range(200)))
"""


def test_processes_agree_on_who_mails(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", _WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert sum(int(worker.communicate(timeout=60)[0]) for worker in workers) == 5
    later = Throttle(SharedFolder(tmp_path), "shop", 1000).claim("group 0", 0, 1e6 + 3_600)
    assert later is not None
    assert later.occurrences == 4 * 40
