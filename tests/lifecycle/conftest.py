"""One database for all histories of a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Server
from tests.lifecycle.ground import Ground, a_ground


@pytest.fixture(scope="session")
def ground(server: Server, migrated: tuple[str, Path]) -> Iterator[Ground]:
    with a_ground(server, migrated[0]) as ground:
        yield ground
