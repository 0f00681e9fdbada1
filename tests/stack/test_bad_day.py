"""A bad day: the shop has an outage, and each server of the stack hangs and stops in turn, under load.

What each panel says, in Grafana's API and on the page, and which mails come. `make test-bad-day` runs all of it, in
up to an hour. With ``BAD_DAY=prometheus`` (or another server), only that one goes away, the shop has no outage, and the
mails that say that all is well again are not waited for. Pictures of all dashboards are in ``build/bad-day/``.
"""

from __future__ import annotations

import html
import os
import re
import time
from collections.abc import Iterator

import pytest

from tests.stack import driver, grafana_api, grafana_pages, provisioned
from tests.stack.backends import eventually, get
from tests.stack.compose import ROOT, Stack
from tests.stack.grafana_api import Answer
from tests.stack.grafana_pages import Pages, Shown

pytestmark = [pytest.mark.slow, pytest.mark.stack, pytest.mark.bad_day, pytest.mark.needs("grafana", "mailpit", "shop")]

#: The servers that a dashboard asks, by the uid of the data source.
SOURCES = ("prometheus", "loki", "tempo")
CHOSEN = [name for name in os.environ.get("BAD_DAY", "").split(",") if name]
#: What a panel says while its source does not answer.
NOTHING = re.compile(r"(–|No data|No data found in response|\w+ does not\s+answer)?")
#: Dashboards with data of a service, by uid.
DASHBOARDS = {item["uid"]: item for name, item in provisioned.dashboards().items() if name != "runbooks.json"}
#: Panels about losses of any server, which nobody knows while Prometheus cannot read the counters of one of them.
UNKNOWN = ("Lost", "… by backends")
SCRAPED = ("loki", "tempo")
#: A panel about the last minutes, in which nothing may have gone wrong. Grafana's API knows.
ENDS = ("Latest runs that went wrong",)
#: Seconds until Prometheus has seen it: the interval, and the timeout of a scrape, with something to spare.
UNSEEN = 40
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
    r"|(Resolved: )?((shop|shop-payments) \(demo\):|collector \S+) queue is more than half full"
)

#: The mails of the shop's own outage.
OUTAGE = re.compile(
    r"(Resolved: )?shop \(demo\): (more than 5 % of requests fail"
    r"|availability error budget is used up within days|availability objective will be missed)"
)
#: What a panel must show.
FIGURE, DASH, FAILED = "a figure", "a dash", "a failed query"

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
    dashboard = DASHBOARDS[uid]
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
    return pages.all_panels(DASHBOARDS, "healthy", service="shop", group=group)


@pytest.fixture(scope="module")
def outage(whole_stack: Stack, healthy: Healthy) -> Iterator[None]:
    """The shop has no payments, from now on."""
    if CHOSEN:
        yield
        return
    whole_stack.run("stop", "payments")
    try:
        # Rates of two minutes, and the alert's own two.
        time.sleep(240)
        yield
    finally:
        whole_stack.run("start", "payments")


def _is_filled(shown: Shown) -> bool:
    return shown.drawn or not NOTHING.fullmatch(shown.text)


def _answers(stack: Stack, group: str) -> dict[tuple[str, str], Answer]:
    return grafana_api.answers(stack.url["grafana"], DASHBOARDS.values(), service="shop", group=group)


def test_while_all_is_well_no_query_fails_and_the_data_are_fresh(stack: Stack, healthy: Healthy, group: str) -> None:
    for uid, panels in healthy.items():
        assert set(panels) == set(_panels(uid)), uid
        assert [title for title, shown in panels.items() if shown.failed] == [], uid
        assert int(panels["Newest metrics"].text.removesuffix(" s")) < 60
        assert panels["Newest log"].text == "within a minute"
        # In Grafana's words, up to 45 and up to 90 seconds.
        assert panels["Newest trace"].text in {"a few seconds ago", "a minute ago"}
    for (uid, title), answer in _answers(stack, group).items():
        assert not answer.failed, (uid, title)
        # What Grafana knows is on the page.
        assert _is_filled(healthy[uid][title]) or not answer.filled, (uid, title)


@pytest.mark.skipif(bool(CHOSEN), reason="BAD_DAY names servers of the stack")
def test_an_outage_of_the_shop_is_on_its_dashboards(stack: Stack, pages: Pages, group: str, outage: None) -> None:
    shown = pages.all_panels(DASHBOARDS, "outage", service="shop", group=group)
    service = shown["otelflask-service"]
    # One of ten requests is a purchase.
    assert float(service["Errors"].text.removesuffix("%")) > 4
    assert "/api/products/<int:product_id>/purchase" in service["Failing routes"].text
    assert "/api/products/<int:product_id>/purchase" in shown["otelflask-errors"]["Kinds of errors"].text
    assert "open" in shown["otelflask-dependencies"]["Circuit breakers"].text
    told = eventually(lambda: [mail for mail in _mails(stack) if OUTAGE.fullmatch(mail)], seconds=360)
    assert any("requests fail" in mail for mail in told), told


def _mails(stack: Stack) -> list[str]:
    return [item["Subject"] for item in get(f"{stack.url['mail']}/api/v1/messages")["messages"]]


def _told(stack: Stack, subject: str) -> list[str]:
    return eventually(lambda: [mail for mail in _mails(stack) if mail == subject], seconds=360)


def _resolved(stack: Stack, server: str) -> None:
    # It takes minutes, and the short form does not wait.
    subject = f"Resolved: {DOWN[server]}"
    assert CHOSEN or _told(stack, subject) == [subject]


def _must_show(source: str, uid: str, title: str, is_known: bool) -> set[str]:
    """What a panel must show while a server does not answer: one of these."""
    if source in _panels(uid)[title]:
        return {FAILED}
    if title in UNKNOWN and source in SCRAPED:
        return {DASH}
    # What is not known yet may come.
    return {FIGURE} if is_known else {FIGURE, DASH}


def _shows(shown: Shown) -> str:
    if shown.failed:
        # Without a figure beside the mark.
        return FAILED if NOTHING.fullmatch(shown.text) else f"a failed query and {shown.text!r}"
    return FIGURE if _is_filled(shown) else DASH


def _check(source: str, shown: Healthy, answers: dict[tuple[str, str], Answer], healthy: Healthy) -> None:
    # What was there before is still there, or has ended.
    known = {
        (uid, title): answers[uid, title].filled if title in ENDS else _is_filled(healthy[uid][title])
        for uid in shown
        for title in shown[uid]
    }
    must = {where: _must_show(source, *where, is_known) for where, is_known in known.items()}
    shows = {(uid, title): _shows(panel) for uid, panels in shown.items() for title, panel in panels.items()}
    assert {where: shows[where] for where in must if shows[where] not in must[where]} == {}
    # The same by Grafana's API.
    failed = {where for where, answer in answers.items() if answer.failed}
    assert failed == {where for where in answers if must[where] == {FAILED}}


@pytest.mark.parametrize("source", [name for name in SOURCES if not CHOSEN or name in CHOSEN])
def test_what_a_server_does_not_answer_is_marked_and_the_rest_goes_on(
    stack: Stack, pages: Pages, group: str, healthy: Healthy, outage: None, source: str
) -> None:
    # First it hangs, which is seen by time limits only.
    stack.run("pause", source)
    undo = "unpause"
    try:
        time.sleep(UNSEEN)
        shown = pages.all_panels(DASHBOARDS, f"hanging-{source}", service="shop", group=group)
        _check(source, shown, _answers(stack, group), healthy)
        # Without an answer in between, after which its alert would end, and begin again.
        stack.run("stop", source)
        undo = "start"
        time.sleep(UNSEEN)
        shown = pages.all_panels(DASHBOARDS, f"no-{source}", service="shop", group=group)
        _check(source, shown, _answers(stack, group), healthy)
        # A page that is opened without a service, by the home page or a bookmark, shows what is there.
        without = pages.panels("otelflask-errors", f"no-{source}-no-service", service="")
        assert _shows(without["Newest log"]) == (FAILED if source == "loki" else FIGURE)
        assert source == "loki" or without["Newest log"].text == "within a minute"
        assert source == "loki" or int(without["Failed requests"].text) > 0
        assert _told(stack, DOWN[source]) == [DOWN[source]]
        # Whoever opens a dashboard sees it at once.
        assert (
            f"{source.capitalize()}Down" in pages.panels("otelflask-service", f"told-no-{source}")["Firing alerts"].text
        )
    finally:
        stack.run(undo, source)
        stack.wait(source)
    _resolved(stack, source)


@pytest.mark.skipif(bool(CHOSEN) and "collector" not in CHOSEN, reason="BAD_DAY names other servers")
def test_old_figures_are_not_shown_as_new_ones_while_the_collector_is_down(
    stack: Stack, pages: Pages, group: str, healthy: Healthy, outage: None
) -> None:
    stack.run("pause", "collector")
    try:
        # Rates of two minutes end, and a sample older than two minutes is old.
        time.sleep(150)
        _looks_old(pages, "hanging-collector")
        # Not "stop": it would go on for a moment, and send.
        stack.run("kill", "collector")
        _looks_old(pages, "no-collector")
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


def _looks_old(pages: Pages, picture: str) -> None:
    shown = pages.all_panels(DASHBOARDS, picture, service="shop")
    service, pipeline = shown["otelflask-service"], shown["otelflask-pipeline"]
    assert int(service["Newest metrics"].text.removesuffix(" s")) >= 120
    assert service["Newest log"].text != "within a minute"
    for title in ("Requests", "Errors", "p95", "In flight", "Apdex (0.5 s)"):
        assert service[title].text == "–", title
    for title in ("Lost", "… by apps", "… by collector", "To be resent"):
        assert pipeline[title].text == "–", title
    for panels in shown.values():
        # No server of Grafana's is down.
        assert [title for title, panel in panels.items() if panel.failed] == []


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
    of_outage = [mail for mail in others if not CHOSEN and OUTAGE.fullmatch(mail)]
    assert [mail for mail in others if not EXPECTED.fullmatch(mail) and mail not in of_outage] == []
    # It began once.
    assert len([mail for mail in of_outage if not mail.startswith("Resolved") and "requests fail" in mail]) <= 1, mails
    # One mail a bug.
    bugs = [mail for mail in others if "never seen before" in mail]
    assert len(bugs) == len(set(bugs))
    assert sorted(mail for mail in mails if mail in due) == sorted(due)


def test_a_mail_says_what_since_when_and_how_much_and_has_one_button(stack: Stack, healthy: Healthy) -> None:
    def found() -> list[str]:
        listed = get(f"{stack.url['mail']}/api/v1/messages")["messages"]
        return [item["ID"] for item in listed if "never seen before" in item["Subject"]]

    mail = get(f"{stack.url['mail']}/api/v1/message/{eventually(found, seconds=240)[0]}")
    assert {"HTML", "Text"} <= set(mail), mail
    for text in (html.unescape(mail["HTML"]), mail["Text"]):
        assert "A bug occurred that was never seen before." in text
        assert re.search(r"The alert began at \d{4}-\d\d-\d\d \d\d:\d\d UTC\.", text)
        assert re.search(r"How much: \d+ in ten minutes\.", text)
        links = set(re.findall(r'https?://[^\s"<>]+', text))
        known = [re.sub(r"(?<=var-group=)[0-9a-f]{16}", "FINGERPRINT", link) for link in sorted(links)]
        assert [re.sub(r"^.*/d/|=[^=]*$", "", link) for link in known] == [
            "otelflask-error-group?var-environment=demo&var-group=FINGERPRINT&var-service",
            "otelflask-runbooks?viewPanel",
        ]
        for noise in ("[no value]", "A=1", "alertname", "grafana_folder"):
            assert noise not in text
