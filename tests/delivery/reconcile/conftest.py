"""A site, and the comparison of its REDCap with its ledger."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from ledger.database import Database
from ledger.vault import Vault
from processors.delivery.delivered import Delivered
from processors.delivery.reconcile.compare import Reconciled, reconcile
from processors.delivery.reconcile.diff import Difference
from processors.delivery.reconcile.scope import Scope
from processors.delivery.reconcile.settle import accept, restore
from processors.gateway import Gateway
from processors.redcap import Redcap
from tests.flow.conftest import MakeSite, make_site, site
from tests.flow.harness import ZONE, Site, Steps

__all__ = ["MakeSite", "make_site", "site"]


class Told(NamedTuple):
    """A difference as tests read it."""

    study: str
    kind: str
    what: str
    key: str = ""
    instance: int | None = None
    fields: tuple[str, ...] = ()


class Reconciler:
    """What an operator does at a site."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @contextmanager
    def opened(self, steps: Steps | None = None) -> Iterator[tuple[Gateway, Redcap]]:
        database = Database(self.site.database_url)
        try:
            with database.begin() as connection:
                vault = Vault.open(connection, self.site.key_file)
            gateway = Gateway(
                database=database, vault=vault, site="main", clock=self.site.clock, run=uuid4(), zone=ZONE
            )
            with Redcap(
                url=self.site.simulator.url,
                tokens=self.site.tokens,
                rate_limit=steps or Steps(),
                sleep=lambda _seconds: None,
                timeout_seconds=10,
            ) as redcap:
                yield gateway, redcap
        finally:
            database.close()

    def found(self, **scope: Any) -> Reconciled:
        with self.opened() as (gateway, redcap):
            return reconcile(gateway, redcap, Scope(**scope))

    def told(self, **scope: Any) -> list[Told]:
        return [told(different) for different in self.found(**scope).differences]

    def restore(self, steps: Steps | None = None, *, closed: Collection[str] = ()) -> Delivered:
        with self.opened(steps) as (gateway, redcap):
            differences = reconcile(gateway, redcap, Scope(), closed=closed).differences
            return restore(gateway, redcap, differences, batch_rows=self.site.batch_rows)

    def accept(self) -> None:
        with self.opened() as (gateway, redcap):
            differences = reconcile(gateway, redcap, Scope()).differences
            accept(gateway, differences, by="admin", reason="it is so")


def told(different: Difference) -> Told:
    return Told(different.study, different.kind, different.what, different.key, different.instance, different.fields)


def kinds(found: Sequence[Told]) -> list[tuple[str, str]]:
    return [(different.kind, different.what) for different in found]


@pytest.fixture
def reconciler(site: Site) -> Reconciler:
    return Reconciler(site)
