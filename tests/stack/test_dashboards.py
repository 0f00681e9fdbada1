"""The dashboards' and alerts' files, without any server."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
import yaml

from grafana.source.__main__ import files
from grafana.source.questions import QUESTIONS
from grafana.source.selectors import CHOSEN_SERVICE
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
        "6 · Jobs",
        "7 · Runtime",
        "8 · Dependencies",
        "9 · SLO",
        "Telemetry pipeline",
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


#: Panels without queries.
NO_QUERY = {"text", "alertlist"}
#: Dashboards that show data.
LIVE = sorted(set(DASHBOARDS) - {"runbooks.json"})


def _queries(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [target for panel in _panels(dashboard) for target in panel.get("targets", ())]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_panel_has_a_title_of_its_own_a_description_and_a_unit(name: str) -> None:
    titles = [panel["title"] for panel in _panels(DASHBOARDS[name])]
    assert all(titles)
    assert len(titles) == len(set(titles)), sorted(title for title in titles if titles.count(title) > 1)
    for panel in _panels(DASHBOARDS[name]):
        assert panel["description"]
        assert panel["type"] in NO_QUERY or panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_data_and_a_failed_query_never_read_as_good_news(name: str) -> None:
    # Grafana shows the same text for both.
    for panel in _panels(DASHBOARDS[name]):
        if panel["type"] in NO_QUERY:
            continue
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"] == "–", panel["title"]
        for override in panel["fieldConfig"]["overrides"]:
            assert "noValue" not in {item["id"] for item in override["properties"]}
        if panel["type"] == "stat":
            # Without a mapping, it would have the colour of the lowest threshold.
            (none,) = [
                mapping["options"]["result"]
                for mapping in defaults["mappings"]
                if mapping["type"] == "special" and mapping["options"]["match"] == "null"
            ][:1]
            assert none in ({"text": "–", "color": "text"}, {"text": none["text"], "color": "red"})
            assert none["text"] == "–" or none["text"].endswith("does not answer")


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_zero_is_shown_only_where_it_is_known(name: str) -> None:
    for target in _queries(DASHBOARDS[name]):
        text = target.get("expr", "")
        # An age, and the sums of what is lost, which are guarded by the freshness of their counters.
        if text.endswith(("or vector(-1)", "or vector(0)")) and ("1h:1m" in text or "[5m]" in text):
            continue
        assert "vector(0)" not in text or re.search(r"and on \(\) \(.*target_info|and on \(\) \(.*up\{", text), text


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_share_over_a_time_range_is_an_increase_by_an_increase(name: str) -> None:
    for target in _queries(DASHBOARDS[name]):
        # An average of rates leaves out the time in which a series did not exist.
        assert "avg_over_time(" not in target.get("expr", "") or target["datasource"]["uid"] == "loki"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_search_for_traces_asks_for_the_newest_ones(name: str) -> None:
    for target in _queries(DASHBOARDS[name]):
        if target["datasource"]["type"] == "tempo" and target.get("queryType") == "traceql":
            is_search = "metricsQueryType" not in target
            assert target["query"].endswith(" with (most_recent=true)") is is_search


# The questions are made to be pasted, and name the service only.
@pytest.mark.parametrize("name", sorted(set(LIVE) - {"questions.json"}))
def test_a_query_is_of_the_chosen_environment(name: str) -> None:
    for target in _queries(DASHBOARDS[name]):
        text = target.get("expr") or target["query"]
        if "$service" in text:
            assert "$environment" in text, text


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_variable_is_shown_if_it_changes_a_panel(name: str) -> None:
    dashboard = DASHBOARDS[name]
    used = json.dumps([_queries(dashboard), [panel["title"] for panel in dashboard["panels"]]])
    used += re.sub(r"\$\{\w+:queryparam\}", "", json.dumps([panel.get("fieldConfig") for panel in dashboard["panels"]]))
    for variable in dashboard["templating"]["list"]:
        is_used = re.search(rf"\$\{{?{variable['name']}\b", used) is not None
        assert is_used is (variable.get("hide") != 2), variable["name"]


def test_a_query_of_jobs_is_of_the_chosen_job() -> None:
    for target in _queries(DASHBOARDS["jobs.json"]):
        text = target.get("expr") or target["query"]
        # A queue has jobs of all names.
        if re.search(r"otelflask.job.(?!queue.length)", text):
            assert "$job_name" in text, text


#: The palette (grafana/source/colors.py), and shades of it.
PALETTE = {"green", "yellow", "orange", "red", "dark-red", "blue", "light-blue", "dark-blue", "text", "transparent"}


def _colors(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {item for key, item in value.items() if key in ("color", "fixedColor") and isinstance(item, str)}
        return found.union(*map(_colors, value.values()))
    return set().union(*map(_colors, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_colours_are_of_the_palette(name: str) -> None:
    assert _colors([panel.get("fieldConfig") for panel in DASHBOARDS[name]["panels"]]) <= PALETTE


@pytest.mark.parametrize("name", LIVE)
def test_the_first_row_says_how_old_the_data_are_and_what_is_wrong(name: str) -> None:
    first = [panel["title"] for panel in DASHBOARDS[name]["panels"] if panel["gridPos"]["y"] == 0]
    assert first == ["Newest metrics", "Newest log", "Newest trace", "Firing alerts"]


@pytest.mark.parametrize("name", ["errors.json", "error-group.json", "logs.json"])
def test_what_loki_has_begins_with_all_services(name: str) -> None:
    # Their names come from Prometheus. While that is down, only `All` is there.
    variables = {variable["name"]: variable for variable in DASHBOARDS[name]["templating"]["list"]}
    assert (variables["service"]["current"]["value"], variables["service"]["allValue"]) == ("$__all", ".+")


@pytest.mark.parametrize("name", DASHBOARDS)
def test_variables_come_from_prometheus(name: str) -> None:
    # Grafana waits forever for a Loki that is down, and shows no panel meanwhile.
    for variable in DASHBOARDS[name]["templating"]["list"]:
        assert variable["type"] != "query" or variable["datasource"]["uid"] == "prometheus"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_variable_is_asked_once_so_that_a_server_that_goes_down_does_not_empty_it(name: str) -> None:
    for variable in DASHBOARDS[name]["templating"]["list"]:
        assert variable["type"] != "query" or variable["refresh"] == 1


@pytest.mark.parametrize(("chosen", "found"), [("shop", {"shop"}), ("", {"shop", "pay"}), (".+", {"shop", "pay"})])
def test_a_page_without_a_service_shows_all_services(chosen: str, found: set[str]) -> None:
    pattern = provisioned.fill_in(CHOSEN_SERVICE, {"service": chosen})
    assert {name for name in ("shop", "pay") if re.fullmatch(pattern, name)} == found


@pytest.mark.parametrize("name", sorted(set(DASHBOARDS) - {"questions.json"}))
def test_every_query_that_depends_on_the_service_stands_a_page_without_one(name: str) -> None:
    for panel in _panels(DASHBOARDS[name]):
        for target in panel.get("targets", ()):
            text = target.get("expr") or target["query"]
            assert text.count("$service") == text.count(CHOSEN_SERVICE), text


@pytest.mark.parametrize("name", LIVE)
def test_a_server_that_hangs_has_failed_before_the_page_is_refreshed(name: str) -> None:
    # Variables are asked one after the other, then five panels at a time. Grafana asks Loki a second time, 1.5 s later.
    sources = yaml.safe_load((provisioned.GRAFANA / "provisioning/datasources/otelflask.yaml").read_text())
    seconds = {source["uid"]: source["jsonData"]["timeout"] for source in sources["datasources"]}
    dashboard = DASHBOARDS[name]
    variables = sum(variable["type"] == "query" for variable in dashboard["templating"]["list"])
    for source, timeout in seconds.items():
        queried = [
            panel
            for panel in _panels(dashboard)
            if any(target["datasource"]["uid"] == source for target in panel.get("targets", ()))
        ]
        rounds = math.ceil(len(queried) / 5) + (variables if source == "prometheus" else 0)
        assert rounds * (2 * timeout + 1.5 if source == "loki" else timeout) <= 60, source
    assert dashboard["refresh"] == "1m"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_links_lead_to_dashboards_that_exist(name: str) -> None:
    uids = {item["uid"] for item in DASHBOARDS.values()}
    text = json.dumps(DASHBOARDS[name])
    assert set(re.findall(r"/d/([\w-]+)", text)) <= uids
    assert set(re.findall(r"viewPanel=panel-(\d+)", text)) <= {str(panel["id"]) for panel in DASHBOARDS[name]["panels"]}


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
def test_one_menu_leads_to_all_dashboards_and_keeps_variables_and_time(name: str) -> None:
    (menu,) = DASHBOARDS[name]["links"]
    assert (menu["type"], menu["asDropdown"], menu["includeVars"], menu["keepTime"]) == ("dashboards", True, True, True)
    assert menu["tags"] == DASHBOARDS[name]["tags"]


@pytest.mark.parametrize("name", sorted(set(DASHBOARDS) - {"runbooks.json"}))
def test_service_environment_and_route_are_variables_everywhere_so_that_links_keep_them(name: str) -> None:
    names = [variable["name"] for variable in DASHBOARDS[name]["templating"]["list"]]
    assert {"service", "environment", "route"} <= set(names)


def test_every_alert_has_a_runbook_in_the_runbooks_dashboard() -> None:
    titles = {f"panel-{panel['id']}": panel["title"] for panel in DASHBOARDS["runbooks.json"]["panels"]}
    for name, rule in provisioned.alerts().items():
        assert titles[rule["annotations"]["runbook_url"].partition("viewPanel=")[2]] == name


def test_every_alert_names_the_panel_that_shows_it_and_its_button_leads_there() -> None:
    panels = {(item["uid"], str(panel["id"])) for item in DASHBOARDS.values() for panel in item["panels"]}
    for rule in provisioned.alerts().values():
        annotations = rule["annotations"]
        uid, panel = annotations["__dashboardUid__"], annotations["__panelId__"]
        assert (uid, panel) in panels
        if "viewPanel" in annotations["page"]:
            assert annotations["page"] == f"/d/{uid}?viewPanel=panel-{panel}"
        else:
            assert annotations["page"].removeprefix("/d/") in {uid for uid, _ in panels}


@pytest.mark.parametrize("name", ["ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly"])
def test_a_burning_budget_leads_to_the_panel_of_its_objective(name: str) -> None:
    panels = {panel["title"]: panel["id"] for panel in DASHBOARDS["slo.json"]["panels"]}
    for slo in ("availability", "latency"):
        page = provisioned.alerts()[name]["annotations"][f"page_{slo}"]
        assert page == f"/d/otelflask-slo?viewPanel=panel-{panels[f'{slo.capitalize()}: burn rates']}"


def test_a_server_that_is_down_is_one_alert_and_the_others_keep_their_state() -> None:
    # A rule that fails would otherwise send a mail of its own, with labels that it does not have.
    assert {name: rule["execErrState"] for name, rule in provisioned.alerts().items()} == {
        name: "Alerting" if name in ("PrometheusDown", "LokiDown", "TempoDown") else "KeepLast"
        for name in provisioned.alerts()
    }


def test_the_page_of_a_rule_shows_no_template() -> None:
    for rule in provisioned.alerts().values():
        assert "{{" not in json.dumps([rule["annotations"], rule["labels"]])


def test_the_subject_and_the_heading_of_a_mail_are_made_of_the_same_labels() -> None:
    subject = (provisioned.GRAFANA / "provisioning" / "alerting" / "mail.yaml").read_text()
    heading = (provisioned.GRAFANA / "emails" / "ng_alert_notification.html").read_text()
    of_subject = re.findall(r"\$first\.Labels\.(\w+)", subject)
    assert {"service_name", "otelflask_job_name"} < set(of_subject) == set(re.findall(r"\$of\.(\w+)", heading))


def test_the_docs_have_the_queries_of_the_questions_ready_to_paste() -> None:
    text = (provisioned.GRAFANA.parent / "docs" / "questions.md").read_text()
    for question in QUESTIONS:
        assert f"## {question.title}\n" in text
        for query in (question.logql, question.traceql, question.promql):
            # In a query that a person pastes, the service has a name.
            pasted = query.replace('service_name=~".+",', "").replace("$service", "shop")
            assert f"```\n{pasted}\n```" in text, pasted
