"""The stack is started once for all its tests. What is missing is skipped with a reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.conftest import app_dir, serve
from tests.stack.backends import Backends
from tests.stack.compose import Stack, docker_missing

# Fixtures of the integration tests, for apps that send to the stack.
__all__ = ["app_dir", "serve"]


@pytest.fixture(scope="session")
def docker() -> None:
    """Docker with Compose v2, or a skip with the reason."""
    reason = docker_missing()
    if reason:
        pytest.skip(f"the stack needs Docker with Compose v2: {reason}")


@pytest.fixture(scope="session")
def whole_stack(docker: None) -> Iterator[Stack]:
    """The bundle, started; some services may be missing."""
    stack = Stack()
    stack.down()
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture
def stack(whole_stack: Stack, request: pytest.FixtureRequest) -> Stack:
    """The bundle. A test names the services that it needs by ``@pytest.mark.needs("tempo", …)``."""
    needed = ["prometheus", "loki", "collector"]
    for mark in request.node.iter_markers("needs"):
        needed += mark.args
    lacking = sorted(whole_stack.missing.intersection(needed))
    if lacking:
        pytest.skip(f"no image can be had for {', '.join(f'{name} ({whole_stack.images[name]})' for name in lacking)}")
    return whole_stack


@pytest.fixture
def backends(stack: Stack) -> Backends:
    """Their HTTP APIs."""
    return stack.backends
