"""Each test is done by all clients, against the simulator over HTTP."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from processors.demo.simulator import Project, Simulator, standard_projects
from tests.contract.clients import Client, Ours, PyCap, Redcaplite

CLIENTS: dict[str, Callable[..., Client]] = {"ours": Ours, "PyCap": PyCap, "redcaplite": Redcaplite}
MakeClient = Callable[..., Client]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(projects=standard_projects()) as running:
        yield running


@pytest.fixture
def incoming(simulator: Simulator) -> Project:
    return simulator.projects["incoming"]


@pytest.fixture(params=list(CLIENTS))
def make_client(request: pytest.FixtureRequest, simulator: Simulator) -> Iterator[MakeClient]:
    """Makes a client of the simulator, with other tokens than the right ones where some are given."""
    right = {name: project.token for name, project in simulator.projects.items()}
    with ExitStack() as stack:

        def make(**tokens: str) -> Client:
            client = CLIENTS[request.param](simulator, {**right, **tokens})
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client()
