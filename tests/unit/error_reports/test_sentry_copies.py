"""sentry-sdk's scrubber writes into copies, and otherwise works as before."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from sentry_sdk.scrubber import EventScrubber

from otelflask._internal.error_reports.sentry_copies import CopyingScrubber, writes_into_copies


class Secret(dict[str, Any]):
    """Defines how it is shown."""

    def __sentry_repr__(self) -> str:
        return "<secret>"


class Rows(list[Any]):
    """Makes its items when they are read."""

    def __iter__(self) -> Iterator[Any]:
        return iter([number, f"name{number}"] for number in range(50))


@pytest.mark.parametrize("recursive", [False, True])
def test_nothing_of_an_event_that_holds_the_apps_dicts_is_written_to(recursive: bool) -> None:
    def made() -> dict[str, Any]:
        frames = [{"vars": {"password": "canary"}}]
        return {
            "user": {"password": "canary", "ip_address": "10.1.2.3"},
            "extra": {"password": "canary"},
            "request": {
                "headers": {"authorization": "canary"},
                "cookies": {"session": "canary"},
                "data": [{"password": "canary"}, [{"password": "canary"}]],
            },
            "breadcrumbs": {"values": [{"data": {"password": "canary"}}]},
            "spans": [{"data": {"password": "canary"}}],
            "stacktrace": {"frames": frames},
            "exception": {"values": [{"stacktrace": {"frames": frames}}]},
            "threads": {"values": [{"stacktrace": {"frames": frames}}]},
        }

    given = made()
    event = dict(given)
    CopyingScrubber(EventScrubber(recursive=recursive)).scrub_event(event)
    assert given == made()
    assert "canary" not in str(event)


@pytest.mark.parametrize("recursive", [False, True])
def test_values_stay_what_they_are(recursive: bool) -> None:
    secret = Secret(pin="1234")
    event: dict[str, Any] = {"extra": {"kept": secret, "rows": Rows()}, "user": Secret(id=7, password="canary")}
    CopyingScrubber(EventScrubber(recursive=recursive)).scrub_event(event)
    assert event["extra"]["kept"] == secret
    assert event["extra"]["kept"].__sentry_repr__() == "<secret>"
    assert event["user"].__sentry_repr__() == "<secret>"
    assert [row[1] for row in event["extra"]["rows"]] == [f"name{number}" for number in range(50)]


def test_a_cycle_stays_one() -> None:
    around: dict[str, Any] = {}
    around["itself"] = around
    event: dict[str, Any] = {"extra": around}
    CopyingScrubber(EventScrubber(recursive=True, denylist=[])).scrub_event(event)
    assert event["extra"] is not around
    assert event["extra"]["itself"] is event["extra"]


def test_it_passes_for_the_scrubber_that_it_stands_before() -> None:
    options: dict[str, Any] = {"event_scrubber": EventScrubber(denylist=["password"])}
    writes_into_copies(options)
    writes_into_copies(options)
    scrubber = options["event_scrubber"]
    assert isinstance(scrubber, EventScrubber)
    scrubber.denylist = ["pin"]
    for same in (scrubber, copy.copy(scrubber), copy.deepcopy(scrubber), pickle.loads(pickle.dumps(scrubber))):
        event: dict[str, Any] = {"extra": {"pin": "1234"}}
        same.scrub_event(event)
        assert "1234" not in str(event)
