"""PatientIDs of one person: those that differ by padding, and those that an operator has said to be one person's."""

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from ledger.vault import SubjectName
from processors.gateway import Work
from processors.text import without_padding


class Person(NamedTuple):
    """Subjects who count as one in the project."""

    project: str
    subjects: frozenset[UUID]


_JOINED = text("select project, patient, counts_as from gateway.joined_patient")
_SERIES_OF = text("""
    select distinct on (subject) position from ledger.event
     where subject = any(:subjects) and type in ('SeriesDiscovered', 'SeriesRevised')
     order by subject, position
""")


def joined_persons(work: Work) -> list[Person]:
    """All whom operators have said to be one person."""
    subjects: dict[tuple[str, UUID], set[UUID]] = defaultdict(set)
    for row in work.execute(_JOINED):
        subjects[row.project, row.counts_as] |= {row.patient, row.counts_as}
    return [Person(project, frozenset(theirs)) for (project, _), theirs in subjects.items()]


def with_joined(work: Work, patient_ids: Collection[str], project: str | None) -> set[str]:
    """The PatientIDs with those of the same persons in the project (None: in any)."""
    subjects = subjects_of(work, patient_ids)
    others = {
        subject
        for person in joined_persons(work)
        if project in (None, person.project) and person.subjects & subjects
        for subject in person.subjects
    }
    return {*patient_ids, *map(without_padding, patient_ids_of_subjects(work, others).values())}


def subjects_of(work: Work, patient_ids: Collection[str]) -> set[UUID]:
    """Whom the patients' series are sealed for, scanners' padding included."""
    padded = [f"{before}{each}{after}" for each in patient_ids for before in ("", " ") for after in ("", " ", "\x00")]
    return set(work.vault.found(work.connection, [SubjectName("patient", "", name) for name in padded]).values())


def patient_ids_of_subjects(work: Work, subjects: Collection[UUID]) -> dict[UUID, str]:
    """The PatientIDs of the subjects; those that were forgotten are absent."""
    if not subjects:
        return {}
    positions = work.execute(_SERIES_OF, {"subjects": list(subjects)}).scalars().all()
    events = work.identities(positions).values()
    return {event.subject: identity["PatientID"] for event, identity in events if identity and event.subject}
