"""Groups of errors in LogQL: how often, since when, new or come back.

Asked of the small records that count a group's occurrences (`otelflask.error_group`), not of the reports themselves.
They are kept for REPORTS_RETENTION, as far back as `EVER` looks.
"""

from __future__ import annotations

from grafana.source.dashboard import GROUPS, REPORTS

#: What a group is. Its records may differ in their title.
KEY = "otelflask_error_fingerprint"
TITLE = "otelflask_error_group"
EVER = "90d"
IN_TIME = "$__range"
_TIMESTAMP = "label_format ts=`{{ __timestamp__ | unixEpochMillis }}` | unwrap ts"

OF_ROUTE = f'{GROUPS} | http_route=~"$route"'
REPORTS_OF_ROUTE = f'{REPORTS} | http_route=~"$route"'


def seen(window: str, *, by: str = KEY, of: str = OF_ROUTE, offset: str = "") -> str:
    """The groups seen in a window; `offset` ends it earlier."""
    return f"sum by ({by}) (count_over_time({of} [{window}]{f' offset {offset}' if offset else ''}))"


def occurrences(window: str, *, by: str = KEY, of: str = OF_ROUTE, offset: str = "") -> str:
    """How often they occurred, those too whose reports were held back."""
    over = f"{of} | unwrap otelflask_error_count [{window}]{f' offset {offset}' if offset else ''}"
    return f"sum by ({by}) (sum_over_time({over}))"


def first_seen(*, by: str = KEY, of: str = OF_ROUTE) -> str:
    """When each group of this time was seen first, ever (epoch milliseconds)."""
    return f"min_over_time({of} | {_TIMESTAMP} [{EVER}]) by ({by}) and {seen(IN_TIME, by=by, of=of)}"


def last_seen(*, by: str = KEY, of: str = OF_ROUTE) -> str:
    """When each group was seen last in this time, with its title and its release then (epoch milliseconds)."""
    last = f"max_over_time({of} | {_TIMESTAMP} [{IN_TIME}]) by ({by}, {TITLE}, service_version)"
    return f"topk by ({by}) (1, {last})"


def titled(query: str, window: str, *, by: str = KEY, of: str = OF_ROUTE) -> str:
    """The groups that a query returns, with their title."""
    return f"topk by ({by}) (1, {seen(window, by=f'{by}, {TITLE}', of=of)}) and on ({by}) ({query})"


def over_time(*, by: str = KEY, of: str = OF_ROUTE) -> str:
    """How often they occurred, over time; each step has what follows it, so that the last is not empty."""
    return occurrences("$__auto", by=by, of=of, offset="-$__auto")


def users(*, by: str = KEY, of: str = REPORTS_OF_ROUTE) -> str:
    """How many users each group hit, of those that the app names; 0 where it names none."""
    each = f'sum by ({by}, user_id) (count_over_time({of} | user_id!="" [{IN_TIME}]))'
    return f"count by ({by}) ({each}) or 0 * sum by ({by}) (count_over_time({of} [{IN_TIME}]))"


def new(window: str, *, by: str = KEY, of: str = OF_ROUTE) -> str:
    """Groups that were never seen before the window."""
    return f"{seen(window, by=by, of=of)} unless {seen(EVER, by=by, of=of, offset=window)}"


def back(window: str, quiet: str = "1d", *, by: str = KEY, of: str = OF_ROUTE) -> str:
    """Groups that were seen before, and not for a time before the window."""
    return (
        f"({seen(window, by=by, of=of)} unless {seen(quiet, by=by, of=of, offset=window)})"
        f" and {seen(EVER, by=by, of=of, offset=window)}"
    )


def in_new_release(window: str, *, by: str = KEY, of: str = OF_ROUTE) -> str:
    """Groups that were seen before, but not in this release."""
    release = f"{by}, service_version"
    return (
        f"sum by ({by}) ({seen(window, by=release, of=of)} unless {seen(EVER, by=release, of=of, offset=window)})"
        f" and {seen(EVER, by=by, of=of, offset=window)}"
    )


#: What `state` returns, and what is shown for it.
STATES = {0: "known", 1: "new", 2: "back", 3: "new release"}


def state() -> str:
    """Each group's state in this time, as one of `STATES`."""
    return (
        f"(0 * ({new(IN_TIME)}) + 1) or (0 * ({back(IN_TIME)}) + 2)"
        f" or (0 * ({in_new_release(IN_TIME)}) + 3) or (0 * {seen(IN_TIME)})"
    )
