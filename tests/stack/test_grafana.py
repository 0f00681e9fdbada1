"""Grafana as it opens: without a login on loopback, with everything provisioned; and its mails."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.stack import provisioned
from tests.stack.backends import eventually, get
from tests.stack.compose import Stack

pytestmark = [pytest.mark.slow, pytest.mark.stack, pytest.mark.needs("grafana", "mailpit")]


def _status(url: str, user: str = "") -> int:
    headers = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()} if user else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_every_dashboard_is_there_in_its_folder(stack: Stack) -> None:
    found = get(f"{stack.url['grafana']}/api/search", tag="otelflask")
    assert {item["uid"] for item in found} == {item["uid"] for item in provisioned.dashboards().values()}
    assert {item["folderTitle"] for item in found} == {"otelflask"}


@pytest.mark.parametrize("uid", ["prometheus", "loki", "tempo"])
def test_a_data_source_works(stack: Stack, uid: str) -> None:
    if uid in stack.missing:
        pytest.skip(f"no image can be had for {uid} ({stack.images[uid]})")
    answer = eventually(lambda: get(f"{stack.url['grafana']}/api/datasources/uid/{uid}/health"))
    assert answer["status"] == "OK"


def test_it_opens_without_a_login_and_nobody_has_the_default_password(stack: Stack) -> None:
    base = stack.url["grafana"]
    assert _status(f"{base}/api/search") == 200
    assert _status(f"{base}/api/user", "admin:admin") in (401, 403)
    permissions = get(f"{base}/api/access-control/user/permissions")
    assert "datasources:explore" in permissions


def test_one_variable_turns_it_to_a_login(stack: Stack) -> None:
    base = stack.url["grafana"]
    try:
        stack.run("up", "--detach", "--no-deps", "grafana", GRAFANA_PASSWORD="correct-horse")
        stack.wait("grafana", GRAFANA_PASSWORD="correct-horse")
        assert _status(f"{base}/api/search") == 401
        assert _status(f"{base}/api/user", "admin:admin") == 401
        assert _status(f"{base}/api/user", "admin:correct-horse") == 200
    finally:
        stack.run("up", "--detach", "--no-deps", "grafana")
        stack.wait("grafana")


def test_all_alert_rules_are_evaluated_without_an_error(stack: Stack) -> None:
    def rules() -> dict[str, Any]:
        groups = get(f"{stack.url['grafana']}/api/prometheus/grafana/api/v1/rules")["data"]["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    expected = dict.fromkeys(provisioned.alerts(), "ok")
    assert eventually(rules, lambda health: health == expected, seconds=150) == expected
