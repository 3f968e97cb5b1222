"""How long somebody waits for the first byte of a page, over a ledger of many studies, most of them sent long ago."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import text
from starlette.testclient import TestClient

from ledger.vault import Vault, initialise
from processors.configuration.file import parse
from processors.gateway import Gateway
from processors.web.app import Site
from tests.benchmarks.bench_audit import add_runs, fill, vacuum
from tests.benchmarks.rows import Row, at_most, row, sized
from tests.benchmarks.site import fresh_database, running_server
from tests.benchmarks.years import age
from tests.conftest import SettableClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ledger.database import Database

STUDIES = sized(100_000)
EVENTS = sized(100_000)
"""Those of the last 30 days."""
DAYS = 30
ENTRIES = 1_000
"""Coupling entries in force: a study page finds its own among them."""
OVERVIEW_MS, COUNTED_MS, STUDY_MS = 200, 2_000, 100
WAITING = 100
"""Studies of which series wait to be written."""
_TIMES = 9
_CONFIGURATION = """
[redcap]
url = "https://redcap.example/api/"
tokens = { incoming = "a", coupling = "b", routing = "c" }
"""


def run() -> list[Row]:
    """What was measured."""
    with running_server() as (server, folder), fresh_database(server) as database:
        study = _fill(database, folder)
        with _client(database, folder) as client:
            counted = [_first_byte(client, "/")]
            overview, explained = (_first_bytes(client, page) for page in ("/", f"/study?uid={study}"))
    what = f"{STUDIES:,} studies, {EVENTS:,} events in {DAYS} days"
    return [
        row(f"page: overview while all is counted, {what}", counted, "ms", "limit", COUNTED_MS, at_most(1)),
        row(f"page: overview, {what}", overview, "ms", "limit", OVERVIEW_MS, at_most(1)),
        row(f"page: a study, {what}", explained, "ms", "limit", STUDY_MS, at_most(1)),
    ]


def _fill(database: Database, folder: Path) -> str:
    """Fills the ledger, and names a study that something was requested for."""
    with database.begin() as connection:
        initialise(connection, folder / "vault.key")
    fill(database, EVENTS, days=DAYS)
    add_runs(database)
    with database.begin() as connection:
        # As many attempts at runs as a month leaves, not those of years.
        age(connection, studies=STUDIES, entries=1_000, runs=0, called="FIONA", project="P1")
        connection.execute(_OLD_ENTRIES, {"kept": ENTRIES})
        connection.execute(_DELIVERED, {"waiting": WAITING})
        connection.execute(_RUNS)
        study = connection.execute(text("select max(study) from gateway.transfer where position > 0")).scalar_one()
    vacuum(database)
    return str(study)


_OLD_ENTRIES = text("""
    update gateway.coupling_entry set removed = true
     where record_id not in (select record_id from gateway.coupling_entry order by position desc limit :kept)
""")
# A gateway that does its work: what arrived last waits to be written, and every run got through.
_DELIVERED = text("""
    update gateway.series set delivered_position = position
     where study not in (select study from gateway.study order by arrived_at desc limit :waiting)
""")
_RUNS = text("""
    update gateway.run set finished_at = started_at + interval '20 seconds',
           summary = '{"events": 1, "calls": 1, "discovery": {"warning": null}}'
""")


@contextmanager
def _client(database: Database, folder: Path) -> Iterator[TestClient]:
    with database.begin() as connection:
        vault = Vault.open(connection, folder / "vault.key")
    clock = SettableClock()
    clock.now = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=DAYS, hours=6)
    gateway = Gateway(database=database, vault=vault, site="main", clock=clock, run=uuid4())
    configuration = parse(_CONFIGURATION, "the benchmark's configuration")
    site = Site(gateway, configuration, unrecorded=lambda: None, told=str)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with TestClient(site.application(), base_url="http://127.0.0.1") as client:
        yield client


def _first_bytes(client: TestClient, page: str) -> list[float]:
    """How long each of several answers takes, in milliseconds, after one that nobody waits for."""
    _first_byte(client, page)
    return [_first_byte(client, page) for _ in range(_TIMES)]


def _first_byte(client: TestClient, page: str) -> float:
    begun = perf_counter()
    client.get(page).raise_for_status()
    return 1000 * (perf_counter() - begun)
