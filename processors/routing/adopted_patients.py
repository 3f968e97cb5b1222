"""Whose the studies are that REDCap held before this system, and of which no summary was ever read here.

REDCap holds a hash of each PatientID, and is asked for those that are a patient's.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from sqlalchemy import text

from ledger.batching import batches
from processors.errors import ServiceError
from processors.gateway import Gateway
from processors.redcap import Redcap
from processors.redcap.incoming import hashed
from processors.redcap.transfers import RECORD_ID
from processors.routing.joined import with_padding

_HASH: Final = "study_patient_id"
_ASKED_AT_ONCE: Final = 300
"""Hashes in one call."""

_UNREAD = text("""
    select study from gateway.adopted_study
     where not exists (select from gateway.study where study.study = adopted_study.study)
       and (cast(:studies as text[]) is null or study = any(:studies))
     limit :most
""")


class OfBefore(NamedTuple):
    """Studies of before this system, by PatientID; and why REDCap did not tell of any, if it did not."""

    studies: Mapping[str, set[str]]
    untold: ServiceError | None = None


def adopted_studies_of(gateway: Gateway, redcap: Redcap, patient_ids: Collection[str]) -> OfBefore:
    """By PatientID, scanners' padding included, the studies of which the ledger knows only that they were there.

    REDCap is asked only where there are such studies.
    """
    with gateway.begin() as work:
        if not patient_ids or not work.execute(_UNREAD, {"studies": None, "most": 1}).all():
            return OfBefore({})
    patients = {hashed(padded): each for each in patient_ids for padded in with_padding(each)}
    found: dict[str, str] = {}
    try:
        for hashes in batches(sorted(patients), _ASKED_AT_ONCE):
            where = " or ".join(f"[{_HASH}] = '{each}'" for each in hashes)
            rows = redcap.export_records("incoming", fields=[RECORD_ID, _HASH], where=where)
            found |= {row[RECORD_ID]: patients[row[_HASH]] for row in rows if row[_HASH] in patients}
    except ServiceError as untold:
        return OfBefore({}, untold)
    studies: dict[str, set[str]] = defaultdict(set)
    with gateway.begin() as work:
        for study in work.execute(_UNREAD, {"studies": list(found), "most": len(found)}).scalars():
            studies[found[study]].add(study)
    return OfBefore(studies)
