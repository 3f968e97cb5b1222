"""Requesting the transfers of studies whose patients' IDs are stored."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text

from ledger import store
from ledger.events import NewEvent, new_event_id
from processors.autoid import registry
from processors.autoid.candidates import Candidate, Waiting
from processors.autoid.holds import CONTRADICTED, held_events, reasons, released_event
from processors.autoid.patient_keys import link_subject
from processors.events.types import EventType, study_stream
from processors.gateway import Gateway, Work

_STORED = text("""
    select subject, value, position, record_id from gateway.used_id
     where project = :project and record_id is not null and subject = any(:subjects)
""")


_ASKED_FOR = text("""
    select study from gateway.transfer where study = any(:studies) and state <> 'withdrawn'
""")


def request_transfers(gateway: Gateway, waiting: Sequence[Waiting]) -> int:
    """Requests the transfers of the studies whose patients' IDs are stored; gives their number."""
    requested = 0
    for group in waiting:
        with gateway.begin() as work:
            events = _requests(work, group)
            work.record(events)
        requested += sum(event.type == EventType.TRANSFER_REQUESTED for event in events)
    return requested


def _requests(work: Work, group: Waiting) -> list[NewEvent]:
    project = group.project.project
    # Two runs of one site never meet, unless somebody works around it: then the second finds it done.
    store.lock_head(work.connection)
    asked_for = set(work.execute(_ASKED_FOR, {"studies": [study.study for study in group.studies]}).scalars())
    work.vault.load(work.connection, (study.subject for study in group.studies))
    names = {key: link_subject(project, key) for key in group.patients()}
    subjects = work.vault.subjects(work.connection, list(names.values()))
    barred = registry.blocked(work)
    wanted = {"project": project, "subjects": list(subjects.values())}
    stored = {row.subject: row for row in work.execute(_STORED, wanted)}
    held = reasons(work, group.studies)
    contradicted: list[Candidate] = []
    events: list[NewEvent] = []
    for study in group.studies:
        if study.study in asked_for or not work.vault.holds(study.subject):
            continue
        subject = subjects[names[str(study.key)]]
        if (project, subject) in barred:
            contradicted.append(study)
        elif (found := stored.get(subject)) is not None:
            cause = {"kind": "autoid", "record_id": found.record_id, "position": found.position}
            events.append(_requested(work, study, project, found.value, cause))
            if study.study in held:
                events.append(released_event(study.study, project, held[study.study][1]))
    return events + held_events(work, project, contradicted, CONTRADICTED)


def _requested(work: Work, study: Candidate, project: str, value: str, cause: Mapping[str, str | int]) -> NewEvent:
    event_id = new_event_id()
    return NewEvent(
        stream=study_stream(study.study),
        type=EventType.TRANSFER_REQUESTED,
        data={
            "study": study.study,
            "project": project,
            "event_name": "",
            "cause": dict(cause),
            "whole_match": True,
            "replaces": [],
        },
        event_id=event_id,
        subject=study.subject,
        sealed=work.vault.seal(study.subject, event_id, {"pseudonym": value}),
    )
