"""Which waiting studies are of patients who withdrew: nothing is drawn for them, and they wait for nothing."""

from collections.abc import Sequence

from sqlalchemy import text

from processors.autoid.candidates import Candidate
from processors.events.holds import WITHDREW
from processors.gateway import Work
from processors.routing.given_ids import given_ids
from processors.routing.patient_keys import link_subject
from processors.routing.withdrawals import Withdrawals, any_withdrew, marks_of, study_mark

_KNOWN = text("""
    select study from gateway.held_study where study = any(:studies) and project = :project and reason = :reason
""")


def withdrawn_studies(work: Work, project: str, studies: Sequence[Candidate]) -> set[str]:
    """Those of the studies whose patient has withdrawn from the project, by the PatientID or by the ID they have there.

    One that has left the disk since is still theirs.
    """
    if not studies or not any_withdrew(work):
        return set()
    names = [study.study for study in studies]
    known = set(work.execute(_KNOWN, {"studies": names, "project": project, "reason": WITHDREW}).scalars())
    of_patients, of_ids = marks_of(work, names), _marks_of_ids(work, project, studies)
    marks = {name: {*of_patients.get(name, ()), *of_ids.get(name, ())} for name in names}
    withdrawals = Withdrawals(work, set().union(*marks.values()))
    gone = known & {study.study for study in studies if not study.on_disk}
    return gone | {name for name, mine in marks.items() if withdrawals.first(mine, project) is not None}


def once_withdrawn(work: Work, project: str, studies: Sequence[str]) -> set[str]:
    """Those of the studies that were said to be a patient's who withdrew from the project, or were held as that."""
    if not studies or not any_withdrew(work):
        return set()
    known = work.execute(_KNOWN, {"studies": list(studies), "project": project, "reason": WITHDREW}).scalars()
    marks = {study: study_mark(work, study) for study in studies}
    withdrawals = Withdrawals(work, set(marks.values()))
    return {*known, *(study for study, mark in marks.items() if withdrawals.are_doubted([mark], project))}


def _marks_of_ids(work: Work, project: str, studies: Sequence[Candidate]) -> dict[str, set[str]]:
    """The marks of the IDs that the patients of the studies have."""
    keys = {study.study: [key for key in (study.key, study.padded_key) if key is not None] for study in studies}
    links = {name: [link_subject(project, key) for key in mine] for name, mine in keys.items()}
    found = work.vault.found(work.connection, {link for mine in links.values() for link in mine})
    given = {given.link: given.mark for given in given_ids(work, [project], links=list(found.values()))}
    return {
        name: {given[found[link]] for link in mine if link in found and found[link] in given}
        for name, mine in links.items()
    }
