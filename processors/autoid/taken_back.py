"""Requests of generated IDs that REDCap holds and the ledger has lost: told by AutoID, which says whose an ID is."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, text

from ledger.events import NewEvent
from processors.events.fact import Cause
from processors.events.transfers import TransferRequested
from processors.gateway import Work
from processors.requests import TransferRow
from processors.routing.identify import claim_of, outcome_of
from processors.routing.identity import compare
from processors.routing.patient_keys import link_subject, padded_key, patient_key
from processors.routing.patients import Patient, patients_of

_IDS = text("""
    select project, fingerprint, subject, record_id, position from gateway.used_id
     where project = any(:projects) and fingerprint = any(:prints) and record_id is not null and subject is not null
""")


def lost_requests(work: Work, rows: Sequence[TransferRow]) -> Iterator[tuple[TransferRow, NewEvent]]:
    """Those of the rows that ask for the ID of their study's own patient, each with the request that it was."""
    named = [row for row in rows if row.is_sendable and not row.event_name]
    prints = {row: work.id_fingerprint(row.project, row.name) for row in named}
    about = {"projects": [row.project for row in named], "prints": list(prints.values())}
    ids = {(known.project, known.fingerprint): known for known in work.execute(_IDS, about)}
    patients = patients_of(work, [row.study for row in named])
    for row in named:
        known, theirs = ids.get((row.project, prints[row])), patients.get(row.study, [])
        if known is not None and len(theirs) == 1 and _is_of(work, row.project, theirs[0], known):
            yield from _requested(work, row, theirs[0], known)


def _is_of(work: Work, project: str, patient: Patient, known: Row[Any]) -> bool:
    """Whether the ID is the patient's."""
    _, identity = work.identities([patient.position])[patient.position]
    patient_id = identity.get("PatientID", "")
    keys = [patient_key(patient_id, work.placeholders), padded_key(patient_id, work.placeholders)]
    links = work.vault.found(work.connection, [link_subject(project, key) for key in keys if key is not None])
    return known.subject in links.values()


def _requested(
    work: Work, row: TransferRow, patient: Patient, known: Row[Any]
) -> Iterator[tuple[TransferRow, NewEvent]]:
    """The request; none where it would give the pseudonym to a second patient."""
    requested = TransferRequested(
        study=row.study,
        project=row.project,
        event_name="",
        cause=Cause("autoid", known.record_id, known.position),
        whole_match=True,
        replaces=(),
        pseudonym=row.name,
    )
    claim = claim_of(requested, [patient])
    comparison = compare(work, [] if claim is None else [claim], holds_split=False)
    for fact in outcome_of(requested, comparison):
        if isinstance(fact, TransferRequested):
            yield row, work.seal(fact, patient.subject)
