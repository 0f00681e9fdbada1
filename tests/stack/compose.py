"""Run the compose bundle, from the file that users run, on ports and volumes of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from tests.stack.backends import Backends

ROOT = Path(__file__).parents[2]
PROJECT = "otelflask-test"

#: The order of start, where not all of them can start.
SERVICES = (
    "queue-owner",
    "prometheus",
    "loki",
    "tempo",
    "mailpit",
    "postgres",
    "redis",
    "collector",
    "grafana",
    "payments",
    "shop",
    "worker",
    "load",
)
PORTS = (
    "OTLP_GRPC_PORT",
    "OTLP_HTTP_PORT",
    "GRAFANA_PORT",
    "PROMETHEUS_PORT",
    "MAIL_PORT",
    "SHOP_PORT",
    "LOAD_PORT",
    "LOKI_PORT",
    "TEMPO_PORT",
)


def docker_missing() -> str:
    """Why the stack cannot run here; empty where it can."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        if subprocess.run(command, capture_output=True, timeout=60).returncode:
            return f"`{' '.join(command)}` fails"
    return ""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


class Stack:
    """The bundle. Services without an image are in `missing` and are not started."""

    def __init__(self) -> None:
        ports = dict(zip(PORTS, map(str, _free_ports(len(PORTS))), strict=True))
        self.environment = {**os.environ, **ports, "COMPOSE_PROJECT_NAME": PROJECT, "LOAD_USERS": "5"}
        self.url = {name.removesuffix("_PORT").lower(): f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self.backends = Backends(self.url["prometheus"], self.url["loki"], self.url["tempo"])
        self.images = self._images()
        self.missing = {name for name, image in self.images.items() if not self._available(image)}

    def run(self, *arguments: str, timeout: float = 600, check: bool = True, **environment: str) -> str:
        """Run ``docker compose ARGUMENTS``. Returns its output. Raises AssertionError with the output if it fails."""
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=ROOT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
        return done.stdout

    def config(self) -> dict[str, Any]:
        """The compose file with all variables replaced."""
        config: dict[str, Any] = json.loads(self.run("config", "--format", "json"))
        return config

    def _images(self) -> dict[str, str]:
        return {name: service["image"] for name, service in self.config()["services"].items() if "image" in service}

    @staticmethod
    def _available(image: str) -> bool:
        if subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode == 0:
            return True
        return subprocess.run(["docker", "pull", "--quiet", image], capture_output=True, timeout=600).returncode == 0

    def up(self, *services: str, **environment: str) -> None:
        """Start services (by default all that have an image), and wait until they are healthy."""
        if not services and not self.missing:
            self.run("up", "--detach", "--build", **environment)
            self.wait(**environment)
            return
        for name in services or SERVICES:
            if name not in self.missing:
                self.run(
                    "up",
                    "--detach",
                    "--no-deps",
                    *(["--build"] if name in ("payments", "shop", "worker", "load") else []),
                    name,
                    **environment,
                )
                self.wait(name, **environment)

    def wait(self, *services: str, **environment: str) -> None:
        """Wait until services are healthy. `queue-owner` only has to end."""
        names = [name for name in services or SERVICES if name not in self.missing and name != "queue-owner"]
        if names:
            self.run("up", "--detach", "--no-deps", "--no-recreate", "--wait", *names, **environment)

    def down(self) -> None:
        """Stop everything, and remove the volumes."""
        self.run("down", "--volumes", "--timeout", "5", check=False)

    def logs(self, *services: str) -> str:
        """The output of services."""
        return self.run("logs", "--no-color", *services)

    def memory(self) -> dict[str, float]:
        """The memory of each service, in MiB."""
        ids = self.run("ps", "--quiet").split()
        rows = subprocess.run(
            ["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *ids],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        units = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}
        used = {}
        for row in rows:
            name, amount = row.split()[:2]
            unit = next(unit for unit in units if amount.endswith(unit))
            used[name.removeprefix(f"{PROJECT}-").rpartition("-")[0]] = float(amount.removesuffix(unit)) * units[unit]
        return used
