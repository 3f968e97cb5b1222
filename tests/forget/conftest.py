"""A site for each test, with one auto-ID project, that can forget."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.conftest import Server, SettableClock
from tests.flow.harness import standard_simulator
from tests.forget.sites import PrivateSite

NewSite = Callable[[], AbstractContextManager[PrivateSite]]


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
def new_site(server: Server, migrated: tuple[str, Path], tmp_path: Path) -> NewSite:
    """Makes a site with a ledger of its own, as often as a property wants one."""

    @contextmanager
    def made() -> Iterator[PrivateSite]:
        clock = SettableClock()
        with server.fresh(template=migrated[0]) as name, standard_simulator(clock) as simulator:
            folder = Path(tempfile.mkdtemp(dir=tmp_path))
            site = PrivateSite(
                folder=folder,
                database_url=server.url_of(name),
                key_file=Path(shutil.copy(migrated[1], folder / "vault.key")),
                clock=clock,
                simulator=simulator,
            )
            site.project()
            yield site
            site.close()

    return made
