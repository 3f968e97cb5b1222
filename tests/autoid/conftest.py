"""A site for each test, with one auto-ID project unless the test makes others."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.autoid.sites import AutoidSite
from tests.conftest import SettableClock
from tests.flow.harness import standard_simulator

MakeSite = Callable[..., AutoidSite]


@pytest.fixture
def make_site(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[MakeSite]:
    """Makes the test's site."""
    with ExitStack() as stack:

        def make(*, separate_transfers: bool = False, with_withdrawals: bool = False, **settings: Any) -> AutoidSite:
            simulator = stack.enter_context(
                standard_simulator(clock, separate_transfers=separate_transfers, with_withdrawals=with_withdrawals)
            )
            site = AutoidSite(
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
def site(make_site: MakeSite) -> AutoidSite:
    """A site whose only auto-ID project is usable."""
    made = make_site()
    made.project()
    return made
