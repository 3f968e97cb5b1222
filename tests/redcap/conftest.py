"""The simulator and a client for it; waits are noted, not waited for."""

from collections.abc import Iterator

import pytest

from processors.demo.simulator import Project, Simulator, standard_projects
from processors.redcap import NoRateLimit, Redcap


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(projects=standard_projects()) as running:
        yield running


@pytest.fixture
def incoming(simulator: Simulator) -> Project:
    return simulator.projects["incoming"]


@pytest.fixture
def waits() -> list[float]:
    """The waits before repeated reads."""
    return []


@pytest.fixture
def client(simulator: Simulator, waits: list[float]) -> Iterator[Redcap]:
    tokens = {name: project.token for name, project in simulator.projects.items()}
    with Redcap(url=simulator.url, tokens=tokens, rate_limit=NoRateLimit(), sleep=waits.append) as client:
        yield client
