"""Whose the studies are that REDCap held before this system, and of which no summary was ever read here.

REDCap holds a hash of each PatientID. Whoever has it could try PatientIDs, so the ledger keeps none: of each it has a
subject of the vault, found by a keyed hash of REDCap's, until the patient is forgotten.
"""

import re
from collections import defaultdict
from collections.abc import Collection
from functools import cache
from typing import Final
from uuid import UUID

from sqlalchemy import text

from ledger.vault import SubjectName
from processors.gateway import Work
from processors.placeholders import Placeholders
from processors.redcap.incoming import hashed
from processors.text import with_padding

ADOPTED_PATIENT: Final = "adopted-patient"
"""The kind of these subjects."""

_IS_HASH: Final = re.compile("[0-9a-f]{64}")


def adopted_patient(patient_hash: str, placeholders: Placeholders) -> SubjectName | None:
    """Whom REDCap's hash stands for; nobody where it is none, or that of a placeholder."""
    if not _IS_HASH.fullmatch(patient_hash) or patient_hash in _hashes(placeholders.spellings):
        return None
    return SubjectName(ADOPTED_PATIENT, "", patient_hash)


@cache
def _hashes(spellings: frozenset[str]) -> frozenset[str]:
    return frozenset(map(hashed, spellings))


def names_of_adopted(patient_ids: Collection[str]) -> dict[SubjectName, str]:
    """What patients of these PatientIDs may be known by, with scanners' padding, too."""
    return {
        SubjectName(ADOPTED_PATIENT, "", hashed(padded)): patient_id
        for patient_id in patient_ids
        for padded in with_padding(patient_id)
    }


_STUDIES = text("select study, patient from gateway.adopted_study where patient = any(:patients)")
_PATIENTS = text("""
    select study, patient from gateway.adopted_study join ledger.subject on subject.subject = patient
     where study = any(:studies) and wrapped_key is not null
""")


def found_adopted(work: Work, patient_ids: Collection[str]) -> dict[UUID, str]:
    """Whom these PatientIDs are known as, each with the PatientID."""
    names = names_of_adopted(patient_ids)
    return {subject: names[name] for name, subject in work.vault.found(work.connection, names).items()}


def adopted_patients_of(work: Work, studies: Collection[str]) -> dict[str, UUID]:
    """Whose each of these studies is by REDCap's hash; studies of nobody, or somebody forgotten, are absent."""
    return {row.study: row.patient for row in work.execute(_PATIENTS, {"studies": list(studies)})}


_LIVING = text("""
    select subject from ledger.subject where subject = any(:subjects) and kind = :kind and wrapped_key is not null
""")


def living_adopted(work: Work, subjects: Collection[UUID]) -> set[UUID]:
    """Those of the subjects that stand for REDCap's hash of somebody who was not forgotten."""
    return set(work.execute(_LIVING, {"subjects": list(subjects), "kind": ADOPTED_PATIENT}).scalars())


def studies_of_adopted(work: Work, patients: Collection[UUID]) -> dict[UUID, set[str]]:
    """The studies that REDCap said to be theirs; whoever had none is absent."""
    studies: dict[UUID, set[str]] = defaultdict(set)
    if patients:
        for row in work.execute(_STUDIES, {"patients": list(patients)}):
            studies[row.patient].add(row.study)
    return studies
