"""The views: path, template, and queries of the shared file."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from werkzeug.wrappers import Response

from otelflask._internal import attribute_names, clock, event_names
from otelflask._internal.live_page.show.overview import overview
from otelflask._internal.live_page.show.repository import IdRange, Repository, Row
from otelflask._internal.live_page.show.runtime import Runtime
from otelflask._internal.live_page.show.statements import STATEMENT_COLUMNS, Statements
from otelflask._internal.live_page.show.waterfall import waterfall

_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_STATUS = re.compile(r"[1-9](xx|\d\d)", re.ASCII)
_MILLISECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
_CURSOR = re.compile(r"([0-9a-f]{8})\.(\d{1,18})")
#: Log records of a trace that are not rows: the request is a span, and groups are counted elsewhere.
_NO_ROWS = (event_names.REQUEST, event_names.ERROR_GROUP)
#: Seconds after which a trend has moved on.
TREND_S = 60
#: Views that can show a single item.
_OF_ONE = ("traces", "errors")

Parameters = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class View:
    """A view: the template's name, its context, and for a growing list whether there is anything new."""

    template: str
    context: dict[str, Any]
    is_list: bool = False
    is_news: bool = True
    #: What the script sends with its next request. It changes with anything new; empty: the content tells.
    version: str = ""


_NOTHING_NEW = View("", {}, is_news=False)


class Profiles(Protocol):
    """The stored profiles of an app."""

    def newest(self) -> Sequence[Any]:
        """The profiles, newest first, each with `name`, `request`, `at` (epoch seconds) and `duration` (seconds)."""
        ...

    def page(self, name: str, form: str) -> Response | None:
        """A profile's response; None where there is no such profile or format."""
        ...


class Views:
    """The views.

    Args:
        repository: The queries.
        statements: The queries about statements.
        runtime: The runtime view.
        profiles: The stored profiles; None where no request is profiled.
        grafana: Grafana's address, or an empty text.
    """

    def __init__(
        self,
        repository: Repository,
        statements: Statements,
        runtime: Runtime,
        profiles: Profiles | None,
        grafana: str,
    ) -> None:
        self.repository = repository
        self._statements = statements
        self.profiles = profiles
        self._runtime = runtime
        self._grafana = grafana
        self._by_name: dict[str, Callable[[str, Parameters], View | None]] = {
            "": self._overview,
            "requests": self._requests,
            "jobs": self._jobs,
            "traces": self._trace,
            "errors": self._errors,
            "logs": self._logs,
            "queries": self._queries,
            "profiles": self._profiles,
            "runtime": self._shown_runtime,
        }

    def view(self, path: str, parameters: Parameters) -> View | None:
        """The view of a path below the page's path; None where there is none.

        Raises:
            ValueError: A parameter is not allowed.
            Exception: The file cannot be read; as `MonitorFile.connected`.
        """
        name, _, rest = path.strip("/").partition("/")
        draw = self._by_name.get(name)
        if draw is None or "/" in rest or (rest and name not in _OF_ONE) or (name == "traces" and not rest):
            return None
        # One transaction, so that all queries see the same state.
        with self.repository.file.at_once():
            return draw(rest, parameters)

    def _renewed(self, parameters: Parameters, trace_id: str = "") -> str | None:
        """The version of a view that consists of rows alone; None where the script has it already."""
        version = f"{self.repository.state(trace_id)}.{int(clock.time()) // TREND_S}"
        return None if parameters.get("live") == version else version

    def _overview(self, rest: str, parameters: Parameters) -> View:
        return View("overview.html", overview(self.repository, _number(parameters, "minutes") or 5, clock.time()))

    def _requests(self, rest: str, parameters: Parameters) -> View:
        filters = {name: parameters.get(name, "") for name in ("route", "status", "slower", "text")}
        window = self._window(parameters)
        found = self.repository.requests(
            window,
            route=filters["route"],
            status=_status(parameters),
            min_duration_ns=_milliseconds(parameters, "slower"),
            text=filters["text"],
        )
        context = {
            "rows": found.rows,
            "total": found.total,
            "filters": filters,
            "routes": self.repository.routes(),
            "oldest": self.repository.oldest(),
        }
        return self._list("requests.html", context, window)

    def _jobs(self, rest: str, parameters: Parameters) -> View:
        filters = {name: parameters.get(name, "") for name in ("name", "severity", "text")}
        window = self._window(parameters)
        found = self.repository.jobs(
            window,
            name=filters["name"],
            min_severity=_number(parameters, "severity"),
            text=filters["text"],
        )
        context = {"rows": found.rows, "total": found.total, "filters": filters, "names": self.repository.job_names()}
        return self._list("jobs.html", context, window)

    def _logs(self, rest: str, parameters: Parameters) -> View:
        filters = {name: parameters.get(name, "") for name in ("severity", "logger", "text")}
        window = self._window(parameters)
        found = self.repository.lines(
            window,
            min_severity=_number(parameters, "severity"),
            logger=filters["logger"],
            text=filters["text"],
        )
        level = logging.getLogger().level
        context = {
            "rows": found.rows,
            "total": found.total,
            "filters": filters,
            "loggers": self.repository.loggers(),
            "root_level": logging.getLevelName(level) if level > logging.INFO else "",
        }
        return self._list("logs.html", context, window)

    def _list(self, template: str, context: dict[str, Any], window: IdRange) -> View:
        # Workers publish one after the other, so numbers rise in another order than time.
        rows = context["rows"] = sorted(context["rows"], key=lambda row: -row["time"])
        newest = max([row["id"] for row in rows], default=window.after)
        context["cursor"] = f"{self.repository.file.generation}.{newest}"
        context["last"] = min([row["id"] for row in rows], default=0)
        context["has_older"] = len(rows) == window.limit
        return View(template, context, is_list=True, is_news=bool(rows) or not window.after)

    def _window(self, parameters: Parameters) -> IdRange:
        """The window of the request. A cursor of an earlier server is ignored, because its rows had other numbers."""
        cursor = _CURSOR.fullmatch(parameters.get("after", ""))
        if parameters.get("after") and cursor is None:
            raise ValueError(f"after is {parameters['after'][:40]!r}; allowed is what the page gave as its cursor")
        is_ours = cursor is not None and cursor[1] == self.repository.file.generation
        return IdRange(int(cursor[2]) if cursor is not None and is_ours else 0, _number(parameters, "before"))

    def _trace(self, trace_id: str, parameters: Parameters) -> View:
        if not _TRACE_ID.fullmatch(trace_id):
            raise ValueError(f"{trace_id[:40]!r} is no trace id; allowed are 32 hexadecimal digits")
        version = self._renewed(parameters, trace_id)
        if version is None:
            return _NOTHING_NEW
        items = [item for item in self.repository.trace(trace_id) if item.get("event") not in _NO_ROWS]
        drawing = waterfall(items)
        spans = [item for item in items if item["is"] == "span"]
        root = next((span for span in spans if span["kind"] == "server"), spans[0] if spans else None)
        failed = [span for span in spans if span["failed"]]
        wanted = parameters.get("span", "")
        chosen = next((span for span in spans if span["span_id"] == wanted), failed[-1] if failed else root)
        context = {
            "trace_id": trace_id,
            "drawing": drawing,
            "root": root,
            "chosen": chosen,
            "spans": len(spans),
            "profile": self._profile_of(root),
            "grafana": self._grafana,
        }
        return View("trace.html", context, version=version)

    def _profile_of(self, root: Row | None) -> str:
        """The id of the request's profile, if it is still stored; else an empty text."""
        name = str(root["attributes"].get(attribute_names.PROFILE_ID, "")) if root is not None else ""
        kept = self.profiles.newest() if name and self.profiles is not None else ()
        return name if any(profile.name == name for profile in kept) else ""

    def _errors(self, fingerprint: str, parameters: Parameters) -> View:
        version = self._renewed(parameters)
        if version is None:
            return _NOTHING_NEW
        if not fingerprint:
            text = parameters.get("text", "")
            found = self.repository.errors(clock.time(), text)
            return View("errors.html", {"errors": found.rows, "total": found.total, "text": text}, version=version)
        reports = self.repository.reports(fingerprint)
        groups = [row for row in self.repository.errors(clock.time()).rows if row["fingerprint"] == fingerprint]
        wanted = _number(parameters, "report")
        report = next((item for item in reports if item["id"] == wanted), reports[0] if reports else None)
        context = {"report": report, "reports": reports, "group": groups[0] if groups else None}
        return View("error.html", {**context, "fingerprint": fingerprint}, version=version)

    def _queries(self, rest: str, parameters: Parameters) -> View:
        version = self._renewed(parameters)
        if version is None:
            return _NOTHING_NEW
        text = parameters.get("text", "")
        order = parameters.get("sort") or STATEMENT_COLUMNS[0]
        if order not in STATEMENT_COLUMNS:
            raise ValueError(f"sort is {order[:40]!r}; allowed are {', '.join(STATEMENT_COLUMNS)}")
        found = self._statements.found(text, order)
        context = {"statements": found.rows, "total": found.total, "text": text, "order": order}
        return View("queries.html", {**context, "suspects": self._statements.repeated()}, version=version)

    def _profiles(self, rest: str, parameters: Parameters) -> View:
        newest = self.profiles.newest() if self.profiles is not None else []
        text = parameters.get("text", "")
        rows = [row for row in newest if text.lower() in row.request.lower()]
        return View("profiles.html", {"rows": rows, "text": text, "is_on": self.profiles is not None})

    def _shown_runtime(self, rest: str, parameters: Parameters) -> View:
        return View("runtime.html", self._runtime.shown(self.repository, clock.time()))


def _number(parameters: Parameters, name: str) -> int:
    given = parameters.get(name) or "0"
    if not given.isascii() or not given.isdigit() or len(given) > 15:
        raise ValueError(f"{name} is {given[:40]!r}; allowed is a whole number")
    return int(given)


def _status(parameters: Parameters) -> str:
    given = parameters.get("status", "")
    if given and not _STATUS.fullmatch(given):
        raise ValueError(f"status is {given[:40]!r}; allowed are one such as 404, and a class such as 4xx")
    return given


def _milliseconds(parameters: Parameters, name: str) -> int:
    """A parameter in milliseconds, as nanoseconds."""
    given = parameters.get(name) or "0"
    if not _MILLISECONDS.fullmatch(given):
        raise ValueError(f"{name} is {given[:40]!r}; allowed are milliseconds, such as 0.5 or 250")
    return int(float(given) * 1_000_000)
