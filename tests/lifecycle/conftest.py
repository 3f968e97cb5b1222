"""One database for all histories of a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Server
from tests.lifecycle.ground import Ground


@pytest.fixture(scope="session")
def ground(server: Server, migrated: tuple[str, Path]) -> Iterator[Ground]:
    with server.fresh(template=migrated[0]) as name:
        ground = Ground(server.url_of(name))
        yield ground
        ground.close()
