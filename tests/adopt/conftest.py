"""A site beside whose REDCap others have worked for years."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.adopt.commands import Command, adopted_command
from tests.adopt.sites import AdoptingSite
from tests.conftest import SettableClock
from tests.flow.harness import standard_simulator


@pytest.fixture
def site(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[AdoptingSite]:
    with ExitStack() as stack:
        yield _made(stack, database_url, key_file, clock, tmp_path)


@pytest.fixture
def command(site: AdoptingSite, tmp_path: Path) -> Command:
    return adopted_command(site, tmp_path)


@pytest.fixture
def apart(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[AdoptingSite]:
    """One whose transfers have a REDCap project of their own."""
    with ExitStack() as stack:
        yield _made(stack, database_url, key_file, clock, tmp_path, separate_transfers=True)


def _made(
    stack: ExitStack,
    database_url: str,
    key_file: Path,
    clock: SettableClock,
    folder: Path,
    *,
    separate_transfers: bool = False,
) -> AdoptingSite:
    simulator = stack.enter_context(standard_simulator(clock, separate_transfers=separate_transfers))
    site = AdoptingSite(folder=folder, database_url=database_url, key_file=key_file, clock=clock, simulator=simulator)
    stack.callback(site.close)
    return site
