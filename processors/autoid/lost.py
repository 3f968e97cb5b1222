"""Drawn IDs that somebody has deleted from AutoID or written over: other programs would draw second ones."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import text

from processors.autoid.adoption import adopt
from processors.autoid.entries import AutoidEntry, entries_from_rows
from processors.autoid.store import store_ids, undelivered_ids
from processors.delivery.reconcile.diff import Difference
from processors.events.pseudonyms import IdGenerated, IdMissing
from processors.gateway import Gateway
from processors.locks import in_turn
from processors.observed_list import before_exports, listed_project
from processors.redcap import Redcap
from processors.redcap.needed import LISTS
from processors.text import same_to_people

_TAKEN = "Another entry says otherwise of this patient or ID: correct or delete it in REDCap first."

# Of a forgotten patient the entry is to be gone.
_STORED = text("""
    select position, record_id from gateway.used_id join ledger.subject using (subject)
     where used_id.kind = 'generated' and record_id is not null and wrapped_key is not null
       and (cast(:project as text) is null or project = :project)
     order by position
""")


class LostId(NamedTuple):
    """A drawn ID that AutoID held: by the position at which it was drawn, and how it is told."""

    position: int
    fact: IdMissing
    difference: Difference


class ComparedIds(NamedTuple):
    """How many drawn IDs AutoID should hold, and those that it does not."""

    stored: int
    lost: Sequence[LostId]


def compare_ids(gateway: Gateway, redcap: Redcap, project: str | None = None) -> ComparedIds:
    """AutoID beside the drawn IDs that were stored there, of one research project or of all.

    Entries that REDCap cannot answer for are not missed.
    """
    with gateway.begin() as work:
        before = before_exports(work)
    autoid = listed_project(gateway, redcap, "autoid", LISTS["autoid"], before)
    entries = entries_from_rows(autoid.export_list())
    with gateway.begin() as work:
        stored = {row.position: row.record_id for row in work.execute(_STORED, {"project": project})}
        identities = work.identities(list(stored))
    held = [
        (position, IdGenerated.read(*identities[position]), record)
        for position, record in stored.items()
        if record not in autoid.unreadable
    ]
    return ComparedIds(len(stored), list(_lost(held, entries)))


def store_again(gateway: Gateway, redcap: Redcap, lost: Sequence[LostId]) -> int:
    """Stores those in AutoID again that no other entry contradicts, under new record ids; gives how many it took."""
    again = {each.position: each.fact for each in lost if not each.difference.note}
    with in_turn(gateway, "autoid"):
        entries = adopt(gateway, redcap)
        with gateway.begin() as work:
            work.record(again.values())
        store_ids(gateway, redcap, entries)
    return len(again.keys() - set(undelivered_ids(gateway)))


def _lost(held: Iterable[tuple[int, IdGenerated, str]], entries: Sequence[AutoidEntry]) -> Iterator[LostId]:
    there = {(entry.project, entry.key, entry.value) for entry in entries}
    # An entry of which something is blanked gives nobody an ID.
    keys = {(entry.project, entry.key) for entry in entries if entry.is_complete}
    values = {(entry.project, same_to_people(entry.value)) for entry in entries if entry.is_complete}
    by_record = {entry.record_id: entry for entry in entries}
    for position, drawn, record in held:
        # Forgotten meanwhile, or stored under whichever record id.
        if not (drawn.key and drawn.value) or (drawn.project, drawn.key, drawn.value) in there:
            continue
        entry = by_record.get(record)
        is_taken = (drawn.project, drawn.key) in keys or (drawn.project, same_to_people(drawn.value)) in values
        yield LostId(
            position,
            IdMissing(project=drawn.project, fingerprint=drawn.fingerprint),
            Difference(
                study="",
                kind="generated ID",
                what="deleted" if entry is None else "changed",
                key=record,
                fields=() if entry is None else _different_fields(drawn, entry),
                note=_TAKEN if is_taken else "",
            ),
        )


def _different_fields(drawn: IdGenerated, entry: AutoidEntry) -> tuple[str, ...]:
    pairs = {
        "autoid_project_name": (drawn.project, entry.project),
        "autoid_hash": (drawn.key, entry.key),
        "autoid_value": (drawn.value, entry.value),
    }
    return tuple(name for name, (ours, theirs) in pairs.items() if ours != theirs)
