"""Run the matrix: ``python -m tests.matrix.run``. ``ROWS`` chooses rows, ``REQUESTS`` their length.

A whole run writes `docs/servers/matrix.md`. The exit status is 1 if anything is unexplained or wrong.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import metadata
from pathlib import Path

from tests.matrix.accounts import SIGNALS
from tests.matrix.lives import BARE, INIT, SHUTDOWN_TIMEOUT_S, ZERO_CODE, Result, check, live
from tests.matrix.rows import ROWS, SHORT, Row
from tests.matrix.sink import DOWN, HANGING, UP

PAGE = Path(__file__).parents[2] / "docs" / "servers" / "matrix.md"
REQUESTS = 10_000
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
    lines: list[str] = []
    failures = skipped = 0
    for row in rows:
        if row.needs:
            print(f"{row.name}: skipped, it needs {row.needs}", flush=True)
            skipped += 1
            continue
        bare = live(row, BARE, requests)
        for mode in (INIT, ZERO_CODE):
            started = time.monotonic()
            try:
                result = live(row, mode, requests)
                wrong = check(result, bare)
            except AssertionError as error:
                result, wrong = Result(), [str(error)]
            lines.append(_line(row, mode, result, bare))
            print(f"{lines[-1]} {time.monotonic() - started:.0f} s", flush=True)
            for what in wrong:
                print(f"  wrong: {what}", flush=True)
            failures += bool(wrong)
    print(f"{2 * (len(rows) - skipped) - failures} passed, {failures} failed, {skipped} skipped")
    if rows == ROWS and requests >= REQUESTS and not failures:
        PAGE.write_text(_page(rows, lines))
    return int(failures > 0)


def _line(row: Row, mode: str, result: Result, bare: Result) -> str:
    account = result.account
    cells = [row.name, mode, f"{account.requests:,}"]
    for kind in (account.missing, account.counted, account.killed, account.unexplained):
        cells.append(" / ".join(f"{kind[signal]:,}" for signal in SIGNALS))
    ends = [bare.ends[UP], *(result.ends.get(state, float("nan")) for state in (UP, DOWN, HANGING))]
    cells.append(" / ".join(f"{seconds:.1f}" for seconds in ends))
    return "| " + " | ".join(cells) + " |"


def _page(rows: list[Row], lines: list[str]) -> str:
    names = [
        "gunicorn",
        "uwsgi",
        "mod_wsgi",
        "waitress",
        "cheroot",
        "granian",
        "hypercorn",
        "uvicorn",
        "gevent",
        "flask",
    ]
    versions = ", ".join(f"{name} {version}" for name in names if (version := _version(name)))
    return _TEXT.format(requests=REQUESTS, timeout=SHUTDOWN_TIMEOUT_S, versions=versions, table="\n".join(lines))


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

| Server | | Requests | Missing | Counted | Killed | Unexplained | End, s |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
{table}
"""

if __name__ == "__main__":
    sys.exit(main())
