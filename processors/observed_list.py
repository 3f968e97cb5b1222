"""Comparing a list that people keep in REDCap with what the ledger holds of it.

REDCap can leave records out of an export without a word. So a record that is missing is *doubted* at first:
what it said stands, and nothing is decided because of it, until another run's export misses it as well.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import text

from ledger import store
from processors.events.fact import Fact
from processors.gateway import Gateway, Work


class Known(NamedTuple):
    """A record as the ledger last saw it: the keyed hash of its content, and whether it was removed since.

    `doubt` is the event that tells that it is missing, `doubted_by` the run that found so.
    """

    fingerprint: str
    removed: bool = False
    doubt: int | None = None
    doubted_by: UUID | None = None


class _OfRecord(Protocol):
    """A type of event that holds nothing but a record id."""

    def __call__(self, *, record_id: str) -> Fact: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The record ids in which an export differs from the ledger.

    `changed`: new, or reading otherwise. `returned`: doubted, and there again as they were. `newly_doubted` are
    missing for the first time, `removed` for the second; `doubted` are all that are missing and not removed.
    """

    changed: Sequence[str]
    returned: Sequence[str]
    newly_doubted: Sequence[str]
    removed: Sequence[str]
    doubted: Sequence[str]

    def facts(self, *, doubted: _OfRecord, returned: _OfRecord, removed: _OfRecord) -> list[Fact]:
        """What is to be recorded of them, but for changes."""
        told = ((doubted, self.newly_doubted), (returned, self.returned), (removed, self.removed))
        return [fact(record_id=record) for fact, records in told for record in records]


def head(gateway: Gateway) -> int:
    """The ledger's newest position: to be asked before an export, which can confirm no later doubt."""
    with gateway.begin() as work:
        return store.head(work.connection).position


def compared(work: Work, table: str, fingerprints: Mapping[str, str], *, asked_at: int) -> Comparison:
    """An export, by the `fingerprints` of its records, against `table`, which is one of the gateway's own.

    `asked_at` is the ledger's head before the export. An export confirms a doubt only where it began after the
    doubt was recorded, and in another run: what one run misses twice is still one slip of REDCap.
    """
    known = _known_records(work, table, fingerprints)
    missing = {record: state for record, state in known.items() if record not in fingerprints and not state.removed}
    removed = {record for record, state in missing.items() if _is_confirmed(state, work.gateway.run, asked_at)}
    unchanged = {record for record, print_ in fingerprints.items() if _stands(known.get(record), print_)}
    return Comparison(
        changed=[record for record in fingerprints if record not in unchanged],
        returned=[record for record in fingerprints if record in unchanged and known[record].doubt is not None],
        newly_doubted=[record for record, state in missing.items() if state.doubt is None],
        removed=sorted(removed),
        doubted=[record for record in missing if record not in removed],
    )


def _known_records(work: Work, table: str, exported: Collection[str]) -> dict[str, Known]:
    """The records in force, and those removed that are exported again: in years, they are many."""
    rows = work.execute(
        text(f"""
            with known as (
                 select record_id, fingerprint, removed, doubted_position from {table} where not removed
                 union all
                 select record_id, fingerprint, removed, doubted_position from {table}
                  where record_id = any(:exported) and removed)
            select record_id, fingerprint, removed, doubted_position, doubt.run
              from known left join ledger.event as doubt on doubt.position = doubted_position
        """),
        {"exported": list(exported)},
    )
    return {row.record_id: Known(row.fingerprint, row.removed, row.doubted_position, row.run) for row in rows}


def _is_confirmed(state: Known, run: UUID, asked_at: int) -> bool:
    return state.doubt is not None and state.doubt <= asked_at and state.doubted_by != run


def _stands(state: Known | None, fingerprint: str) -> bool:
    return state is not None and not state.removed and state.fingerprint == fingerprint
