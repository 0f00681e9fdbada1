"""Run the matrix: ``python -m tests.matrix.run``. ``ROWS`` chooses rows, ``REQUESTS`` their length.

A row of full length whose account is right is written into `docs/servers/matrix.md`. The exit status is 1 if
anything is unexplained or wrong.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import psutil

from tests.matrix.accounts import SIGNALS
from tests.matrix.lives import BARE, INIT, SHUTDOWN_TIMEOUT_S, ZERO_CODE, Result, check, live
from tests.matrix.rows import ROWS, SHORT, Row
from tests.matrix.sink import DOWN, HANGING, UP

PAGE = Path(__file__).parents[2] / "docs" / "servers" / "matrix.md"
REQUESTS = 10_000
#: The cells of a line that a run makes. The last one, what the server cannot do, is added to the page.
_CELLS = 8
_PACKAGES = (
    *("gunicorn", "pyuwsgi", "mod_wsgi", "waitress", "cheroot"),
    *("granian", "hypercorn", "uvicorn", "gevent", "werkzeug"),
)


def main() -> int:
    chosen = os.environ.get("ROWS", "")
    requests = int(os.environ.get("REQUESTS", REQUESTS))
    names = SHORT if chosen == "short" else [name for name in chosen.split(";") if name]
    rows = [row for row in ROWS if not names or any(row.name.startswith(name) for name in names)]
    if not rows:
        print(f"no row of ROWS={chosen}; there are: {'; '.join(row.name for row in ROWS)}", file=sys.stderr)
        return 2
    lines: dict[str, str] = {}
    failures = skipped = 0
    for row in rows:
        if row.needs:
            print(f"{row.name}: skipped, it needs {row.needs}", flush=True)
            skipped += 1
            continue
        bare: Result | None = None
        for mode in (INIT, ZERO_CODE):
            started = time.monotonic()
            try:
                bare = bare or live(row, BARE, requests)
                result = live(row, mode, requests)
                wrong = check(result, bare)
            except (AssertionError, OSError, psutil.Error, IndexError) as error:
                result, wrong = Result(), [str(error)]
            line = _line(row, mode, result, bare)
            print(f"{line} {time.monotonic() - started:.0f} s", flush=True)
            for what in wrong:
                print(f"  wrong: {what}", flush=True)
            failures += bool(wrong)
            if not wrong and requests >= REQUESTS:
                lines[_key(line)] = line
    print(f"{2 * (len(rows) - skipped) - failures} passed, {failures} failed, {skipped} skipped")
    if lines:
        write(lines)
    return int(failures > 0)


def _line(row: Row, mode: str, result: Result, bare: Result | None) -> str:
    account = result.account
    cells = [row.name, mode, f"{account.requests:,}"]
    for kind in (account.missing, account.counted, account.killed, account.unexplained):
        cells.append(" / ".join(f"{kind[signal]:,}" for signal in SIGNALS))
    found = [(bare or Result()).ends.get(UP), *(result.ends.get(state) for state in (UP, DOWN, HANGING))]
    cells.append(" / ".join("-" if seconds is None else f"{seconds:.1f}" for seconds in found))
    return "| " + " | ".join(cells) + " |"


def _key(line: str) -> str:
    """The server and the mode of a line of the table."""
    return "|".join(line.split("|")[:3])


def write(lines: Mapping[str, str]) -> None:
    """Write lines of the table into the page, by server and mode. Lines of other servers stay."""
    known = PAGE.read_text().splitlines() if PAGE.exists() else []
    lines = {**{_key(line): line for line in known if line.count("|") >= _CELLS}, **lines}
    table = []
    for row in ROWS:
        for mode in (INIT, ZERO_CODE):
            line = lines.get(f"| {row.name} | {mode} ")
            if line is not None:
                table.append("|".join(line.split("|")[: _CELLS + 1]) + f"| {row.remark} |")
    versions = ", ".join(f"{name} {version}" for name in _PACKAGES if (version := _version(name)))
    page = _TEXT.format(requests=REQUESTS, timeout=SHUTDOWN_TIMEOUT_S, versions=versions, table="\n".join(table))
    PAGE.write_text(page)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


_TEXT = """# The matrix of servers

`make test-matrix` makes this page. It starts each server with `otelflask.init` and by
`opentelemetry-instrument`. Over six lives, the server answers at least {requests:,} numbered requests from six
threads. In the first life, a worker gets SIGTERM and another SIGKILL; the receiver goes down, comes back,
hangs, and comes back. In the other lives, the receiver is up, down or hangs while workers and the server get
SIGTERM or SIGKILL, always under load. Then each request that was answered is looked for: its span, its request
log, its log line of the app, and its place in the histogram of its process.

- *Missing*: what did not arrive. Spans / log records / measured requests.
- *Counted*: what its process has counted as dropped, in its metrics or in its last log line. Queues are small here.
- *Killed*: what a process had recorded in the 2 s before it was killed, or while the receiver was away before that.
- *Unexplained*: the rest. It must be 0.
- *End*: seconds from SIGTERM to the end of the last process: without otelflask / with the receiver up / down / hanging.
  `shutdown_timeout` is {timeout:.0f} s here.

With and without otelflask, the answers of each server are the same bytes, but for the headers that otelflask
adds. Each worker has a `service.instance.id` of its own. Versions: {versions}.

| Server | | Requests | Missing | Counted | Killed | Unexplained | End, s | Also without otelflask |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |
{table}
"""

if __name__ == "__main__":
    sys.exit(main())
