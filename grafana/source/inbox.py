"""Groups of errors in LogQL: how often, since when, and whether they are new or have come back.

The queries read the small records that count a group's occurrences (`otelflask.error_group`), not
the reports. These records are kept for REPORTS_RETENTION, as far back as `EVER` looks.
"""

from __future__ import annotations

from grafana.source.selectors import GROUPS, REPORTS

#: The label that identifies a group. Titles may differ within a group.
KEY = "otelflask_error_fingerprint"
TITLE = "otelflask_error_group"
EVER = "90d"
IN_TIME = "$__range"
_TIMESTAMP = "label_format ts=`{{ __timestamp__ | unixEpochMillis }}` | unwrap ts"

OF_ROUTE = f'{GROUPS} | http_route=~"$route"'
REPORTS_OF_ROUTE = f'{REPORTS} | http_route=~"$route"'


def seen(window: str, *, by: str = KEY, of: str = OF_ROUTE, offset: str = "") -> str:
    """The groups of a window. `offset` ends the window earlier."""
    return f"sum by ({by}) (count_over_time({of} [{window}]{f' offset {offset}' if offset else ''}))"


def occurrences(window: str, *, by: str = KEY, of: str = OF_ROUTE, offset: str = "") -> str:
    """The number of occurrences, also of those without a report."""
    over = f"{of} | unwrap otelflask_error_count [{window}]{f' offset {offset}' if offset else ''}"
    return f"sum by ({by}) (sum_over_time({over}))"


def first_seen(*, by: str = KEY, of: str = OF_ROUTE) -> str:
    """When each group of this time range first occurred, ever (epoch milliseconds)."""
    return f"min_over_time({of} | {_TIMESTAMP} [{EVER}]) by ({by}) and {seen(IN_TIME, by=by, of=of)}"


def last_seen(*, by: str = KEY, of: str = OF_ROUTE) -> str:
    """When each group last occurred in this time range, with its title, route and release (epoch milliseconds)."""
    last = f"max_over_time({of} | {_TIMESTAMP} [{IN_TIME}]) by ({by}, {TITLE}, http_route, service_version)"
    return f"topk by ({by}) (1, {last})"


def titled(query: str, window: str, *, by: str = KEY, of: str = OF_ROUTE) -> str:
    """The groups that a query returns: their most frequent title, and how often it occurred."""
    return f"topk by ({by}) (1, {occurrences(window, by=f'{by}, {TITLE}', of=of)}) and on ({by}) ({query})"


def over_time(*, by: str = KEY, of: str = OF_ROUTE) -> str:
    """Occurrences over time. Each step looks forward, so that the last one is not empty."""
    return occurrences("$__auto", by=by, of=of, offset="-$__auto")


def users(*, by: str = KEY, of: str = REPORTS_OF_ROUTE) -> str:
    """The number of users that each group affected; 0 where the app names no users."""
    each = f'sum by ({by}, user_id) (count_over_time({of} | user_id!="" [{IN_TIME}]))'
    return f"count by ({by}) ({each}) or 0 * sum by ({by}) (count_over_time({of} [{IN_TIME}]))"


def new(window: str, *, by: str = KEY, of: str = OF_ROUTE) -> str:
    """Groups without an occurrence before the window."""
    return f"{seen(window, by=by, of=of)} unless {seen(EVER, by=by, of=of, offset=window)}"


def back(window: str, quiet: str = "1d", *, by: str = KEY, of: str = OF_ROUTE) -> str:
    """Groups that occurred before, but not for a while before the window."""
    return (
        f"({seen(window, by=by, of=of)} unless {seen(quiet, by=by, of=of, offset=window)})"
        f" and {seen(EVER, by=by, of=of, offset=window)}"
    )


def in_new_release(window: str, *, by: str = KEY, of: str = OF_ROUTE) -> str:
    """Groups that occurred before, but not in this release."""
    release = f"{by}, service_version"
    return (
        f"sum by ({by}) ({seen(window, by=release, of=of)} unless {seen(EVER, by=release, of=of, offset=window)})"
        f" and {seen(EVER, by=by, of=of, offset=window)}"
    )


#: The values of `state`, and their texts.
STATES = {0: "known", 1: "new", 2: "back", 3: "new release"}


def state() -> str:
    """The state of each group in this time range, as one of `STATES`."""
    return (
        f"(0 * ({new(IN_TIME)}) + 1) or (0 * ({back(IN_TIME)}) + 2)"
        f" or (0 * ({in_new_release(IN_TIME)}) + 3) or (0 * {seen(IN_TIME)})"
    )
