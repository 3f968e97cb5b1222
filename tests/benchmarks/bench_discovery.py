"""From a tree of new summaries to events and tables, against raw COPY of the rows that come of it."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from processors.source.discover import discover
from tests.benchmarks import tree
from tests.benchmarks.events import COPY_IN, batches_of_rows, make_raw_table
from tests.benchmarks.rows import Row, at_least, in_turn, row, sized
from tests.benchmarks.site import running_server, site

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.database import Database
    from tests.conftest import Server

SERIES = sized(100_000, least=20_000)


def run() -> list[Row]:
    """What was measured."""
    with running_server() as (server, folder):
        raw = folder / "raw"
        tree.lay_out(raw, SERIES)
        with site(server, folder, raw=raw) as kept:
            discover(kept.gateway(), raw=raw, settle_seconds=60)
            copied, ours = in_turn(lambda: _copied(kept.database), lambda: _discovered(server, folder, raw))
    what = f"discovery to ledger, {SERIES:,} new series, projections included"
    return [row(what, ours, "series/s", "raw COPY of the same rows", copied, at_least(0.18))]


def _discovered(server: Server, folder: Path, raw: Path) -> float:
    with site(server, folder, raw=raw) as fresh:
        gateway = fresh.gateway()
        gateway.catch_up()
        begun = perf_counter()
        found = discover(gateway, raw=raw, settle_seconds=60)
        return found.discovered / (perf_counter() - begun)


def _copied(database: Database) -> float:
    with database.begin() as connection:
        make_raw_table(connection)
        rows = list(batches_of_rows(connection))
    begun = perf_counter()
    for batch in rows:
        with database.begin() as connection, connection.connection.cursor().copy(COPY_IN) as copy:
            copy.write(batch)
    return SERIES / (perf_counter() - begun)
