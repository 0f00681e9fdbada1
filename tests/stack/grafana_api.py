"""What Grafana's API answers to the queries of a dashboard's panels."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.stack import provisioned

#: Seconds: above the longest `timeout` of a data source.
TIMEOUT = 60


@dataclass(frozen=True)
class Answer:
    """The answer to the queries of a panel.

    Attributes:
        failed: Whether a query failed.
        filled: Whether there is a value.
    """

    failed: bool
    filled: bool


def answers(base: str, dashboards: Iterable[dict[str, Any]], **variables: str) -> dict[tuple[str, str], Answer]:
    """(uid, title) → answer, of each panel whose queries the server runs. The page itself queries the service map.

    Args:
        base: Grafana's address.
        dashboards: Their JSON.
        **variables: The values of variables, besides their defaults.
    """
    panels = {}
    for dashboard in dashboards:
        values = {**provisioned.default_values(dashboard, variables.get("service", "")), **variables}
        for panel in dashboard["panels"]:
            if panel.get("targets") and panel["type"] != "nodeGraph":
                title = provisioned.fill_in(panel["title"], values)
                panels[dashboard["uid"], title] = [_query(target, values) for target in panel["targets"]]
    # So many, because most of them wait where a server hangs.
    with ThreadPoolExecutor(32) as pool:
        return dict(zip(panels, pool.map(lambda queries: _ask(base, queries), panels.values()), strict=True))


def _query(target: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    texts = {name: provisioned.fill_in(target[name], values) for name in ("expr", "query") if name in target}
    return {**target, **texts, "intervalMs": 30_000, "maxDataPoints": 100}


def frames(base: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    """The data frames of one query of the last 15 minutes. Raises HTTPError if it fails."""
    (result,) = _results(base, [query])
    found: list[dict[str, Any]] = result["frames"]
    return found


def _results(base: str, queries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    body = json.dumps({"queries": queries, "from": "now-15m", "to": "now"}).encode()
    request = urllib.request.Request(f"{base}/api/ds/query", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return list(json.loads(answer.read())["results"].values())


def _ask(base: str, queries: list[dict[str, Any]]) -> Answer:
    try:
        results = _results(base, queries)
    except urllib.error.HTTPError as error:
        # The status of a request with a failed query. The others have their results nevertheless.
        results = json.loads(error.read()).get("results", {}).values()
        return Answer(failed=True, filled=any(map(_has_value, results)))
    return Answer(failed=any("error" in result for result in results), filled=any(map(_has_value, results)))


def _has_value(result: dict[str, Any]) -> bool:
    return any(
        value is not None
        for frame in result.get("frames", ())
        for field, column in zip(frame["schema"]["fields"], frame["data"]["values"], strict=True)
        if field["type"] != "time"
        for value in column
    )
