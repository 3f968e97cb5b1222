"""Who withdrew from which project: the marks that studies are known by, and the check that asks for them."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final
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
_MARKED = text("select mark, project, position, doubted from gateway.withdrawal_mark where mark = any(:marks)")
_KNOWN = text("select study, project from gateway.withdrawn_study where study = any(:studies)")
SAID_BEFORE: Final = Obstacle(WITHDREW, "by what was said before of whose the study or the pseudonym is")
"""Why a person is to look at a request that is made all the same."""


class Withdrawals:
    """The withdrawals that some marks tell of."""

    def __init__(self, work: Work, marks: Collection[str]) -> None:
        self._by_mark: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in work.execute(_MARKED, {"marks": list(marks)}):
            self._by_mark[row.mark].append(row)

    def first(self, marks: Collection[str], project: str) -> int | None:
        """The position of the first one by these marks that concerns the project."""
        return min((row.position for row in self._about(marks, project) if not row.doubted), default=None)

    def are_doubted(self, marks: Collection[str], project: str) -> bool:
        """Whether one of them was of a patient who withdrew from the project by what was said before."""
        return any(row.doubted for row in self._about(marks, project))

    def _about(self, marks: Collection[str], project: str) -> Iterator[Row[Any]]:
        rows = (row for mark in marks for row in self._by_mark.get(mark, ()))
        return (row for row in rows if row.project in (None, project))


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


def study_mark(work: Work, study: str) -> str:
    """What a study is known by that was ever said to be somebody's who withdrew."""
    return work.vault.fingerprint(orjson.dumps(["withdrawn study", study]))


def withdrawal_check(work: Work, intended: Sequence[IntendedRequest]) -> Objections:
    """What is asked for of patients who withdrew. A study of several patients is held where one of them did.

    What was said to be theirs before, or has a pseudonym that was theirs by that, is requested and shown.
    """
    if not any_withdrew(work):
        return {}
    marks = marks_of(work, {each.study for each in intended})
    mine = {
        each.place: {
            *marks.get(each.study, ()),
            pseudonym_mark(work, each.candidate.key.project, each.candidate.pseudonym),
            study_mark(work, each.study),
        }
        for each in intended
    }
    withdrawals = Withdrawals(work, set().union(*mine.values()))
    known = {tuple(row) for row in work.execute(_KNOWN, {"studies": list({each.study for each in intended})})}
    by_place = {}
    for each in intended:
        project = each.candidate.key.project
        if (withdrawal := withdrawals.first(mine[each.place], project)) is not None:
            by_place[each.place] = Objection(Obstacle(WITHDREW, f"withdrawal {withdrawal}"))
        elif (each.study, project) in known or withdrawals.are_doubted(mine[each.place], project):
            by_place[each.place] = Objection(SAID_BEFORE, holds=False)
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
