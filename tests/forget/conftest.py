"""A site for each test, with one auto-ID project, that can forget."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Server, SettableClock
from tests.flow.harness import standard_simulator
from tests.forget.sites import PrivateSite

NewSite = Callable[[], PrivateSite]


@pytest.fixture
def site(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[PrivateSite]:
    with standard_simulator(clock) as simulator:
        site = PrivateSite(
            folder=tmp_path, database_url=database_url, key_file=key_file, clock=clock, simulator=simulator
        )
        site.project()
        yield site
        site.close()


@pytest.fixture
def new_site(server: Server, migrated: tuple[str, Path], tmp_path: Path) -> Iterator[NewSite]:
    """Makes a site with a ledger of its own, as often as a property wants one."""
    with ExitStack() as stack:

        def make() -> PrivateSite:
            name = stack.enter_context(server.fresh(template=migrated[0]))
            clock = SettableClock()
            simulator = stack.enter_context(standard_simulator(clock))
            folder = tmp_path / name
            folder.mkdir()
            site = PrivateSite(
                folder=folder,
                database_url=server.url_of(name),
                key_file=Path(shutil.copy(migrated[1], folder / "vault.key")),
                clock=clock,
                simulator=simulator,
            )
            stack.callback(site.close)
            site.project()
            return site

        yield make
