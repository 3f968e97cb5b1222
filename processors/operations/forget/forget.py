"""Destroying the keys of those who are to be forgotten, with the event that says so, in one transaction."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import text

from ledger import store
from ledger.batching import batches
from ledger.database import Database
from ledger.errors import LedgerError
from ledger.events import NewEvent
from processors.errors import ConfigurationError
from processors.events.types import EventType, vault_stream
from processors.gateway import Gateway, Work
from processors.operations.forget.data_subjects import Belongings
from processors.operations.forget.exclusive_lock import Waiting, alone
from processors.operations.forget.external_copies import Elsewhere, elsewhere

SUBJECTS_AN_EVENT = 1_000

Find = Callable[[Work], Sequence[Belongings]]
"""Gathers what is to be forgotten."""


class Forgotten(NamedTuple):
    """What was forgotten, and what is left elsewhere. `positions` are those of the events that tell it."""

    belongings: Sequence[Belongings]
    elsewhere: Elsewhere
    positions: list[int]
    destroyed: int


def forget(
    gateway: Gateway,
    find: Find,
    *,
    reason: str,
    by: str,
    transfers: str = "incoming",
    waiting: Waiting = lambda _holder: None,
) -> Forgotten:
    """Destroys the keys of what `find` gathers. Runs wait meanwhile; all that stands in the ledger stands on.

    `transfers` is the REDCap project that holds transfer requests.
    """
    with alone(gateway, waiting=waiting):
        gateway.catch_up(alone=True)
        with gateway.begin() as work:
            # Nothing is sealed for these subjects between the look and the destruction.
            store.lock_head(work.connection)
            belongings = find(work)
            check_reason(reason, belongings)
            left = elsewhere(work, belongings, transfers=transfers)
            events = [event for owner in belongings for event in _events(owner, reason=reason, by=by)]
            subjects = [subject for owner in belongings for subject in owner.all_subjects]
            destroyed = gateway.vault.forget(work.connection, subjects) if subjects else 0
            stored = work.record(events)
    return Forgotten(belongings, left, [event.position for event in stored], destroyed)


def check_reason(reason: str, belongings: Sequence[Belongings]) -> None:
    """Raises `ConfigurationError` unless the reason says something and names nobody: it is kept for ever."""
    if not reason.strip():
        raise ConfigurationError("--reason: expected a few words, such as who asked for it; found none.")
    for secret in {secret for owner in belongings for secret in owner.secrets}:
        if re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", reason, re.IGNORECASE):
            raise ConfigurationError(
                "--reason holds the PatientID or name of somebody who is to be forgotten, and would be kept in "
                "plain text for ever. Say it in other words. Nothing was changed."
            )


def compact(database: Database, *, patience_seconds: float = 10) -> bool:
    """Writes the table of subjects anew, without the old versions of its rows; False where that cannot be done now.

    A row that was changed stays in the table's file, key and all, until its place is needed, even after an
    ordinary VACUUM, which does not wipe the page. It needs the table for itself: for about a second each
    hundred thousand subjects.
    """
    try:
        with database.without_transaction() as connection:
            before = connection.execute(_FILE).scalar_one()
            connection.execute(text(f"set lock_timeout = '{round(patience_seconds * 1000)}ms'"))
            try:
                connection.execute(text("vacuum (full) ledger.subject"))
            finally:
                connection.execute(text("reset lock_timeout"))
            # Who does not own the table is warned only, and nothing happens.
            return bool(connection.execute(_FILE).scalar_one() != before)
    except LedgerError:
        return False


_FILE = text("select pg_relation_filenode('ledger.subject')")


def _events(owner: Belongings, *, reason: str, by: str) -> list[NewEvent]:
    """Mostly one; a project's links are told in portions."""
    pairs = [(kind, subject) for kind, subjects in owner.subjects.items() for subject in subjects]
    events = []
    for portion in batches(pairs, SUBJECTS_AN_EVENT):
        subjects: dict[str, list[str]] = {}
        for kind, subject in portion:
            subjects.setdefault(kind, []).append(str(subject))
        events.append(
            NewEvent(
                stream=vault_stream("subjects"),
                type=EventType.SUBJECT_FORGOTTEN,
                data={
                    "what": owner.what,
                    "name": owner.name,
                    "by": by,
                    "reason": reason.strip(),
                    "subjects": subjects,
                    "studies": len(owner.studies),
                },
            )
        )
    return events
