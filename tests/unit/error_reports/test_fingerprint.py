"""Which errors are the same, measured on tracebacks of running code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from otelflask._internal.error_reports import fingerprint
from otelflask._internal.exceptions.walk import Walk

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def _deployed(folder: Path, shift: int) -> Path:
    """The corpus's app in a folder, with its lines shifted."""
    shutil.copytree(HERE / "corpus", folder)
    for path in folder.rglob("*.py"):
        path.write_text("# moved\n" * shift + path.read_text())
    return folder


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Label and fingerprint of each event, of four deployments: folder, lines, ids, process and hash seed differ."""
    found: list[tuple[str, str]] = []
    for number in range(4):
        folder = _deployed(tmp_path_factory.mktemp("deployment") / f"release-{number}", number * 7)
        done = subprocess.run(
            [sys.executable, str(HERE / "corpus_run.py"), str(folder), str(number)],
            env={**os.environ, "PYTHONHASHSEED": str(number), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        found += [(label, value) for label, value in json.loads(done.stdout)]
    return found


def test_precision_and_recall_on_the_corpus(events: list[tuple[str, str]]) -> None:
    assert len(events) >= 80
    together = Counter((left[0] == right[0], left[1] == right[1]) for left, right in combinations(events, 2))
    precision = together[True, True] / (together[True, True] + together[False, True])
    recall = together[True, True] / (together[True, True] + together[True, False])
    print(f"{len(events)} events, {len({label for label, _ in events})} bugs: {precision=:.3f} {recall=:.3f}")
    wrong = {
        (left[0], right[0]) for left, right in combinations(events, 2) if (left[0] == right[0]) != (left[1] == right[1])
    }
    assert precision >= 0.98, wrong
    assert recall >= 0.98, wrong


def _group(error: BaseException, explicit: Sequence[str] = ()) -> fingerprint.Group:
    return fingerprint.of_exception(Walk(error), explicit)


def test_an_explicit_fingerprint_wins() -> None:
    error = ValueError("a")
    assert _group(error, ["mine"])[0] == _group(KeyError("b"), ["mine"])[0]
    assert _group(error, ["mine"])[0] != _group(error)[0]


def test_the_default_is_expanded_in_an_explicit_one() -> None:
    one, other = ValueError("cannot be one"), KeyError("cannot be other")
    assert _group(one, ["tenant-1", "{{ default }}"]) != fingerprint.of_exception(
        Walk(other), ["tenant-1", "{{ default }}"]
    )
    assert _group(one, ["tenant-1", "{{ default }}"]) != fingerprint.of_exception(
        Walk(one), ["tenant-2", "{{ default }}"]
    )


def test_hidden_frames_do_not_count() -> None:
    def helper() -> None:
        __tracebackhide__ = True
        raise ValueError("x")

    def hidden() -> BaseException:
        try:
            helper()
        except ValueError as error:
            return error
        raise AssertionError

    def places(error: BaseException) -> str:
        return "".join(place.source for place in fingerprint._frames(Walk(error).root.frames))

    assert "helper()" in places(hidden())
    assert 'raise ValueError("x")' not in places(hidden())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user 17 is gone", "user 4711 is gone"),
        ("id 0b54c1a2-6b6e-4f3c-9a1a-0123456789ab", "id 11111111-2222-3333-4444-555555555555"),
        ("at 0x7f3a2b", "at 0xdeadbeef"),
        ("file '/tmp/a' missing", "file '/srv/b' missing"),
        ("open /tmp/a/b.txt", "open /srv/c/d/e.txt"),
        ("no route to 10.0.0.1:5432", "no route to 192.168.7.9:80"),
        ("since 2026-01-02T03:04:05Z", "since 1999-12-31 23:59:59"),
        ("mail to a@b.example", "mail to someone.else@mail.example"),
        ("GET https://a.example/x?y=1 failed", "GET http://b.example failed"),
        ("commit 9fceb02d0ae598e95dc970b74767f19372d61af8", "commit deadbeef12345678"),
    ],
)
def test_what_changes_in_a_message_is_left_out(one: str, other: str) -> None:
    assert fingerprint.normalised(one) == fingerprint.normalised(other)


def test_a_message_of_a_megabyte_is_cut_before_any_pattern_sees_it() -> None:
    assert len(fingerprint.normalised("a@" * 500_000)) <= fingerprint.MAX_TEXT


def test_cyclic_causes_end() -> None:
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    assert len(_group(one).fingerprint) == 16


def test_an_exception_that_cannot_be_printed_has_a_fingerprint() -> None:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert len(_group(UnprintableError()).fingerprint) == 16


def _fails(number: int) -> None:
    raise LookupError(f"no lamp {number}")


def _orders() -> None:
    _fails(number=1)


def _error(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("group", "title"),
    [
        (
            lambda: _group(_error(_orders)),
            "LookupError in test_fingerprint._fails ← _fails(number=1)",
        ),
        (lambda: _group(ValueError("no lamp 17")), "ValueError: no lamp <number>"),
        (lambda: fingerprint.of_log("shop", "stock of %s", "stock of lamp"), "stock of %s"),
        (
            lambda: _group(ValueError("no 1"), ["lamps", "{{ default }}"]),
            "ValueError: no <number> (lamps)",
        ),
    ],
    ids=["where the app failed", "what it said", "a line's template", "what the user says"],
)
def test_a_groups_title_is_made_of_what_its_errors_have_in_common(
    group: Callable[[], fingerprint.Group], title: str
) -> None:
    assert group().title == title
