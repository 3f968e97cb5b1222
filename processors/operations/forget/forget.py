"""Erasure by crypto-shredding: keys are destroyed, with the event that says whose, in one transaction."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from ledger import store
from ledger.attestation import attest
from ledger.batching import batches
from ledger.database import Database
from ledger.errors import LedgerError
from processors.errors import ConfigurationError
from processors.events.operations import SubjectForgotten
from processors.gateway import Gateway, Work
from processors.operations.forget.data_subjects import DataSubject
from processors.operations.forget.exclusive_lock import Waiting, exclusive_lock
from processors.operations.forget.external_copies import ExternalCopies, external_copies
from processors.requests import TransferRequest
from processors.routing.adopted_patients import ADOPTED_PATIENT, names_of_adopted
from processors.routing.overrides import end_all
from processors.text import without_padding, words_of

SUBJECTS_AN_EVENT = 1_000

Find = Callable[[Work], Sequence[DataSubject]]
"""Gathers what is to be forgotten."""


class Forgotten(NamedTuple):
    """What was forgotten, and the copies that are left. `positions` are those of the events that tell it.

    `requests` are those that end, or had ended and can be sent all the same until REDCap is told: nothing of the
    forgotten is to be sent (again).
    """

    data_subjects: Sequence[DataSubject]
    external_copies: ExternalCopies
    positions: list[int]
    destroyed: int
    requests: list[TransferRequest]


def forget(
    gateway: Gateway,
    find: Find,
    *,
    reason: str,
    by: str,
    transfers: str = "incoming",
    waiting: Waiting = lambda _holder: None,
    tell: Callable[[ExternalCopies], None] = lambda _copies: None,
) -> Forgotten:
    """Destroys the keys of what `find` gathers. Runs wait meanwhile; all that stands in the ledger stands on.

    What was requested of their studies ends, in REDCap with the next delivery.

    `transfers` is the REDCap project that holds transfer requests. `tell` is given what is left elsewhere while the
    keys still stand: afterwards nobody could find out, so that nothing is destroyed where it raises an error.
    """
    with exclusive_lock(gateway, waiting=waiting):
        gateway.catch_up(alone=True)
        with gateway.begin() as work:
            # Nothing is sealed for these subjects between the look and the destruction.
            store.lock_head(work.connection)
            data_subjects = find(work)
            check_names_nobody(work, reason, data_subjects)
            copies = external_copies(work, data_subjects, transfers=transfers)
            facts = [fact for data_subject in data_subjects for fact in _forgotten(data_subject, reason=reason, by=by)]
            subjects = [subject for data_subject in data_subjects for subject in data_subject.all_subjects]
            tell(copies)
            studies = {study for data_subject in data_subjects for study in data_subject.studies}
            requests = end_all(work, studies, by=by, reason=reason.strip())
            destroyed = gateway.vault.forget(work.connection, subjects) if subjects else 0
            stored = work.record(facts)
            attest(work.connection, gateway.vault, forgotten=destroyed)
    return Forgotten(data_subjects, copies, [event.position for event in stored], destroyed, requests)


def check_reason(reason: str) -> None:
    """Raises `ConfigurationError` unless the reason says something."""
    if not reason.strip():
        raise ConfigurationError("--reason: expected a few words, such as who asked for it; found none.")


def check_names_nobody(work: Work, reason: str, data_subjects: Sequence[DataSubject]) -> None:
    """Raises `ConfigurationError` where the reason names somebody who is to be forgotten: it is kept for ever."""
    check_reason(reason)
    secrets = {secret for data_subject in data_subjects for secret in data_subject.secrets}
    adopted = [each for data_subject in data_subjects for each in data_subject.subjects.get(ADOPTED_PATIENT, ())]
    if words_of(secrets).search(reason) or _names_adopted(work, reason, adopted):
        raise ConfigurationError(
            "--reason holds the PatientID or name of somebody who is to be forgotten, and would be kept in "
            "plain text for ever. Say it in other words. Nothing was changed."
        )


_LONGEST_PATIENT_ID = 64  # as DICOM has it


def _names_adopted(work: Work, reason: str, adopted: Collection[UUID]) -> bool:
    """Whether words of the reason are a PatientID by whose hash alone these are known."""
    marks = set(work.vault.marks(work.connection, adopted).values()) if adopted else set()
    if not marks:
        return False
    edges = [match.start() for match in re.finditer(r"(?<![^\W_])|(?![^\W_])", reason)]
    words = {
        without_padding(reason[start:end])
        for start in edges
        for end in edges
        if start < end <= start + _LONGEST_PATIENT_ID
    }
    cases = {each for word in words for each in (word, word.upper(), word.lower())}
    return any(work.vault.mark(name) in marks for name in names_of_adopted(cases))


def compact(database: Database, *, patience_seconds: float = 10) -> bool:
    """Writes the tables of keys anew, without the old versions of their rows; False where that cannot be done now.

    A row that was changed stays in the table's file, key and all, until its place is needed, even after an
    ordinary VACUUM, which does not wipe the page. It needs the tables for itself: for about a second each
    hundred thousand subjects.
    """
    try:
        with database.begin() as connection:
            connection.execute(text(f"set local lock_timeout = '{round(patience_seconds * 1000)}ms'"))
            # As VACUUM (FULL, ANALYZE) does, which a transaction, and so a lock timeout through a pooler, is refused.
            for table, index in (("ledger.subject", "subject_pkey"), ("ledger.vault", "vault_pkey")):
                connection.execute(text(f"cluster {table} using {index}"))
                connection.execute(text(f"analyze {table}"))
            return True
    except LedgerError:
        return False


def _forgotten(data_subject: DataSubject, *, reason: str, by: str) -> Iterator[SubjectForgotten]:
    """Mostly one fact; a project's links are told in batches."""
    pairs = [(kind, subject) for kind, subjects in data_subject.subjects.items() for subject in subjects]
    for batch in batches(pairs, SUBJECTS_AN_EVENT):
        subjects: dict[str, list[str]] = {}
        for kind, subject in batch:
            subjects.setdefault(kind, []).append(str(subject))
        yield SubjectForgotten(
            what=data_subject.what,
            name=data_subject.name,
            by=by,
            reason=reason.strip(),
            subjects=subjects,
            studies=len(data_subject.studies),
        )
