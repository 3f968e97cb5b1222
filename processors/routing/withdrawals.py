"""Who withdrew from which project: the marks that studies are known by, and the check that asks for them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, text

from processors.events.holds import WITHDREW
from processors.gateway import Work
from processors.routing.adopted_patients import adopted_patients_of, names_of_adopted
from processors.routing.checks import IntendedRequest, Objection, Objections
from processors.routing.decisions import Obstacle
from processors.routing.patients import patients_of
from processors.text import without_padding

_ANY = text("select exists (select from gateway.withdrawal_mark)")
_MARKED = text("select mark, project, position from gateway.withdrawal_mark where mark = any(:marks)")


class Withdrawals:
    """The withdrawals that some marks tell of."""

    def __init__(self, work: Work, marks: Collection[str]) -> None:
        self._by_mark: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in work.execute(_MARKED, {"marks": list(marks)}):
            self._by_mark[row.mark].append(row)

    def first(self, marks: Collection[str], project: str) -> int | None:
        """The position of the first one by these marks that concerns the project."""
        rows = (row for mark in marks for row in self._by_mark.get(mark, ()))
        return min((row.position for row in rows if row.project in (None, project)), default=None)


def any_withdrew(work: Work) -> bool:
    """Whether anybody has withdrawn from anything."""
    is_any: bool = work.execute(_ANY).scalar_one()
    return is_any


def patient_mark(work: Work, patient_id: str) -> str:
    """What a patient's studies are known by: a keyed hash of the PatientID, without what scanners pad it with."""
    return work.vault.fingerprint(orjson.dumps(["withdrawn patient", without_padding(patient_id)]))


def patient_marks(work: Work, patient_id: str) -> set[str]:
    """What they may be known by in all: REDCap's hash of the PatientID may be all that is known of some studies."""
    return {patient_mark(work, patient_id), *map(work.vault.mark, names_of_adopted([without_padding(patient_id)]))}


def pseudonym_mark(work: Work, project: str, pseudonym: str) -> str:
    """What studies under a pseudonym of the project are known by; those that people take for one are one."""
    return work.name_fingerprint(project, pseudonym) or ""


def withdrawal_check(work: Work, intended: Sequence[IntendedRequest]) -> Objections:
    """What is asked for of patients who withdrew. A study of several patients is held where one of them did."""
    if not any_withdrew(work):
        return {}
    marks = marks_of(work, {each.study for each in intended})
    mine = {
        each.place: {
            *marks.get(each.study, ()),
            pseudonym_mark(work, each.candidate.key.project, each.candidate.pseudonym),
        }
        for each in intended
    }
    withdrawals = Withdrawals(work, set().union(*mine.values()))
    by_place = {}
    for each in intended:
        withdrawal = withdrawals.first(mine[each.place], each.candidate.key.project)
        if withdrawal is not None:
            obstacle = Obstacle(WITHDREW, f"withdrawal {withdrawal}")
            by_place[each.place] = Objection(obstacle)
    return by_place


def marks_of(work: Work, studies: Collection[str]) -> Mapping[str, Collection[str]]:
    """The marks of the patients of each study, by its series on disk; where it has none, by REDCap's hash."""
    marks: dict[str, set[str]] = defaultdict(set)
    for study, patient_ids in patient_ids_of(work, studies).items():
        marks[study].update(*(patient_marks(work, patient_id) for patient_id in patient_ids))
    adopted = sole_adopted(work, studies)
    known = work.vault.marks(work.connection, set(adopted.values()))
    for study, patient in adopted.items():
        marks[study].add(known[patient])
    return marks


def sole_adopted(work: Work, studies: Collection[str]) -> dict[str, UUID]:
    """Whose each study is that nothing but REDCap's hash tells of."""
    adopted = adopted_patients_of(work, studies)
    read = patients_of(work, adopted.keys())
    return {study: patient for study, patient in adopted.items() if study not in read}


def patient_ids_of(work: Work, studies: Collection[str]) -> dict[str, list[str]]:
    """The PatientIDs of each study that has any, by its series on disk; those that were forgotten are absent."""
    patients = patients_of(work, studies)
    events = work.identities([patient.position for theirs in patients.values() for patient in theirs])
    known = {position: payload["PatientID"] for position, (_, payload) in events.items() if payload}
    return {
        study: [known[patient.position] for patient in theirs if patient.position in known]
        for study, theirs in patients.items()
    }


def sole_patients(work: Work, studies: Collection[str]) -> dict[str, set[str]]:
    """The patient of each study that is of one, without padding. Of several, nobody knows whose pseudonym it has."""
    patient_ids = patient_ids_of(work, studies)
    return {study: {without_padding(ids[0])} for study, ids in patient_ids.items() if len(ids) == 1}
