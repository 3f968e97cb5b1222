"""Which IDs are in use: what REDCap's AutoID holds, what transfer requests of others carry, what was drawn here."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from ledger import store
from ledger.events import NewEvent, new_event_id
from processors.autoid.candidates import Waiting
from processors.autoid.patient_keys import link_subject
from processors.delivery.actual import transfers_project
from processors.events.types import EventType, autoid_stream
from processors.gateway import Gateway, Work
from processors.redcap import Project, Redcap, Row

OVERLAP = timedelta(hours=26)
"""How far back a look at REDCap's log reaches beyond the last one: its clock and zone may differ by a day."""


class Entry(NamedTuple):
    """An entry of AutoID."""

    record_id: str
    project: str
    key: str
    value: str

    @property
    def is_complete(self) -> bool:
        """Whether it says whose ID it is."""
        return bool(self.project and self.key and self.value)


def entries_from_rows(rows: Iterable[Row]) -> list[Entry]:
    """The entries in AutoID's rows, oldest record first, the incomplete ones too."""
    entries = [
        Entry(
            record_id=row["record_id"],
            project=row.get("autoid_project_name", "").strip(),
            key=row.get("autoid_hash", "").strip().lower(),
            value=row.get("autoid_value", "").strip(),
        )
        for row in rows
    ]
    return sorted(entries, key=lambda entry: _by_number(entry.record_id))


def disputes(entries: Iterable[Entry]) -> dict[str, str]:
    """What is wrong with the entries that contradict each other, by record id.

    Which of them is right is for a person to say: the older one may as well be the mistake.
    """
    entries = list(entries)
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in entries:
        values[entry.project, entry.key].add(entry.value)
        keys[entry.project, entry.value].add(entry.key)
    found = {}
    for entry in entries:
        if len(keys[entry.project, entry.value]) > 1:
            found[entry.record_id] = "Other entries give its ID to another patient."
        elif len(values[entry.project, entry.key]) > 1:
            found[entry.record_id] = "Other entries give its patient another ID."
    return found


def _by_number(record_id: str) -> tuple[bool, int, str]:
    number = record_id.isascii() and record_id.isdigit()
    return (not number, int(record_id) if number else 0, record_id)


class Register:
    """The IDs in use in some projects, as the ledger has them, and whose they are.

    A subject is the link of a patient to a project; a reserved ID belongs to nobody.
    """

    def __init__(self, rows: Iterable[tuple[str, str, UUID | None]]) -> None:
        self._owner: dict[tuple[str, str], UUID | None] = {}
        self._value: dict[tuple[str, UUID], str] = {}
        for project, value, subject in rows:
            self.add(project, value, subject)

    def add(self, project: str, value: str, subject: UUID | None) -> None:
        """Takes note of an ID in use."""
        self._owner[project, value] = subject
        if subject is not None:
            self._value[project, subject] = value

    def value_of(self, project: str, subject: UUID) -> str | None:
        """The ID of a patient in a project."""
        return self._value.get((project, subject))

    def used(self, project: str) -> list[str]:
        """All IDs in use in a project, the reserved ones included."""
        return [value for other, value in self._owner if other == project]

    def holds(self, project: str, value: str) -> bool:
        """Whether the ID is in use."""
        return (project, value) in self._owner

    def objection(self, project: str, value: str, subject: UUID) -> str | None:
        """Why the ID cannot be this patient's: it is another's, or the patient has another."""
        owner = self._owner.get((project, value))
        if owner is not None and owner != subject:
            return "Its ID belongs to another patient already."
        if self._value.get((project, subject), value) != value:
            return "Its patient has another ID already."
        return None


_REGISTER = text("select project, value, subject from gateway.used_id where project = any(:projects)")
_UNDELIVERED = text("select project, value from gateway.used_id where record_id is null and kind = 'generated'")
_FORGOTTEN = text("""
    select project, value, record_id, subject from gateway.used_id join ledger.subject using (subject)
     where wrapped_key is null
""")
_CONTRADICTED = text("select project, record_id, value, subject from gateway.contradiction")
_BLOCKED = text("""
    select project, subject from gateway.contradiction
    union
    select project, used_id.subject from gateway.used_id join gateway.contradiction using (project, value)
     where used_id.subject is not null
""")


def register(work: Work, projects: Collection[str]) -> Register:
    """The IDs in use in these projects."""
    rows = work.execute(_REGISTER, {"projects": list(projects)})
    return Register((row.project, row.value, row.subject) for row in rows)


def blocked(work: Work) -> set[tuple[str, UUID]]:
    """The patients (project, subject) with two IDs in AutoID, or one that is another's too: they get none from us."""
    return {(row.project, row.subject) for row in work.execute(_BLOCKED)}


def adopt(gateway: Gateway, redcap: Redcap, waiting: Sequence[Waiting] = ()) -> list[Entry]:
    """The entries of AutoID, those that the ledger lacks recorded as adopted, contradictory ones as such."""
    needed = ("record_id", "autoid_project_name", "autoid_hash", "autoid_value")
    autoid = Project(redcap, "autoid", gateway.database, gateway.clock, needed=needed)
    entries = entries_from_rows(autoid.export_list())
    with gateway.begin() as work:
        # Whoever draws an ID meanwhile would not be seen: they wait.
        store.lock_head(work.connection)
        work.record(_Adoption(work, entries, waiting).events())
    return entries


class _Adoption:
    """What the entries of AutoID mean for the ledger."""

    def __init__(self, work: Work, entries: Sequence[Entry], waiting: Sequence[Waiting]) -> None:
        self._work = work
        self._entries = entries
        self._known = register(work, {entry.project for entry in entries})
        self._undelivered = {(row.project, row.value) for row in work.execute(_UNDELIVERED)}
        self._forgotten = {(row.project, row.value): row for row in work.execute(_FORGOTTEN)}
        self._waiting = {(group.project.project, key) for group in waiting for key in group.patients()}
        # The ledger cannot tell a forgotten patient's key any more. AutoID can, until the entry is deleted.
        self._gone = {(entry.project, entry.key) for entry in entries if self._was_forgotten(entry)}

    def events(self) -> list[NewEvent]:
        heeded = [entry for entry in self._entries if entry.is_complete and self._is_heeded(entry)]
        names = [link_subject(entry.project, entry.key) for entry in heeded]
        subjects = self._work.vault.subjects(self._work.connection, names)
        disputed = disputes(heeded)
        contradictions: dict[tuple[str, str], NewEvent] = {}
        events: list[NewEvent] = []
        for entry, name in zip(heeded, names, strict=True):
            subject = subjects[name]
            if self._known.value_of(entry.project, subject) == entry.value:
                events.extend(self._deliveries(entry))
                continue
            objection = self._known.objection(entry.project, entry.value, subject) or disputed.get(entry.record_id)
            if objection is None:
                events.append(self._adopted(entry, subject))
            else:
                found = self._entry_event(EventType.CONTRADICTION_FOUND, entry, subject, details=objection)
                contradictions[entry.project, entry.record_id] = found
        return events + self._reservations(heeded) + self._news_of(contradictions)

    def _is_heeded(self, entry: Entry) -> bool:
        """Not so any entry of a forgotten patient, unless that very patient has come back and waits for an ID.

        Their other entries neither: a second one of the same ID, or one that contradicted the first, would
        be reported as somebody else's.
        """
        ours = self._was_forgotten(entry)
        if (entry.project, entry.key) in self._waiting:
            if ours:
                self._known.add(entry.project, entry.value, None)
            return True
        own_import = (entry.project, entry.value) in self._undelivered
        return not ours and (own_import or (entry.project, entry.key) not in self._gone)

    def _was_forgotten(self, entry: Entry) -> bool:
        """Whether it is the entry of an ID whose patient was forgotten."""
        forgotten = self._forgotten.get((entry.project, entry.value))
        return entry.is_complete and forgotten is not None and forgotten.record_id in (None, entry.record_id)

    def _deliveries(self, entry: Entry) -> list[NewEvent]:
        """It was imported by a run that was killed before it could record so."""
        if (entry.project, entry.value) not in self._undelivered:
            return []
        self._undelivered.discard((entry.project, entry.value))
        return [delivered_event(entry.project, entry.value, entry.record_id)]

    def _adopted(self, entry: Entry, subject: UUID) -> NewEvent:
        self._known.add(entry.project, entry.value, subject)
        forgotten = self._forgotten.get((entry.project, entry.value))
        more = {} if forgotten is None else {"forgotten": str(forgotten.subject)}
        return self._entry_event(EventType.ID_ADOPTED, entry, subject, **more)

    def _reservations(self, heeded: Collection[Entry]) -> list[NewEvent]:
        """An entry that does not say whose its ID is, or that is not heeded, keeps the ID from everybody."""
        ids = {(e.project, e.value) for e in set(self._entries).difference(heeded) if e.project and e.value}
        return [reserved_event(*id_) for id_ in sorted(ids) if not self._known.holds(*id_)]

    def _news_of(self, standing: Mapping[tuple[str, str], NewEvent]) -> list[NewEvent]:
        """Contradictions not reported yet, and the ends of those that are over."""
        rows = self._work.execute(_CONTRADICTED).all()
        reported = {(row.project, row.record_id): (row.value, row.subject) for row in rows}
        events = [
            event for place, event in standing.items() if reported.get(place) != (event.data["value"], event.subject)
        ]
        events.extend(
            NewEvent(
                stream=autoid_stream(project),
                type=EventType.CONTRADICTION_RESOLVED,
                data={"project": project, "record_id": record_id},
            )
            for project, record_id in reported.keys() - standing.keys()
        )
        return events

    def _entry_event(self, type_: EventType, entry: Entry, subject: UUID, **more: str) -> NewEvent:
        data = {"value": entry.value, "record_id": entry.record_id, **more}
        return sealed_for_link(self._work, type_, entry.project, entry.key, subject, data)


def reserved_event(project: str, value: str) -> NewEvent:
    """An ID that must not be drawn."""
    return NewEvent(
        stream=autoid_stream(project), type=EventType.ID_RESERVED, data={"project": project, "value": value}
    )


def delivered_event(project: str, value: str, record_id: str) -> NewEvent:
    """An ID now stands in AutoID."""
    return NewEvent(
        stream=autoid_stream(project),
        type=EventType.ID_DELIVERED,
        data={"project": project, "value": value, "record_id": record_id},
    )


def sealed_for_link(
    work: Work, type_: EventType, project: str, key: str, subject: UUID, data: Mapping[str, str | int]
) -> NewEvent:
    """An event about an ID, the patient's key sealed for the link of patient and project."""
    event_id = new_event_id()
    return NewEvent(
        stream=autoid_stream(project),
        type=type_,
        data={"project": project, **data},
        event_id=event_id,
        subject=subject,
        sealed=work.vault.seal(subject, event_id, {"key": key}),
    )


_LOOKED = text("select looked_at, pattern from gateway.reservation_look where project = :project")
_LOOK = text("""
    insert into gateway.reservation_look (project, pattern, looked_at) values (:project, :pattern, :looked_at)
    on conflict (project) do update set pattern = excluded.pattern, looked_at = excluded.looked_at
""")
_REQUEST_FIELDS = ("study_instance_uid", "transfer_project_name", "transfer_name")


def reserve(gateway: Gateway, redcap: Redcap, project: str, pattern: str, matches: Callable[[str], bool]) -> None:
    """Reserves the IDs that transfer requests of the project carry in REDCap, whoever made them.

    The first look reads all requests; later ones only those of records changed since. Only names that
    match the pattern are recorded: others can never be drawn, and may be patients' names. Nor are those
    that rules and couplings gave: a rule takes them from patients' IDs, and `requested_names` knows them.
    """
    now = gateway.clock()
    with gateway.begin() as work:
        last = work.execute(_LOOKED, {"project": project}).one_or_none()
    since = last.looked_at - OVERLAP if last is not None and last.pattern == pattern else None
    rows = redcap.export_records(
        transfers_project(redcap),
        fields=_REQUEST_FIELDS,
        changed_since=None if since is None else gateway.local(since),
    )
    with gateway.begin() as work:
        ours = {(row.study, str(row.instance)) for row in work.execute(_OUR_ROWS, {"project": project})}
        names = {
            name
            for row in rows
            if row.get("transfer_project_name", "").strip() == project
            and (name := row.get("transfer_name", "").strip())
            and (row["study_instance_uid"], row["redcap_repeat_instance"]) not in ours
        } - requested_names(work, project)
        known = register(work, [project])
        work.record(
            [
                reserved_event(project, name)
                for name in sorted(names)
                if not known.holds(project, name) and matches(name)
            ],
        )
        work.execute(_LOOK, {"project": project, "pattern": pattern, "looked_at": now})


_OUR_ROWS = text("""
    select study, instance from gateway.transfer
     where project = :project and cause_kind <> 'autoid' and instance is not null
""")
_OUR_REQUESTS = text("select position from gateway.transfer where project = :project and cause_kind <> 'autoid'")
_REQUESTED_SINCE = text("""
    select exists (select from gateway.transfer
                    where project = :project and cause_kind <> 'autoid' and position > :position)
""")


def requested_names(work: Work, project: str) -> set[str]:
    """The pseudonyms of this project's requests that rules and couplings led to.

    They are not recorded as reserved: their events alone hold them, sealed.
    """
    positions = work.execute(_OUR_REQUESTS, {"project": project}).scalars().all()
    payloads = (payload for _, payload in work.identities(positions).values())
    return {payload["pseudonym"].strip() for payload in payloads if payload}


def requested_since(work: Work, project: str, position: int) -> bool:
    """Whether rules or couplings have led to a request of this project after that event."""
    found: bool = work.execute(_REQUESTED_SINCE, {"project": project, "position": position}).scalar_one()
    return found
