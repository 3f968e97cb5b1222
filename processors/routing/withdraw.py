"""A participant withdraws: what was requested ends, what comes later is held for ever, what was sent becomes a task.

Recorded are keyed hashes of the PatientIDs and pseudonyms of whom it means, by which later studies are known.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from ledger import store
from processors.errors import ConfigurationError
from processors.events.fact import Cause
from processors.events.holds import WITHDREW, RequestQuestioned
from processors.events.pseudonyms import StudyHeld
from processors.events.transfers import TransferRetracted
from processors.events.withdrawals import ParticipantWithdrew, StudyWithdrawn
from processors.gateway import Work
from processors.requests import IN_FORCE, TransferRequest
from processors.routing.joined import Known
from processors.routing.participants import Participant, Withdrawal, participants
from processors.routing.withdrawals import SAID_BEFORE, patient_ids_of, patient_marks, sole_adopted, study_mark
from processors.stored_requests import requests_of


class Withdrawn(NamedTuple):
    """What came of it: the event, the requests that end, and the studies that were requested for the project.

    `elsewhere` are studies that were said to be the patient's, and are said to be somebody else's now.
    """

    position: int
    ended: list[TransferRequest]
    studies: list[str]
    elsewhere: list[str]


def withdraw(work: Work, wanted: Withdrawal) -> Withdrawn:
    """Records that a participant withdraws, and ends what was requested. REDCap is for the next delivery."""
    (withdrawn,) = withdraw_all(work, [wanted])
    return withdrawn


def withdraw_all(work: Work, wanted: Sequence[Withdrawal]) -> list[Withdrawn]:
    """Records these withdrawals, and ends what was requested; of each, what came of it."""
    if not wanted:
        return []
    # What is requested meanwhile would not be seen.
    store.lock_head(work.connection)
    theirs = participants(work, wanted)
    adopted = work.vault.marks(work.connection, set().union(*(participant.adopted for participant in theirs)))
    withdrew = [_fact(work, each, participant, adopted) for each, participant in zip(wanted, theirs, strict=True)]
    positions = [stored.position for stored in work.record(withdrew)]
    concerned = [sorted({(use.study, use.project) for use in each.uses}) for each in theirs]
    by_pair: dict[tuple[str, str], int] = {}
    studies_withdrawn = []
    for position, pairs in zip(positions, concerned, strict=True):
        for study, project in pairs:
            by_pair.setdefault((study, project), position)
            studies_withdrawn.append(StudyWithdrawn(study=study, project=project, withdrawal=position))
    work.record(studies_withdrawn)
    by = {position: each.by for position, each in zip(positions, wanted, strict=True)}
    ended: dict[int, list[TransferRequest]] = defaultdict(list)
    causes = {pair: Cause("operator", by[position], position) for pair, position in by_pair.items()}
    seen_to = {use.position for each in theirs for use in each.uses}
    for request in end(work, causes, only=seen_to):
        ended[by_pair[request.study, request.project]].append(request)
    _question(work, set().union(*(each.doubted for each in theirs)), seen_to)
    _wait_no_longer(work, wanted, theirs)
    return [
        Withdrawn(position, ended[position], sorted({study for study, _ in pairs}), sorted(each.elsewhere))
        for position, pairs, each in zip(positions, concerned, theirs, strict=True)
    ]


def _fact(work: Work, wanted: Withdrawal, participant: Participant, adopted: Mapping[UUID, str]) -> ParticipantWithdrew:
    marks = {adopted[subject] for subject in participant.adopted}
    marks.update(*(patient_marks(work, patient_id) for patient_id in participant.patient_ids))
    return ParticipantWithdrew(
        project=wanted.project,
        patients=tuple(sorted(marks)),
        pseudonyms=tuple(sorted(participant.marks)),
        by=wanted.by,
        reason=wanted.reason,
        record_id=wanted.record_id,
        unmet=tuple(sorted(participant.unmet)),
        follows=wanted.follows,
        doubted=tuple(
            sorted(
                participant.doubted | {study_mark(work, each) for each in participant.studies | participant.elsewhere}
            )
        ),
    )


def end(work: Work, causes: Mapping[tuple[str, str], Cause], *, only: Collection[int]) -> list[TransferRequest]:
    """Records that `only` these requests (positions) of the studies, each for a project, end, and why; gives them."""
    ended = [request for request in _in_force(work, causes) if request.position in only]
    work.record(
        TransferRetracted(
            study=request.study,
            project=request.project,
            request=request.position,
            reason="the participant withdrew",
            cause=causes[request.study, request.project],
        )
        for request in ended
    )
    return ended


def patient_of_study(work: Work, study: str) -> Known:
    """Whose the study is: by its PatientID, or by REDCap's hash of it where it has never been read here.

    Raises `ConfigurationError` where it is nobody's, or of several.
    """
    patient_ids = patient_ids_of(work, [study]).get(study, [])
    known = Known(set(patient_ids), set(sole_adopted(work, [study]).values()))
    if len(patient_ids) + len(known.adopted) != 1:
        number = "several" if patient_ids else "none"
        raise ConfigurationError(
            f"--study: expected a study of one patient, found {number} of study {study!r}. Give the PatientID "
            "(--patient-id-stdin) or the pseudonym (--pseudonym-stdin) instead. Nothing was changed."
        )
    return known


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
        or exists (select from gateway.outcome where not ours and project = :project)
        or exists (select from gateway.rule join ledger.event using (position) where data ->> 'project' = :project)
""")
_STANDING = text("""
    select distinct use.study, use.project, use.event_name
      from gateway.pseudonym_use as use
      left join gateway.transfer on use.holder = 'request ' || transfer.position and transfer.study = use.study
     where fingerprint = any(:marks) and use.position <> all(:seen_to)
       and (transfer.position is null or transfer.state = any(:in_force))
       and not exists (select from gateway.notice
                        where notice.kind = :kind and (notice.study, notice.project) = (use.study, use.project)
                          and coalesce(details ->> 'event_name', '') = use.event_name)
     order by use.study, use.project, use.event_name
""")
_WAITING = text("""
    select study, project from gateway.held_study where study = any(:studies) and reason <> :reason
""")


def _question(work: Work, marks: Collection[str], seen_to: Collection[int]) -> None:
    """Records that a person is to look at what stands under pseudonyms that may be the patients', and is not ended."""
    about = {"marks": list(marks), "seen_to": list(seen_to), "in_force": list(IN_FORCE), "kind": WITHDREW}
    rows = work.execute(_STANDING, about).all() if marks else []
    work.record(RequestQuestioned(**row._asdict(), **SAID_BEFORE._asdict()) for row in rows)


def _wait_no_longer(work: Work, wanted: Sequence[Withdrawal], theirs: Sequence[Participant]) -> None:
    """Nothing is drawn for the studies that wait for an ID; nobody need see to it that they get one."""
    projects: dict[str, set[str | None]] = defaultdict(set)
    for each, participant in zip(wanted, theirs, strict=True):
        for study in participant.studies:
            projects[study].add(each.project)
    waiting = work.execute(_WAITING, {"studies": list(projects), "reason": WITHDREW}).all()
    work.record(
        StudyHeld(study=row.study, project=row.project, reason=WITHDREW)
        for row in waiting
        if projects[row.study] & {None, row.project}
    )


def _in_force(work: Work, concerned: Collection[tuple[str, str]]) -> Iterator[TransferRequest]:
    projects: dict[str, set[str]] = defaultdict(set)
    for study, project in concerned:
        projects[study].add(project)
    for study, requests in requests_of(work, list(projects), states=IN_FORCE).items():
        yield from (request for request in requests if request.project in projects[study])
