"""A participant withdraws: what was requested ends, what comes later is held for ever, what was sent becomes a task.

Whom it is about is told by a PatientID, which need not be known yet, or by a pseudonym of the project. Recorded are
keyed hashes of both, as far as one leads to the other.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import text

from ledger import store
from processors.errors import ConfigurationError
from processors.events.fact import Cause, study_stream
from processors.events.holds import WITHDREW
from processors.events.pseudonyms import StudyHeld
from processors.events.transfers import TransferRetracted
from processors.events.withdrawals import ParticipantWithdrew, StudyWithdrawn
from processors.gateway import Work
from processors.requests import IN_FORCE, TransferRequest
from processors.routing.given_ids import ids_of_patients
from processors.routing.joined import subjects_of, with_joined
from processors.routing.withdrawals import patient_ids_of, patient_mark, pseudonym_mark, sole_patients
from processors.stored_requests import requests_of
from processors.text import same_to_people, without_padding


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdrawal:
    """What is wanted: `project` is None for all. `record_id` is that of REDCap's list, where it is told there.

    `follows`: the withdrawal that has turned out to mean these patients.
    """

    project: str | None
    patient_ids: Collection[str] = ()
    pseudonyms: Collection[str] = ()
    by: str
    reason: str
    record_id: str | None = None
    follows: int | None = None


class Withdrawn(NamedTuple):
    """What came of it: the event, the requests that end, and the studies that were requested for the project."""

    position: int
    ended: list[TransferRequest]
    studies: list[str]


class _Use(NamedTuple):
    """A pseudonym that a study has in a project, whoever asked for it."""

    study: str
    project: str
    pseudonym: str


def withdraw(work: Work, wanted: Withdrawal) -> Withdrawn:
    """Records that a participant withdraws, and ends what was requested. REDCap is for the next delivery."""
    # What is requested meanwhile would not be seen.
    store.lock_head(work.connection)
    under_name = _studies_under(work, wanted)
    met = sole_patients(work, under_name)
    given = {without_padding(patient_id) for patient_id in wanted.patient_ids}
    is_met = bool(met or _studies_of(work, given))
    patient_ids = with_joined(work, given.union(*met.values()), wanted.project)
    of_patients = _studies_of(work, patient_ids)
    theirs = _uses(work, under_name | of_patients, wanted.project)
    several = {study for study, ids in patient_ids_of(work, {use.study for use in theirs}).items() if len(ids) > 1}
    # Of a study of several patients, nobody knows whose pseudonym it has.
    named = [(use.project, use.pseudonym) for use in theirs if use.pseudonym and use.study not in several]
    marks = {pseudonym_mark(work, project, pseudonym) for project, pseudonym in named}
    marks.update(given.mark for _, given in ids_of_patients(work, patient_ids, wanted.project))
    wanted_marks = set()
    if wanted.project is not None:
        wanted_marks = {pseudonym_mark(work, wanted.project, pseudonym) for pseudonym in wanted.pseudonyms} - {""}
    withdrew = ParticipantWithdrew(
        project=wanted.project,
        patients=tuple(sorted(patient_mark(work, patient_id) for patient_id in patient_ids)),
        pseudonyms=tuple(sorted((marks | wanted_marks) - {""})),
        by=wanted.by,
        reason=wanted.reason,
        record_id=wanted.record_id,
        unmet=() if is_met else tuple(sorted(wanted_marks)),
        follows=wanted.follows,
    )
    (stored,) = work.record([withdrew])
    concerned = sorted({(use.study, use.project) for use in theirs})
    work.record(
        StudyWithdrawn(study=study, project=project, withdrawal=stored.position) for study, project in concerned
    )
    ended = end(work, concerned, Cause("operator", wanted.by, stored.position))
    work.record(_waits_no_longer(work, of_patients, wanted.project))
    return Withdrawn(stored.position, ended, sorted({study for study, _ in concerned}))


def end(work: Work, concerned: Collection[tuple[str, str]], cause: Cause) -> list[TransferRequest]:
    """Records that the requests in force of these studies, each for a project, end; gives them."""
    ended = list(_in_force(work, concerned))
    work.record(
        TransferRetracted(
            study=request.study,
            project=request.project,
            request=request.position,
            reason="the participant withdrew",
            cause=cause,
        )
        for request in ended
    )
    return ended


def patients_of_study(work: Work, study: str) -> list[str]:
    """The PatientID of the study. Raises `ConfigurationError` where it has none, or several."""
    patient_ids = patient_ids_of(work, [study]).get(study, [])
    if len(patient_ids) != 1:
        number = "several" if patient_ids else "none"
        raise ConfigurationError(
            f"--study: expected a study of one patient, found {number} of study {study!r}. Give the PatientID "
            "(--patient-id-stdin) or the pseudonym (--pseudonym-stdin) instead. Nothing was changed."
        )
    return patient_ids


def is_known(work: Work, project: str) -> bool:
    """Whether a list, rule, entry or request names the project: a withdrawal from any other would hold nothing."""
    known: bool = work.execute(_KNOWN, {"project": project}).scalar_one()
    return known


_KNOWN = text("""
    select exists (select from gateway.autoid_project where project = :project)
        or exists (select from gateway.coupling_entry where project = :project)
        or exists (select from gateway.transfer where project = :project)
        or exists (select from gateway.held_request where project = :project)
        or exists (select from gateway.adopted_transfer where project = :project)
        or exists (select from gateway.rule join ledger.event using (position) where data ->> 'project' = :project)
""")
# Requests of ours that ended unsent say nothing of who a pseudonym belongs to: they may have been mistakes.
_USES = text("""
    select study, project, position, state <> 'withdrawn' as named from gateway.transfer where study = any(:studies)
    union all
    select study, project, position, true from gateway.adopted_transfer where study = any(:studies)
    union all
    select study, project, request, true from gateway.outcome where not ours and study = any(:studies)
""")
_UNDER_NAME = text("""
    select study from gateway.pseudonym_use where project = :project and fingerprint = any(:marks)
""")
# Of these no fingerprint is kept: rules take what they ask for from the PatientID or PatientName.
_OF_RULES = text("""
    select position from gateway.transfer where project = :project and cause_kind = 'rule' and state <> 'withdrawn'
""")
_WAITING = text("""
    select study, project from gateway.held_study
     where study = any(:studies) and project = coalesce(:project, project) and reason <> :reason
""")
_STUDIES = text("""
    select distinct stream from ledger.event where subject = any(:subjects) and starts_with(stream, :prefix)
""")


def _studies_under(work: Work, wanted: Withdrawal) -> set[str]:
    """The studies that have one of the pseudonyms in the project."""
    names = set(map(same_to_people, wanted.pseudonyms))
    if not names or wanted.project is None:
        return set()
    marks = [pseudonym_mark(work, wanted.project, pseudonym) for pseudonym in wanted.pseudonyms]
    studies = set(work.execute(_UNDER_NAME, {"project": wanted.project, "marks": marks}).scalars())
    by_rules = work.execute(_OF_RULES, {"project": wanted.project}).scalars().all()
    for event, payload in work.identities(by_rules).values():
        if same_to_people(payload.get("pseudonym") or "") in names:
            studies.add(event.data["study"])
    return studies


def _uses(work: Work, studies: Collection[str], project: str | None) -> list[_Use]:
    """What was requested of these studies in the project; with a blank pseudonym where that says nothing."""
    rows = work.execute(_USES, {"studies": list(studies)}).all()
    rows = [row for row in rows if project in (None, row.project)]
    events = work.identities({row.position for row in rows if row.named})
    uses = []
    for row in rows:
        _, payload = events.get(row.position, (None, {}))
        uses.append(_Use(row.study, row.project, payload.get("pseudonym") or ""))
    return uses


def _waits_no_longer(work: Work, studies: Collection[str], project: str | None) -> list[StudyHeld]:
    """Nothing is drawn for the studies that wait for an ID; nobody need see to it that they get one."""
    about = {"studies": list(studies), "project": project, "reason": WITHDREW}
    return [StudyHeld(study=row.study, project=row.project, reason=WITHDREW) for row in work.execute(_WAITING, about)]


def _studies_of(work: Work, patient_ids: Collection[str]) -> set[str]:
    """All studies that ever were these patients', scanners' padding included."""
    prefix = study_stream("")
    rows = work.execute(_STUDIES, {"subjects": list(subjects_of(work, patient_ids)), "prefix": prefix})
    return {stream.removeprefix(prefix) for stream in rows.scalars()}


def _in_force(work: Work, concerned: Collection[tuple[str, str]]) -> Iterator[TransferRequest]:
    projects: dict[str, set[str]] = defaultdict(set)
    for study, project in concerned:
        projects[study].add(project)
    for study, requests in requests_of(work, list(projects), states=IN_FORCE).items():
        yield from (request for request in requests if request.project in projects[study])
