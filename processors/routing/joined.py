"""PatientIDs of one person: those that differ by padding, and those that an operator has said to be one person's."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from ledger.vault import SubjectName
from processors.gateway import Work
from processors.routing.adopted_patients import found_adopted, living_adopted
from processors.text import with_padding, without_padding


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


class Known(NamedTuple):
    """What somebody is known by: PatientIDs, and subjects that stand for no more than REDCap's hash of one."""

    patient_ids: set[str]
    adopted: set[UUID]


def with_joined(work: Work, groups: Sequence[tuple[Known, str | None]]) -> list[Known]:
    """What is known of some, each for a project (None: any), with what the same persons there are known by."""
    patient_ids = set().union(*(known.patient_ids for known, _ in groups))
    adopted = found_adopted(work, patient_ids)
    persons = joined_persons(work)
    subjects = subjects_by_patient(work, patient_ids) if persons else {}
    all_joined = set().union(*(person.subjects for person in persons))
    names = patient_ids_of_subjects(work, all_joined)
    joined_adopted = living_adopted(work, all_joined)
    joined = []
    for known, project in groups:
        hashed = {subject for subject, patient_id in adopted.items() if patient_id in known.patient_ids}
        theirs = hashed.union(known.adopted, *(subjects.get(each, ()) for each in known.patient_ids))
        others = {
            subject
            for person in persons
            if project in (None, person.project) and person.subjects & theirs
            for subject in person.subjects
        }
        told = {without_padding(names[subject]) for subject in others if subject in names}
        joined.append(Known(known.patient_ids | told, known.adopted | hashed | (others & joined_adopted)))
    return joined


def subjects_by_patient(work: Work, patient_ids: Collection[str]) -> dict[str, set[UUID]]:
    """Whom each patient's series are sealed for, scanners' padding included; whoever has none is absent."""
    padded = {SubjectName("patient", "", each): patient for patient in patient_ids for each in with_padding(patient)}
    subjects: dict[str, set[UUID]] = defaultdict(set)
    for name, subject in work.vault.found(work.connection, padded).items():
        subjects[padded[name]].add(subject)
    return subjects


def patient_ids_of_subjects(work: Work, subjects: Collection[UUID]) -> dict[UUID, str]:
    """The PatientIDs of the subjects; those that were forgotten are absent."""
    if not subjects:
        return {}
    positions = work.execute(_SERIES_OF, {"subjects": list(subjects)}).scalars().all()
    events = work.identities(positions).values()
    return {event.subject: identity["PatientID"] for event, identity in events if identity and event.subject}
