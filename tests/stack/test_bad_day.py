"""A bad day: each server of the stack goes away in turn, under load. What each panel says, and which mails come.

`make test-bad-day` runs all of it and takes half an hour. With ``BAD_DAY=prometheus`` (or another server), only
that one goes away, and the mails that say that all is well again are not waited for. Pictures of all dashboards are
in ``build/bad-day/``.
"""

from __future__ import annotations

import html
import os
import re
import time
from collections.abc import Iterator

import pytest

from tests.stack import driver, grafana_pages, provisioned
from tests.stack.backends import eventually, get
from tests.stack.compose import ROOT, Stack
from tests.stack.grafana_pages import Pages, Shown

pytestmark = [pytest.mark.slow, pytest.mark.stack, pytest.mark.bad_day, pytest.mark.needs("grafana", "mailpit", "shop")]

#: The servers that a dashboard asks, by the uid of the data source.
SOURCES = ("prometheus", "loki", "tempo")
CHOSEN = [name for name in os.environ.get("BAD_DAY", "").split(",") if name]
#: What a panel says while its source does not answer.
NOTHING = re.compile(r"(–|No data|No data found in response|\w+ does not\s+answer)?")
#: Dashboards with data of a service.
PAGES = [item["uid"] for name, item in provisioned.dashboards().items() if name not in ("runbooks.json",)]
#: Panels about losses of any server, which nobody knows while Prometheus cannot read the counters of one of them.
UNKNOWN = ("Lost", "… by backends")
SCRAPED = ("loki", "tempo")
#: The mails that each failure sends.
DOWN = {
    "prometheus": "Prometheus does not answer: nobody sees metrics, and no alert about them fires",
    "loki": "Loki does not answer: nobody sees logs and errors, and no alert about errors fires",
    "tempo": "Tempo does not answer: nobody sees traces",
    "collector": "collector does not answer",
}
#: What else may come: the shop's three bugs, once each, and what an app's queue could not hold.
EXPECTED = re.compile(
    r"shop \(demo\): .* was never seen before"
    r"|(Resolved: )?Telemetry is lost"
    r"|(Resolved: )?A queue of (shop|shop-payments|the collector \(.*\)) is filling"
)

#: uid → title → panel.
Healthy = dict[str, dict[str, Shown]]


def _sources(panel: dict[str, object]) -> set[str]:
    targets = panel.get("targets", ())
    assert isinstance(targets, (list, tuple))
    # Grafana's page makes the service map of series.
    return {
        "prometheus" if target.get("queryType") == "serviceMap" else target["datasource"]["uid"] for target in targets
    }


def _panels(uid: str) -> dict[str, set[str]]:
    """Title → data sources."""
    (dashboard,) = [item for item in provisioned.dashboards().values() if item["uid"] == uid]
    values = provisioned.default_values(dashboard, "shop")
    return {
        provisioned.fill_in(panel["title"], values): _sources(panel)
        for panel in dashboard["panels"]
        if panel["type"] != "row"
    }


@pytest.fixture(scope="module")
def pages(whole_stack: Stack) -> Iterator[Pages]:
    if not grafana_pages.CHROMIUM:
        pytest.skip("Chromium is not installed")
    if {"grafana", "tempo", "shop"} & whole_stack.missing:
        pytest.skip("no image can be had for Grafana, Tempo or the shop")
    with grafana_pages.opened(whole_stack.url["grafana"], ROOT / "build" / "bad-day") as opened:
        yield opened


@pytest.fixture(scope="module")
def group(whole_stack: Stack, pages: Pages) -> str:
    """The fingerprint of a bug of the shop, after some traffic of each kind."""
    shop = whole_stack.url["shop"]
    for path in ("/api/products/ratings", "/slow-query", "/simulate-error", "/failing-dependency"):
        for _ in range(3):
            driver.request(shop, path)
    of_bug = '{report="whole"} | exception_type=~"Runtime.*"'
    query = f"topk(1, sum by (otelflask_error_fingerprint) (count_over_time({of_bug} [5m])))"
    (found,) = eventually(lambda: whole_stack.backends.logql_instant(query))
    eventually(lambda: whole_stack.backends.promql("otelflask:slo_errors:ratio_rate3d"), seconds=150)
    return str(found["metric"]["otelflask_error_fingerprint"])


@pytest.fixture(scope="module")
def healthy(pages: Pages, group: str) -> Healthy:
    """Each dashboard while all is well."""
    return {uid: pages.panels(uid, "healthy", service="shop", group=group) for uid in PAGES}


def _is_filled(shown: Shown) -> bool:
    return shown.drawn or not NOTHING.fullmatch(shown.text)


def test_while_all_is_well_no_query_fails_and_the_data_are_fresh(stack: Stack, healthy: Healthy) -> None:
    for uid, panels in healthy.items():
        assert set(panels) == set(_panels(uid)), uid
        assert [title for title, shown in panels.items() if shown.failed] == [], uid
        assert int(panels["Newest metrics"].text.removesuffix(" s")) < 60
        assert panels["Newest log line"].text == "within a minute"


def _mails(stack: Stack) -> list[str]:
    return [item["Subject"] for item in get(f"{stack.url['mail']}/api/v1/messages")["messages"]]


def _told(stack: Stack, subject: str) -> list[str]:
    return eventually(lambda: [mail for mail in _mails(stack) if mail == subject], seconds=360)


def _resolved(stack: Stack, server: str) -> None:
    # It takes minutes, and the short form does not wait.
    subject = f"Resolved: {DOWN[server]}"
    assert CHOSEN or _told(stack, subject) == [subject]


@pytest.mark.parametrize("source", [name for name in SOURCES if not CHOSEN or name in CHOSEN])
def test_what_a_server_does_not_answer_is_marked_and_the_rest_goes_on(
    stack: Stack, pages: Pages, group: str, healthy: Healthy, source: str
) -> None:
    stack.run("stop", source)
    try:
        for uid in PAGES:
            asked = _panels(uid)
            for title, shown in pages.panels(uid, f"no-{source}", service="shop", group=group).items():
                where = f"{uid} / {title}: {shown}"
                if source in asked[title]:
                    assert shown.failed, where
                    assert NOTHING.fullmatch(shown.text), where
                elif title in UNKNOWN and source in SCRAPED:
                    assert shown.text == "–", where
                else:
                    assert not shown.failed, where
                    # What was there is still there.
                    assert _is_filled(shown) or not _is_filled(healthy[uid][title]), where
        assert _told(stack, DOWN[source]) == [DOWN[source]]
        # Whoever opens a dashboard sees it at once.
        assert f"{source.capitalize()}Down" in pages.panels(PAGES[0], f"told-no-{source}")["Firing alerts"].text
    finally:
        stack.run("start", source)
        stack.wait(source)
    _resolved(stack, source)


@pytest.mark.skipif(bool(CHOSEN) and "collector" not in CHOSEN, reason="BAD_DAY names other servers")
def test_old_figures_are_not_shown_as_new_ones_while_the_collector_is_down(
    stack: Stack, pages: Pages, group: str, healthy: Healthy
) -> None:
    stack.run("stop", "collector")
    try:
        # Rates of two minutes end, and a sample older than two minutes is old.
        time.sleep(150)
        service = pages.panels("otelflask-service", "no-collector", service="shop")
        assert int(service["Newest metrics"].text.removesuffix(" s")) >= 120
        for title in ("Requests", "Errors", "p95", "In flight", "Apdex (0.5 s)"):
            assert service[title].text == "–", title
        pipeline = pages.panels("otelflask-pipeline", "no-collector", service="shop")
        for title in ("Lost", "… by apps", "… by collector", "To be resent"):
            assert pipeline[title].text == "–", title
        for uid, title in (("otelflask-runtime", "Health checks"), ("otelflask-dependencies", "Circuit breakers")):
            # No state of now: the last one has ended.
            assert not pages.panels(uid, "no-collector", service="shop")[title].failed
        assert _told(stack, DOWN["collector"]) == [DOWN["collector"]]
    finally:
        stack.run("start", "collector")
        stack.wait("collector")
    _resolved(stack, "collector")
    # What the apps lost meanwhile is shown as such, wherever the dashboard says it; a graph has it one step later.
    pipeline = eventually(
        lambda: pages.panels("otelflask-pipeline", "collector-back", service="shop"), _agrees_on_losses, seconds=180
    )
    assert _agrees_on_losses(pipeline), (pipeline["Lost"], pipeline["What was dropped, and why"])


def _agrees_on_losses(pipeline: dict[str, Shown]) -> bool:
    lost = pipeline["Lost"].text
    return lost != "–" and pipeline["What was dropped, and why"].drawn is (lost != "nothing")


def test_no_other_mail_has_come(stack: Stack, healthy: Healthy) -> None:
    gone = {*SOURCES, "collector"} & set(CHOSEN or DOWN)
    due = {subject for name in gone for subject in (DOWN[name], f"Resolved: {DOWN[name]}")}
    mails = _mails(stack)
    if CHOSEN:
        due = {subject for subject in due if subject in mails or not subject.startswith("Resolved")}
    others = [mail for mail in mails if mail not in due]
    assert [mail for mail in others if not EXPECTED.fullmatch(mail)] == []
    # One mail a bug.
    bugs = [mail for mail in others if "never seen before" in mail]
    assert len(bugs) == len(set(bugs))
    assert sorted(mail for mail in mails if mail in due) == sorted(due)


def test_a_mail_says_what_since_when_and_how_much_and_has_one_button(stack: Stack, healthy: Healthy) -> None:
    def found() -> list[str]:
        listed = get(f"{stack.url['mail']}/api/v1/messages")["messages"]
        return [item["ID"] for item in listed if "never seen before" in item["Subject"]]

    mail = get(f"{stack.url['mail']}/api/v1/message/{eventually(found, seconds=240)[0]}")
    for text in filter(None, (mail.get("HTML"), mail.get("Text"))):
        assert "A bug occurred that was never seen before." in text
        assert re.search(r"Since \d{4}-\d\d-\d\d \d\d:\d\d UTC\.", text)
        assert re.search(r"How much: \d+ in ten minutes\.", text)
        links = set(re.findall(r'https?://[^\s"<>]+', html.unescape(text)))
        known = [re.sub(r"(?<=var-group=)[0-9a-f]{16}", "FINGERPRINT", link) for link in sorted(links)]
        assert [re.sub(r"^.*/d/|=[^=]*$", "", link) for link in known] == [
            "otelflask-error-group?var-group=FINGERPRINT&var-service=shop&var-environment",
            "otelflask-runbooks?viewPanel",
        ]
        for noise in ("[no value]", "A=1", "alertname", "grafana_folder"):
            assert noise not in text
