"""What REDCap's AutoID holds, taken over into the ledger: patients' IDs, deliveries, contradictions."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from ledger import store
from ledger.events import NewEvent
from processors.autoid.candidates import Waiting
from processors.autoid.entries import AutoidEntry, disputes, entries_from_rows
from processors.autoid.used_ids import used_ids
from processors.errors import Refused
from processors.events.fact import Fact
from processors.events.pseudonyms import ContradictionFound, ContradictionResolved, IdAdopted, IdDelivered, IdReserved
from processors.gateway import Gateway, Work
from processors.observed_list import before_exports, listed_project, tell_unreadable
from processors.redcap import Redcap
from processors.redcap.needed import LISTS
from processors.routing.patient_keys import link_subject

_UNDELIVERED = text("select project, fingerprint from gateway.used_id where record_id is null and kind = 'generated'")
_FORGOTTEN = text("""
    select project, fingerprint, record_id, subject from gateway.used_id join ledger.subject using (subject)
     where wrapped_key is null
""")
_CONTRADICTED = text("select project, record_id, fingerprint, subject from gateway.contradiction")


def adopt(gateway: Gateway, redcap: Redcap, waiting: Sequence[Waiting] = ()) -> list[AutoidEntry]:
    """The entries of AutoID, those that the ledger lacks recorded as adopted, contradictory ones as such."""
    with gateway.begin() as work:
        before = before_exports(work)
    autoid = listed_project(gateway, redcap, "autoid", LISTS["autoid"], before)
    entries = entries_from_rows(autoid.export_list())
    with gateway.begin() as work:
        tell_unreadable(work, autoid)
    with gateway.begin() as work:
        _require_known(work, autoid.unreadable)
        # Whoever draws an ID meanwhile would not be seen: they wait.
        store.lock_head(work.connection)
        work.record(_Adoption(work, entries, waiting).facts())
    return entries


_RECORDS = text("select record_id from gateway.used_id where record_id = any(:records)")


def _require_known(work: Work, unreadable: Collection[str]) -> None:
    """Raises `Refused` for an entry that cannot be read and is not known: it may be the ID of a patient who waits."""
    known = set(work.execute(_RECORDS, {"records": list(unreadable)}).scalars()) if unreadable else set()
    unknown = sorted(set(unreadable) - known)
    if unknown:
        raise Refused(
            f"REDCap cannot answer for the records {', '.join(unknown)} of AutoID, and nobody else knows whose IDs "
            "they hold: no ID is drawn. Correct these records in REDCap, or delete them."
        )


class _Contradiction(NamedTuple):
    """An entry that contradicts others, and the link of patient and project that its key is sealed for."""

    fact: ContradictionFound
    subject: UUID


class _Adoption:
    """What the entries of AutoID mean for the ledger."""

    def __init__(self, work: Work, entries: Sequence[AutoidEntry], waiting: Sequence[Waiting]) -> None:
        self._work = work
        self._entries = entries
        self._used = used_ids(work, {entry.project for entry in entries})
        self._undelivered = set(map(tuple, work.execute(_UNDELIVERED)))
        self._forgotten = {(row.project, row.fingerprint): row for row in work.execute(_FORGOTTEN)}
        self._waiting = {(group.project.project, key) for group in waiting for key in group.patients()}
        # The ledger cannot tell a forgotten patient's key any more. AutoID can, until the entry is deleted.
        self._gone = {(entry.project, entry.key) for entry in entries if self._was_forgotten(entry)}

    def facts(self) -> list[Fact | NewEvent]:
        """What is to be recorded."""
        heeded = [entry for entry in self._entries if entry.is_complete and self._is_heeded(entry)]
        names = [link_subject(entry.project, entry.key) for entry in heeded]
        subjects = self._work.vault.subjects(self._work.connection, names)
        disputed = disputes(heeded)
        contradictions: dict[tuple[str, str], _Contradiction] = {}
        facts: list[Fact | NewEvent] = []
        for entry, name in zip(heeded, names, strict=True):
            subject = subjects[name]
            if self._used.of(entry.project, subject) == self._print(entry):
                facts.extend(self._deliveries(entry))
                continue
            in_the_way = self._used.objection(entry.project, self._print(entry), self._name(entry), subject)
            objection = in_the_way or disputed.get(entry.record_id)
            if objection is None:
                facts.append(self._adopted(entry, subject))
            else:
                contradictions[entry.project, entry.record_id] = self._contradiction(entry, subject, objection)
        return [*facts, *self._reservations(heeded), *self._changes_of(contradictions)]

    def _is_heeded(self, entry: AutoidEntry) -> bool:
        """Not so any entry of a forgotten patient, unless that very patient has come back and waits for an ID.

        Their other entries neither: a second one of the same ID, or one that contradicted the first, would
        be reported as somebody else's.
        """
        ours = self._was_forgotten(entry)
        if (entry.project, entry.key) in self._waiting:
            if ours:
                self._used.add(entry.project, self._print(entry), None, None)
            return True
        own_import = (entry.project, self._print(entry)) in self._undelivered
        return not ours and (own_import or (entry.project, entry.key) not in self._gone)

    def _was_forgotten(self, entry: AutoidEntry) -> bool:
        """Whether it is the entry of an ID whose patient was forgotten."""
        forgotten = self._forgotten.get((entry.project, self._print(entry)))
        return entry.is_complete and forgotten is not None and forgotten.record_id in (None, entry.record_id)

    def _name(self, entry: AutoidEntry) -> str | None:
        return self._work.name_fingerprint(entry.project, entry.value)

    def _deliveries(self, entry: AutoidEntry) -> list[IdDelivered]:
        """It was imported by a run that was killed before it could record so."""
        undelivered = entry.project, self._print(entry)
        if undelivered not in self._undelivered:
            return []
        self._undelivered.discard(undelivered)
        return [IdDelivered(project=entry.project, fingerprint=self._print(entry), record_id=entry.record_id)]

    def _adopted(self, entry: AutoidEntry, subject: UUID) -> NewEvent:
        self._used.add(entry.project, self._print(entry), self._name(entry), subject)
        forgotten = self._forgotten.get((entry.project, self._print(entry)))
        fact = IdAdopted(
            project=entry.project,
            fingerprint=self._print(entry),
            name_fingerprint=self._name(entry),
            value=entry.value,
            record_id=entry.record_id,
            forgotten=None if forgotten is None else str(forgotten.subject),
            key=entry.key,
        )
        return self._work.seal(fact, subject)

    def _reservations(self, heeded: Collection[AutoidEntry]) -> list[IdReserved]:
        """An entry that does not say whose its ID is, or that is not heeded, keeps the ID from everybody."""
        others = [e for e in set(self._entries).difference(heeded) if e.project and e.value]
        ids = {(entry.project, self._print(entry)): entry.value for entry in others}
        return [
            IdReserved(
                project=project,
                fingerprint=fingerprint,
                name_fingerprint=self._work.name_fingerprint(project, value),
            )
            for (project, fingerprint), value in sorted(ids.items())
            if not self._used.holds(project, fingerprint)
        ]

    def _changes_of(self, standing: Mapping[tuple[str, str], _Contradiction]) -> list[Fact | NewEvent]:
        """Contradictions not reported yet, and the ends of those that are over."""
        rows = self._work.execute(_CONTRADICTED).all()
        reported = {(row.project, row.record_id): (row.fingerprint, row.subject) for row in rows}
        new = [
            self._work.seal(fact, subject)
            for stream_key, (fact, subject) in standing.items()
            if reported.get(stream_key) != (fact.fingerprint, subject)
        ]
        over = [
            ContradictionResolved(project=project, record_id=record_id)
            for project, record_id in reported.keys() - standing.keys()
        ]
        return [*new, *over]

    def _contradiction(self, entry: AutoidEntry, subject: UUID, objection: str) -> _Contradiction:
        fact = ContradictionFound(
            project=entry.project,
            fingerprint=self._print(entry),
            name_fingerprint=self._name(entry),
            value=entry.value,
            record_id=entry.record_id,
            details=objection,
            key=entry.key,
        )
        return _Contradiction(fact, subject)

    def _print(self, entry: AutoidEntry) -> str:
        """The fingerprint of its ID."""
        return self._work.id_fingerprint(entry.project, entry.value)
