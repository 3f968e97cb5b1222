"""Projections made anew from the events, and how one notices that they should be."""

from sqlalchemy import Connection, text

from ledger.batching import Progress
from ledger.database import Database
from ledger.projector import Projector
from processors.events.types import EventType
from processors.projections import PROJECTIONS

# An event of this type leaves a row in the table for ever: with such an event, the table is not empty.
_NEVER_EMPTY_AGAIN = (
    ("studies", "gateway.study", EventType.SERIES_DISCOVERED),
    ("studies", "gateway.series", EventType.SERIES_DISCOVERED),
    ("directives", "gateway.rule", EventType.ROUTING_RULE_CHANGED),
    ("directives", "gateway.coupling_entry", EventType.COUPLING_ENTRY_CHANGED),
    ("transfers", "gateway.transfer", EventType.TRANSFER_REQUESTED),
    ("transfers", "gateway.decision", EventType.DECISIONS_MADE),
    ("pseudonyms", "gateway.autoid_project", EventType.AUTOID_PROJECT_CHANGED),
    ("pseudonyms", "gateway.used_id", EventType.ID_GENERATED),
    ("pseudonyms", "gateway.observed_transfer", EventType.TRANSFER_OBSERVED),
    ("adopted", "gateway.adopted_study", EventType.STUDY_ADOPTED),
    ("adopted", "gateway.moved_in", EventType.ADOPTION_COMPLETED),
)


def emptied_tables(connection: Connection) -> list[tuple[str, str]]:
    """Projections with a table of theirs that somebody has emptied by hand: nothing of the program does so.

    Quick enough to be asked at any time: only where a table is empty are the events looked at. Rows
    changed by hand are found by `ledger.verification.compare`.
    """
    return [
        (projection, table)
        for projection, table, type_ in _NEVER_EMPTY_AGAIN
        if connection.execute(text(_EMPTIED.format(table)), {"projection": projection, "type": type_}).scalar_one()
    ]


_EMPTIED = """
    select case when exists (select from {}) then false
                else exists (select from ledger.event
                              where type = :type
                                and position <= (select checkpoint from ledger.projection where name = :projection))
           end
"""


def rebuild(database: Database, names: list[str], progress: Progress | None = None) -> int:
    """Empties the projections of these names and applies all events again; gives the number of events read.

    To be called within `locks.no_runs`: a run that has begun reads its tables as they were then.
    """
    return Projector(PROJECTIONS).rebuild(database.begin, *names, progress=progress)
