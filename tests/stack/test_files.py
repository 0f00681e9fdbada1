"""The servers' own checks of their files."""

from __future__ import annotations

import subprocess

import pytest

from tests.stack.compose import ROOT, Stack

pytestmark = [pytest.mark.slow, pytest.mark.stack]


def _validate(stack: Stack, service: str, *command: str, **environment: str) -> None:
    if service in stack.missing:
        pytest.skip(f"no image can be had for {service} ({stack.images[service]})")
    stack.run("run", "--rm", "--no-deps", "--entrypoint", command[0], service, *command[1:], **environment)


@pytest.fixture(scope="module")
def not_started(docker: None) -> Stack:
    """The bundle, not running."""
    return Stack()


def test_the_collector_accepts_its_file(not_started: Stack) -> None:
    _validate(not_started, "collector", "/otelcol-contrib", "validate", "--config=/etc/otelcol/otelcol.yaml")


def test_the_collector_accepts_it_with_tail_sampling(not_started: Stack) -> None:
    files = ("--config=/etc/otelcol/otelcol.yaml", "--config=/etc/otelcol/tail-sampling.yaml")
    _validate(not_started, "collector", "/otelcol-contrib", "validate", *files)


def test_loki_accepts_its_file(not_started: Stack) -> None:
    arguments = ("-config.file=/etc/loki/loki.yaml", "-config.expand-env=true", "-verify-config")
    _validate(not_started, "loki", "/usr/bin/loki", *arguments)


def test_tempo_accepts_its_file(not_started: Stack) -> None:
    arguments = ("-config.file=/etc/tempo/tempo.yaml", "-config.expand-env=true", "-config.verify=true")
    _validate(not_started, "tempo", "/tempo", *arguments)


def test_every_port_is_published_on_loopback_only(not_started: Stack) -> None:
    services = not_started.config()["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert len(ports) == 9
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_every_service_is_bounded_and_has_a_health_check(not_started: Stack) -> None:
    for name, service in not_started.config()["services"].items():
        assert int(service["mem_limit"]) <= 512 * 2**20, name
        assert service["read_only"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["logging"]["options"], name
        if name != "queue-owner":
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"], name


def test_every_variable_of_the_compose_file_has_a_default_in_env(not_started: Stack) -> None:
    done = subprocess.run(
        ["docker", "compose", "config", "--variables"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    used = {line.split()[0] for line in done.stdout.splitlines()[1:] if line.strip()}
    lines = (ROOT / ".env").read_text().splitlines()
    declared = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    assert used == declared
