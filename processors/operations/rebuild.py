"""Projections made anew from the events, and how one notices that they should be."""

from sqlalchemy import Connection, text

from ledger.batching import Progress
from ledger.database import Database
from ledger.projector import Projector
from processors.events.operations import AdoptionCompleted, StudyAdopted
from processors.events.pseudonyms import AutoidProjectChanged, IdGenerated
from processors.events.rules import CouplingEntryChanged, DecisionsMade, RoutingRuleChanged
from processors.events.series import SeriesDiscovered
from processors.events.transfers import TransferObserved, TransferRequested
from processors.projections import PROJECTIONS

# An event of this type leaves a row in the table for ever: with such an event, the table is not empty.
_NEVER_EMPTY_AGAIN = (
    ("studies", "gateway.study", SeriesDiscovered),
    ("studies", "gateway.series", SeriesDiscovered),
    ("directives", "gateway.rule", RoutingRuleChanged),
    ("directives", "gateway.coupling_entry", CouplingEntryChanged),
    ("transfers", "gateway.transfer", TransferRequested),
    ("transfers", "gateway.decision", DecisionsMade),
    ("pseudonyms", "gateway.autoid_project", AutoidProjectChanged),
    ("pseudonyms", "gateway.used_id", IdGenerated),
    ("pseudonyms", "gateway.observed_transfer", TransferObserved),
    ("adopted", "gateway.adopted_study", StudyAdopted),
    ("adopted", "gateway.moved_in", AdoptionCompleted),
)


def emptied_tables(connection: Connection) -> list[tuple[str, str]]:
    """Projections with a table of theirs that somebody has emptied by hand: nothing of the program does so.

    Quick enough to be asked at any time: only where a table is empty are the events looked at. Rows
    changed by hand are found by `ledger.verification.compare`.
    """
    return [(row.projection, row.emptied) for row in connection.execute(_EMPTIED)]


def is_ahead(connection: Connection) -> bool:
    """Whether the tables hold what follows from events that the ledger lacks: it was restored without them."""
    ahead: bool = connection.execute(_AHEAD).scalar_one()
    return ahead


# By the ends of indexes, as each run asks: where it was asked whether there is any row beyond the head, PostgreSQL went
# through all of them, taking a third to be.
_AHEAD = text("""
    select (greatest((select max(routed_position) from gateway.series), (select max(position) from gateway.transfer),
                     (select max(position) from gateway.notice), (select max(checkpoint) from ledger.projection))
            > head.position) is true
      from ledger.head
""")

# The types stand in it: a plan for any type, as PostgreSQL makes it for a statement that comes again, goes through all
# events for one that there is not.
_EMPTIED = text(
    " union all ".join(
        f"""
    select '{projection}' as projection, '{table}' as emptied
     where not exists (select from {table})
       and exists (select from ledger.event
                    where type = '{fact.__name__}'
                      and not exists (select from ledger.set_apart as apart
                                       where apart.projection = '{projection}'
                                         and apart.position = event.position and mended_position is null)
                      and position <= (select checkpoint from ledger.projection where name = '{projection}'))
"""
        for projection, table, fact in _NEVER_EMPTY_AGAIN
    )
)


def rebuild(database: Database, names: list[str], progress: Progress | None = None) -> int:
    """Empties the projections of these names and applies all events again; gives the number of events read.

    To be called within `locks.no_runs`: a run that has begun reads its tables as they were then. Where the tables were
    ahead of the ledger, the next run reads all summaries again: some that are known to have been read are not in it.
    """
    with database.begin() as connection:
        if is_ahead(connection):
            connection.execute(text("delete from gateway.file"))
            connection.execute(text("delete from gateway.folder"))
    return Projector(PROJECTIONS).rebuild(database.begin, *names, progress=progress)
