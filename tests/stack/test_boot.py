"""The bundle right after its start. This module comes first, before others stop and kill services."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import Any

import pytest

from tests.stack import driver
from tests.stack.backends import eventually, get
from tests.stack.compose import Stack

pytestmark = [pytest.mark.slow, pytest.mark.stack]

STACK = {"collector", "prometheus", "loki", "tempo", "grafana", "mailpit"}
DEMO = {"shop", "payments", "worker", "load", "postgres", "redis"}
#: How each service logs an error. The shop's own errors are wanted, and look different.
ERROR = re.compile(r"level=(error|fatal|ERROR)|\t(error|fatal)\t|\[ERROR\]|\bpanic:|\b(FATAL|PANIC):")


def _containers(stack: Stack) -> dict[str, dict[str, Any]]:
    ids = stack.run("ps", "--all", "--quiet").split()
    found = json.loads(subprocess.run(["docker", "inspect", *ids], capture_output=True, check=True).stdout)
    return {item["Config"]["Labels"]["com.docker.compose.service"]: item for item in found}


def test_every_service_is_healthy_and_started_once(stack: Stack) -> None:
    containers = _containers(stack)
    assert set(containers) == (STACK | DEMO | {"queue-owner"}) - stack.missing
    for name, container in containers.items():
        assert container["RestartCount"] == 0, name
        if name != "queue-owner":
            assert container["State"]["Health"]["Status"] == "healthy", name


def test_no_service_runs_as_root(stack: Stack) -> None:
    for name, container in _containers(stack).items():
        if name == "queue-owner":
            continue
        found = _processes_of_root(container["Id"])
        if found:
            # A health check runs as root, and is over soon. The service's own processes are there at a second look too.
            time.sleep(2)
            assert not found & _processes_of_root(container["Id"]), name


def _processes_of_root(container: str) -> set[str]:
    command = ["docker", "top", container, "-eo", "uid,pid,comm"]
    processes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    # An image that changes its user by `su` keeps that as the parent.
    return {line for line in processes if line.split()[0] == "0" and line.split()[2] != "su"}


#: Tempo's own: its remote write looks for the first segment of a log that it makes a moment later, and looks again.
TEMPO_LOOKS_TOO_EARLY = 'msg="error tailing WAL"'


def test_no_service_logs_an_error_while_it_starts(stack: Stack) -> None:
    lines = [line for line in stack.logs().splitlines() if ERROR.search(line) and TEMPO_LOOKS_TOO_EARLY not in line]
    assert lines == []


def test_the_stack_without_the_demo_uses_less_than_800_mib(stack: Stack) -> None:
    used = {name: mib for name, mib in stack.memory().items() if name in STACK}
    assert set(used) == STACK - stack.missing
    assert sum(used.values()) < 800, used


def test_up_grafana_starts_the_stack_without_the_demo(stack: Stack) -> None:
    services = stack.config()["services"]

    def needed(name: str) -> set[str]:
        return {name}.union(*(needed(other) for other in services[name].get("depends_on", ())))

    assert needed("grafana") == STACK | {"queue-owner"}


@pytest.mark.needs("shop", "postgres", "redis", "grafana", "mailpit")
def test_a_new_group_of_errors_is_mailed_with_its_page_and_its_runbook(stack: Stack) -> None:
    # Here, because a group is new once, and Grafana remembers what it has mailed.
    for _ in range(3):
        driver.request(stack.url["shop"], "/simulate-error")

    def mails() -> list[str]:
        listed = get(f"{stack.url['mail']}/api/v1/messages")["messages"]
        bodies = [get(f"{stack.url['mail']}/api/v1/message/{item['ID']}") for item in listed]
        return [body["Subject"] + json.dumps(body) for body in bodies if "was never seen before" in json.dumps(body)]

    # The load has errors of its own, and their mails may come first.
    wanted = "shop (demo): RuntimeError in shop._fail ← return _fail(amount=0) was never seen before"
    found = eventually(mails, lambda found: wanted in "".join(found), seconds=240)
    assert wanted in "".join(found)
    links = "".join(found).replace("&amp;", "&").replace("\\u0026", "&")
    assert re.search(r"d/otelflask-error-group\?var-environment=demo&var-group=[0-9a-f]{16}&var-service=shop", links)
    assert "otelflask-runbooks?viewPanel=panel-" in "".join(found)
