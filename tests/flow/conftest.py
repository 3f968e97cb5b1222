"""A site for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SettableClock
from tests.flow.harness import Site, standard_simulator

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[MakeSite]:
    """Makes the test's site, with settings of its own."""
    with ExitStack() as stack:

        def make(*, separate_transfers: bool = False, with_withdrawals: bool = False, **settings: Any) -> Site:
            redcap = standard_simulator(clock, separate_transfers=separate_transfers, with_withdrawals=with_withdrawals)
            simulator = stack.enter_context(redcap)
            site = Site(
                folder=tmp_path,
                database_url=database_url,
                key_file=key_file,
                clock=clock,
                simulator=simulator,
                **settings,
            )
            stack.callback(site.close)
            return site

        yield make


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site()
