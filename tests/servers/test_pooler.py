"""The tests behind a transaction pooler once more, behind PgBouncer, where it is installed."""

# ruff: noqa: F403 - all tests and fixtures of that module, whatever they are called

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.conftest import Server
from tests.ledger.test_pooler import *
from tests.servers import pgbouncer

pytestmark = pytest.mark.skipif(pgbouncer.INSTALLED is None, reason="no pgbouncer")


@pytest.fixture(scope="module")  # type: ignore[no-redef]  # instead of the stand-in
def pooler_folder(server: Server) -> Iterator[str]:
    """The folder with the socket of PgBouncer before the server."""
    with pgbouncer.standing_before(parse_qs(urlsplit(server.url).query)["host"][0]) as folder:
        yield folder
