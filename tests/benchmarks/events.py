"""Events like those of a first run, to be appended and read by us and by others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import text

from processors.events.series import SeriesDiscovered
from processors.source import summary
from tests.benchmarks import tree
from tests.facts import in_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from ledger.events import NewEvent

BATCH = 5_000
_SEALED_BYTES = 250


def new_events(count: int) -> list[NewEvent]:
    """So many discovered series, each with a sealed part as long as a real one."""
    return [_new_event(made) for made in tree.summaries(count)]


def _new_event(made: tree.Made) -> NewEvent:
    found = summary.parse(made.content, study=made.study, series=made.series)
    arrived = SeriesDiscovered(
        **found.data,
        accession=str(UUID(int=2)),
        fingerprint="0" * 32,
        study_fingerprint="2" * 32,
        identity_fingerprint="1" * 32,
    )
    return in_plain(arrived, subject=UUID(int=1), sealed=os.urandom(_SEALED_BYTES))


def batches_of_rows(connection: Connection) -> Iterator[bytes]:
    """All events of the ledger as binary COPY takes them, in batches."""
    (last,) = connection.execute(text("select position from ledger.head")).one()
    for first in range(1, last + 1, BATCH):
        with connection.connection.cursor().copy(
            "copy (select * from ledger.event where position between %s and %s order by position)"
            " to stdout (format binary)",
            (first, first + BATCH - 1),
        ) as copy:
            yield b"".join(bytes(part) for part in copy)


COPY_IN = "copy raw.event from stdin (format binary)"
"""Into a table like the ledger's, with all its constraints and indexes, but without anybody's code."""


def make_raw_table(connection: Connection) -> None:
    """An empty table like the ledger's."""
    connection.execute(text("drop schema if exists raw cascade"))
    connection.execute(text("create schema raw"))
    connection.execute(text("create table raw.event (like ledger.event including all)"))
