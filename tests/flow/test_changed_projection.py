"""A program that has changed makes tables anew that sites share: never under another site's run."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from sqlalchemy import text

from processors.errors import ServiceError
from processors.gateway import Gateway
from processors.locks import no_runs, only_run
from processors.run import Report, recorded_run
from tests.flow.conftest import MakeSite
from tests.flow.harness import Site
from tests.ledger.samples import opened


@pytest.fixture
def changed(make_site: MakeSite) -> Site:
    """A site whose tables were made by an older program, and marked so that one sees them made anew."""
    site = make_site()
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.query("update ledger.projection set code_version = 0 where name = 'transfers' returning name")
    site.query("update gateway.transfer set event_name = 'of old' returning position")
    return site


def remade(site: Site) -> bool:
    return site.query("select event_name from gateway.transfer") == [("",)]


@pytest.fixture
def other(gateway: Gateway, database_url: str) -> Iterator[Gateway]:
    """Another site's, on the same ledger."""
    with opened(database_url) as database:
        yield Gateway(
            database=database, vault=gateway.vault, site="other", clock=gateway.clock, run=uuid4(), zone=gateway.zone
        )


@contextmanager
def run_under_way(gateway: Gateway) -> Iterator[None]:
    with only_run(gateway) as busy, recorded_run(gateway, "run", Report()):
        assert busy is None
        yield


def test_the_sites_own_run_holds_nothing_up(changed: Site, gateway: Gateway) -> None:
    with only_run(gateway) as busy:
        assert busy is None
        gateway.catch_up()
    assert remade(changed)


def test_under_another_sites_run_nothing_is_emptied_and_that_is_said(changed: Site, other: Gateway) -> None:
    with run_under_way(other):
        with pytest.raises(ServiceError, match="found the run of site 'other' under way"):
            changed.run()
        assert not remade(changed)
    changed.run()
    assert remade(changed)
    changed.assert_sound()


@pytest.mark.usefixtures("changed")
def test_while_tables_are_made_anew_no_other_site_begins_though_nobody_has_heard_of_it(
    gateway: Gateway, other: Gateway
) -> None:
    found: list[bool] = []

    def look(_done: int, _total: int) -> None:
        with only_run(other) as busy:
            found.append(busy is None)

    gateway.catch_up(look)
    assert set(found) == {False}
    with only_run(other) as busy:
        assert busy is None


def test_whoever_keeps_all_runs_away_is_not_held_up_by_that(changed: Site, gateway: Gateway) -> None:
    with no_runs(gateway.database) as busy:
        assert busy is None
        gateway.catch_up(alone=True)
    assert remade(changed)


@pytest.mark.usefixtures("changed")
def test_where_nothing_has_changed_other_runs_are_no_matter(gateway: Gateway, other: Gateway) -> None:
    gateway.catch_up()
    with gateway.begin() as work:
        work.execute(text("update ledger.projection set checkpoint = 0 where name = 'problems'"))
    with run_under_way(other):
        assert gateway.catch_up() > 0
