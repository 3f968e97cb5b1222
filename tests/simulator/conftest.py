from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redcap.request
import requests
from redcap.project import Project as Client

from processors.demo.simulator import Project, Simulator, standard_projects

Post = Callable[..., requests.Response]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(projects=standard_projects()) as running:
        yield running
    # PyCap keeps one session for the whole process; its connections to this server are of no use any more.
    redcap.request._session.close()


@pytest.fixture
def incoming(simulator: Simulator) -> Project:
    return simulator.projects["incoming"]


@pytest.fixture
def client(simulator: Simulator, incoming: Project) -> Client:
    return Client(simulator.url, incoming.token)


@pytest.fixture
def post(simulator: Simulator, incoming: Project) -> Post:
    """Calls the API with the token of Incoming, `content=record` and json unless told otherwise."""

    def call(**parameters: str) -> requests.Response:
        start = {"token": incoming.token, "content": "record", "format": "json"}
        return requests.post(simulator.url, data={**start, **parameters}, timeout=10)

    return call


@pytest.fixture
def study(incoming: Project) -> str:
    """A study with two series and one transfer."""
    incoming.put(
        [
            {"study_instance_uid": "1.1", "study_description": "HEAD, plain", "incoming_studies_complete": 2},
            {**instance("1.1", "series", 1), "series_instance_uid": "1.1.1", "series_complete": 2},
            {**instance("1.1", "series", 2), "series_instance_uid": "1.1.2", "series_num_files": 7},
            {**instance("1.1", "transfers", 1), "transfer_name": "P001", "transfer_error___2": 1},
        ]
    )
    return "1.1"


def instance(record: str, instrument: str, number: int | str) -> dict[str, object]:
    return {
        "study_instance_uid": record,
        "redcap_repeat_instrument": instrument,
        "redcap_repeat_instance": number,
    }
