"""Comparing a list that people keep in REDCap with what the ledger holds of it.

REDCap can leave records out of an export without a word. So a record that is missing is *doubted* at first:
what it said stands, and nothing is decided because of it, until another run's export misses it as well.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import TextClause, text

from processors import bounds
from processors.events.fact import Fact
from processors.events.rules import RecordReadable, RecordUnreadable
from processors.gateway import Gateway, Work
from processors.redcap import Project, Redcap


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
    missing for the first time, `removed` for the second; `doubted` are all that are missing and not removed. Those set
    `apart` are as told by an event that could not be kept: they count as unreadable.
    """

    changed: Sequence[str]
    returned: Sequence[str]
    newly_doubted: Sequence[str]
    removed: Sequence[str]
    doubted: Sequence[str]
    apart: frozenset[str]

    def facts(self, *, doubted: _OfRecord, returned: _OfRecord, removed: _OfRecord) -> list[Fact]:
        """What is to be recorded of them, but for changes."""
        kinds = ((doubted, self.newly_doubted), (returned, self.returned), (removed, self.removed))
        return [fact(record_id=record) for fact, records in kinds for record in records]


class Before(NamedTuple):
    """What the ledger holds before lists are exported, which has to be asked first.

    `head` is its newest position: an export can confirm no doubt that was recorded later. `unreadable` are the
    records that REDCap could not answer for the last time, by project.
    """

    head: int
    unreadable: Mapping[str, Collection[str]]


def before_exports(work: Work) -> Before:
    """What an export of a list, or several, is to be compared with."""
    rows = work.execute(_BEFORE, {"site": work.site}).all()
    unreadable = defaultdict(set)
    for row in rows:
        if row.record_id is not None:
            unreadable[row.project].add(row.record_id)
    return Before(rows[0].head, unreadable)


_BEFORE = text("""
    select head.position as head, project, record_id
      from ledger.head left join gateway.unreadable_record on site = :site
""")


def listed_project(gateway: Gateway, redcap: Redcap, name: str, needed: Collection[str], before: Before) -> Project:
    """The REDCap project of a list, to be read without the records that REDCap cannot answer for."""
    unreadable = before.unreadable.get(name, ())
    return Project(redcap, name, gateway.looked_up, gateway.clock, needed=needed, unreadable=unreadable)


def tell_unreadable(work: Work, project: Project, *, read: Collection[str] | None = None) -> None:
    """Records which records of an export REDCap cannot answer for now, as far as it is new.

    `read` are those that it was about, None for all.
    """
    known = project.known_unreadable
    unreadable = {bounds.name(record): bounds.cut(text, bounds.NAME) for record, text in project.unreadable.items()}
    new: list[Fact] = [
        RecordUnreadable(redcap_project=project.name, record_id=record, message=message)
        for record, message in unreadable.items()
        if record not in known
    ]
    over = [record for record in sorted(known) if record not in unreadable and (read is None or record in read)]
    work.record([*new, *(RecordReadable(redcap_project=project.name, record_id=record) for record in over)])


def compared(
    work: Work, table: str, fingerprints: Mapping[str, str], *, asked_at: int, unreadable: Collection[str] = ()
) -> Comparison:
    """An export, by the `fingerprints` of its records, against `table`, which is one of the gateway's own.

    `asked_at` is the ledger's head before the export. An export confirms a doubt only where it began after the
    doubt was recorded, and in another run: what one run misses twice is still one slip of REDCap. Records that are
    `unreadable` are missing from it without being gone.
    """
    known, told_apart = _known_records(work, table, fingerprints)
    missing = {record: state for record, state in known.items() if record not in fingerprints and not state.removed}
    removed = {
        record
        for record, state in missing.items()
        if record not in unreadable and _is_confirmed(state, work.gateway.run, asked_at)
    }
    unchanged = {record for record, print_ in fingerprints.items() if _stands(known.get(record), print_)}
    apart = _among(told_apart, fingerprints)
    return Comparison(
        changed=[record for record in fingerprints if record not in unchanged | apart],
        returned=[record for record in fingerprints if record in unchanged and known[record].doubt is not None],
        newly_doubted=[record for record, state in missing.items() if state.doubt is None],
        removed=sorted(removed),
        doubted=[record for record in missing if record not in removed],
        apart=apart,
    )


def set_apart(work: Work, fingerprints: Mapping[str, str]) -> frozenset[str]:
    """The records of an export that are as told by an event that could not be kept."""
    return _among({(row.record_id, row.fingerprint) for row in work.execute(_SET_APART)}, fingerprints)


def _among(told_apart: Collection[tuple[str, str]], fingerprints: Mapping[str, str]) -> frozenset[str]:
    return frozenset(record for record, print_ in fingerprints.items() if (record, print_) in told_apart)


_TOLD_APART = """
    from ledger.set_apart join ledger.event using (position)
   where mended_position is null and data ->> 'fingerprint' is not null
"""
_SET_APART = text(f"select data ->> 'record_id' as record_id, data ->> 'fingerprint' as fingerprint {_TOLD_APART}")


@cache
def _known_in(table: str) -> TextClause:
    """The records in force, and those removed that are exported again: in years, they are many. And those set apart."""
    return text(f"""
        with known as (
             select record_id, fingerprint, removed, doubted_position from {table} where not removed
             union all
             select record_id, fingerprint, removed, doubted_position from {table}
              where record_id = any(:exported) and removed)
        select record_id, fingerprint, removed, doubted_position, doubt.run, false as is_apart
          from known left join ledger.event as doubt on doubt.position = doubted_position
        union all
        select data ->> 'record_id', data ->> 'fingerprint', null, null, null, true {_TOLD_APART}
    """)


def _known_records(work: Work, table: str, exported: Collection[str]) -> tuple[dict[str, Known], set[tuple[str, str]]]:
    """What the ledger holds of the records, and what records say by events that are set apart."""
    known, told_apart = {}, set()
    for row in work.execute(_known_in(table), {"exported": list(exported)}):
        if row.is_apart:
            told_apart.add((row.record_id, row.fingerprint))
        else:
            known[row.record_id] = Known(row.fingerprint, row.removed, row.doubted_position, row.run)
    return known, told_apart


def _is_confirmed(state: Known, run: UUID, asked_at: int) -> bool:
    return state.doubt is not None and state.doubt <= asked_at and state.doubted_by != run


def _stands(state: Known | None, fingerprint: str) -> bool:
    return state is not None and not state.removed and state.fingerprint == fingerprint
