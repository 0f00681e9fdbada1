"""The dashboards' and alerts' files, without any server."""

from __future__ import annotations

from typing import Any

import pytest

from grafana.source.__main__ import files
from grafana.source.dashboard import LED_TO
from grafana.source.questions import QUESTIONS
from tests.stack import provisioned

DASHBOARDS = provisioned.dashboards()


def _panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_the_files_are_what_their_source_writes() -> None:
    for path, text in files().items():
        assert path.read_text() == text, f"{path.name} is not what `python -m grafana.source` writes"


def test_all_dashboards_are_there() -> None:
    assert {item["title"] for item in DASHBOARDS.values()} == {
        "1 · Service overview",
        "2 · Route",
        "3 · Errors",
        "4 · Logs",
        "5 · Database",
        "6 · Runtime",
        "7 · Dependencies",
        "8 · SLO",
        "9 · Telemetry pipeline",
        "Error group",
        "Runbooks",
        "Questions",
    }


def test_uids_are_unique_and_stable() -> None:
    assert {name: item["uid"] for name, item in DASHBOARDS.items()} == {
        name: f"otelflask-{name.removesuffix('.json')}" for name in DASHBOARDS
    }


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panel_ids_are_unique_in_a_dashboard(name: str) -> None:
    ids = [panel["id"] for panel in DASHBOARDS[name]["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_panel_has_a_title_a_description_a_unit_and_a_word_for_no_data(name: str) -> None:
    for panel in _panels(DASHBOARDS[name]):
        assert panel["title"]
        assert panel["description"]
        if panel["type"] != "text":
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["fieldConfig"]["defaults"]["noValue"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap_and_stay_within_the_grid(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_query_names_its_data_source_by_uid(name: str) -> None:
    for panel in _panels(DASHBOARDS[name]):
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] in {"prometheus", "loki", "tempo"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_links_to_the_nine_and_keeps_its_variables_and_time(name: str) -> None:
    uid = DASHBOARDS[name]["uid"]
    links = DASHBOARDS[name]["links"]
    assert {link["url"] for link in links} == {
        f"/d/{item['uid']}" for item in DASHBOARDS.values() if item["uid"] not in (uid, *LED_TO)
    }
    assert all(link["includeVars"] and link["keepTime"] for link in links)


@pytest.mark.parametrize("name", sorted(set(DASHBOARDS) - {"runbooks.json"}))
def test_service_environment_and_route_are_variables_everywhere_so_that_links_keep_them(name: str) -> None:
    names = [variable["name"] for variable in DASHBOARDS[name]["templating"]["list"]]
    assert {"service", "environment", "route"} <= set(names)


def test_every_alert_has_a_runbook_in_the_runbooks_dashboard() -> None:
    titles = {f"panel-{panel['id']}": panel["title"] for panel in DASHBOARDS["runbooks.json"]["panels"]}
    for name, rule in provisioned.alerts().items():
        assert titles[rule["annotations"]["runbook_url"].partition("viewPanel=")[2]] == name


def test_every_alert_names_the_panel_that_shows_it() -> None:
    panels = {(item["uid"], str(panel["id"])) for item in DASHBOARDS.values() for panel in item["panels"]}
    for rule in provisioned.alerts().values():
        annotations = rule["annotations"]
        assert (annotations["__dashboardUid__"], annotations["__panelId__"]) in panels


def test_the_docs_have_the_queries_of_the_questions_ready_to_paste() -> None:
    text = (provisioned.GRAFANA.parent / "docs" / "questions.md").read_text()
    for question in QUESTIONS:
        assert f"## {question.title}\n" in text
        for query in (question.logql, question.traceql, question.promql):
            # In a query that a person pastes, the service has a name.
            pasted = query.replace('service_name=~".+",', "").replace("$service", "shop")
            assert f"```\n{pasted}\n```" in text, pasted
