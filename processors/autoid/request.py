"""Requesting the transfers of studies whose patients' IDs are stored."""

from collections.abc import Sequence

from sqlalchemy import text

from ledger import store
from processors.autoid.candidates import ASKED_FOR, Candidate, Waiting
from processors.autoid.holds import CONTRADICTED, newly_held, reasons
from processors.autoid.used_ids import blocked_patients
from processors.autoid.withdrawn import once_withdrawn, withdrawn_studies
from processors.events.fact import Cause, OfStudy
from processors.events.holds import WITHDREW, RequestQuestioned
from processors.events.pseudonyms import StudyReleased
from processors.events.transfers import TransferRequested
from processors.gateway import Gateway, Work
from processors.routing.identify import claim_of, outcome_of
from processors.routing.identity import compare
from processors.routing.patient_keys import link_subject
from processors.routing.patients import patients_of
from processors.routing.withdrawals import SAID_BEFORE

_STORED = text("""
    select subject, position, record_id from gateway.used_id
     where project = :project and record_id is not null and subject = any(:subjects)
""")
_REQUESTED = text(f"""
    select study from gateway.transfer as known where study = any(:studies) and {ASKED_FOR.format(study="known.study")}
""")


def request_transfers(gateway: Gateway, waiting: Sequence[Waiting], *, holds_split: bool = False) -> int:
    """Requests the transfers of the studies whose patients' IDs are stored; gives their number.

    What would give a pseudonym to a second patient is held.
    """
    requested = 0
    for group in waiting:
        with gateway.begin() as work:
            requested += _request(work, group, holds_split=holds_split)
    return requested


def _request(work: Work, group: Waiting, *, holds_split: bool) -> int:
    project = group.project.project
    # Two runs of one site never meet, unless somebody works around it: then the second finds it done.
    store.lock_head(work.connection)
    # Who withdrew since the studies were gathered would not be seen.
    withdrawn = withdrawn_studies(work, project, group.studies)
    parameters = {"studies": [study.study for study in group.studies]}
    already_requested = set(work.execute(_REQUESTED, parameters).scalars())
    work.vault.load(work.connection, (study.subject for study in group.studies))
    names = {key: link_subject(project, key) for key in group.patients()}
    subjects = work.vault.subjects(work.connection, list(names.values()))
    blocked = blocked_patients(work)
    rows = work.execute(_STORED, {"project": project, "subjects": list(subjects.values())}).all()
    stored = {row.subject: row for row in rows}
    told = work.identities([row.position for row in rows])
    held = reasons(work, group.studies)
    contradicted = []
    requests: list[tuple[Candidate, TransferRequested]] = []
    released = []
    for study in group.studies:
        if study.study in already_requested or study.study in withdrawn or not work.vault.holds(study.subject):
            continue
        subject = subjects[names[str(study.key)]]
        if (project, subject) in blocked:
            contradicted.append(study)
        elif (used_id := stored.get(subject)) is not None:
            cause = Cause("autoid", used_id.record_id, used_id.position)
            _, sealed_id = told[used_id.position]
            requests.append((study, _requested(study, project, sealed_id["value"], cause)))
            if study.study in held:
                released.append(StudyReleased(study=study.study, project=project, reason=held[study.study][1]))
    facts = _compared(work, requests, holds_split=holds_split)
    sealed = [work.seal(fact, study.subject) if fact.SEALED else fact for study, fact in facts]
    gone = [study for study in group.studies if study.study in withdrawn - already_requested]
    requested = [fact.study for _, fact in facts if isinstance(fact, TransferRequested)]
    questioned = sorted(once_withdrawn(work, project, requested))
    work.record(
        [
            *sealed,
            *(
                RequestQuestioned(study=study, project=project, event_name="", **SAID_BEFORE._asdict())
                for study in questioned
            ),
            *released,
            *newly_held(work, project, contradicted, CONTRADICTED),
            *newly_held(work, project, gone, WITHDREW),
        ]
    )
    return len(requested)


def _compared(
    work: Work, requests: Sequence[tuple[Candidate, TransferRequested]], *, holds_split: bool
) -> list[tuple[Candidate, OfStudy]]:
    """What is requested, or held, as it gives the pseudonym to a second patient."""
    patients = patients_of(work, [study.study for study, _ in requests])
    claims = [claim_of(fact, patients.get(fact.study, [])) for _, fact in requests]
    comparison = compare(work, [claim for claim in claims if claim is not None], holds_split=holds_split)
    return [(study, compared) for study, fact in requests for compared in outcome_of(fact, comparison)]


def _requested(study: Candidate, project: str, value: str, cause: Cause) -> TransferRequested:
    return TransferRequested(
        study=study.study,
        project=project,
        event_name="",
        cause=cause,
        whole_match=True,
        replaces=(),
        pseudonym=value,
    )
