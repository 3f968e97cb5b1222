"""Comparing a list that people keep in REDCap with what the ledger holds of it."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import text

from processors.gateway import Work


class Known(NamedTuple):
    """A record as the ledger last saw it: the keyed hash of its content, and whether it was removed since."""

    fingerprint: str
    removed: bool


def known_records(work: Work, table: str) -> dict[str, Known]:
    """What the ledger holds of a list, by record id; `table` is one of the gateway's own."""
    rows = work.execute(text(f"select record_id, fingerprint, removed from {table}"))
    return {row.record_id: Known(row.fingerprint, row.removed) for row in rows}


def changed(fingerprints: Mapping[str, str], known: Mapping[str, Known]) -> list[str]:
    """The record ids that are new, or whose content is; `fingerprints` are those of the records present."""
    return [
        record for record, fingerprint in fingerprints.items() if known.get(record) != Known(fingerprint, removed=False)
    ]


def removals(present: Collection[str], known: Mapping[str, Known]) -> list[str]:
    """The record ids that have gone."""
    return [record for record, state in known.items() if record not in present and not state.removed]
