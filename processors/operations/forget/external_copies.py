"""What forgetting does not reach and a person has to see to: REDCap's rows, and folders on disk."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from processors.gateway import Work
from processors.operations.forget.data_subjects import Belongings


class Place(NamedTuple):
    """A row in REDCap; `instance` is None for a whole record."""

    project: str
    record_id: str
    instance: int | None
    holds: str


class Elsewhere(NamedTuple):
    """What is left outside of the ledger: rows of REDCap, and studies whose folders are on disk."""

    places: list[Place]
    folders: list[str]


_RECORDS = text("""
    select study, on_disk, delivered_position > 0 as delivered from gateway.study
     where study = any(:studies) order by study
""")
_TRANSFERS = text("""
    select distinct study, instance from gateway.transfer
     where study = any(:studies) and instance is not null order by study, instance
""")
_IDS = text("""
    select record_id from gateway.used_id where subject = any(:links) and record_id is not null
    union
    select record_id from gateway.contradiction where subject = any(:links)
""")
_ENTRIES = text("""
    select record_id from gateway.coupling_entry join ledger.event using (position)
     where event.subject = any(:couplings) and not removed order by record_id
""")


def elsewhere(work: Work, belongings: Sequence[Belongings], *, transfers: str) -> Elsewhere:
    """The rows and folders that these belongings have led to; `transfers` is the REDCap project of transfer requests.

    To be asked before the keys are destroyed; the answer does not depend on them.
    """
    studies = [study for owner in belongings for study in owner.studies]
    rows = work.execute(_RECORDS, {"studies": studies}).all()
    places = [
        Place("incoming", row.study, None, "hashes of PatientID and PatientName") for row in rows if row.delivered
    ]
    places.extend(
        Place(transfers, row.study, row.instance, "a pseudonym")
        for row in work.execute(_TRANSFERS, {"studies": studies})
    )
    entries = work.execute(_ENTRIES, {"couplings": list(_of_kind(belongings, "coupling"))}).scalars()
    places.extend(Place("coupling", record, None, "a study and its pseudonym") for record in entries)
    ids = work.execute(_IDS, {"links": list(_of_kind(belongings, "link"))}).scalars()
    places.extend(Place("autoid", record, None, "a patient's hash and ID") for record in sorted(ids, key=_by_number))
    return Elsewhere(places, [row.study for row in rows if row.on_disk])


def _of_kind(belongings: Sequence[Belongings], kind: str) -> Iterator[UUID]:
    for owner in belongings:
        yield from owner.subjects.get(kind, ())


def _by_number(record: str) -> tuple[int, str]:
    return len(record), record
