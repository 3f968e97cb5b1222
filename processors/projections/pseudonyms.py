"""Projection of generated IDs: gateway.autoid_project, used_id, contradiction, held_study, observed_transfer."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ledger.events import Event
from processors.events.types import EventType
from processors.projections.rows import Again, Change, Each, Parameters, Rules, apply_rules
from processors.projections.statements import Table


class Pseudonyms:
    """One row an ID in use; the database itself refuses a second ID for a patient, or a second patient for an ID."""

    name = "pseudonyms"
    code_version = 1
    tables: Sequence[str] = (
        "gateway.autoid_project",
        "gateway.used_id",
        "gateway.contradiction",
        "gateway.held_study",
        "gateway.observed_transfer",
    )

    def __init__(self) -> None:
        self._rules: Rules = {
            EventType.AUTOID_PROJECT_CHANGED: [Each(_SEE_PROJECT, _seen), Each(_UPSERT_PROJECT, _project)],
            EventType.AUTOID_PROJECT_DOUBTED: [Each(_DOUBT_PROJECT, _seen)],
            EventType.AUTOID_PROJECT_RETURNED: [Each(_SEE_PROJECT, _seen)],
            EventType.AUTOID_PROJECT_REMOVED: [Each(_REMOVE_PROJECT, lambda event: [_data(event, "record_id")])],
            EventType.ID_GENERATED: [Each(_INSERT_ID, lambda event: [_used(event, "generated")])],
            EventType.ID_ADOPTED: [
                Each(_LET_GO_OF_ID, _forgotten),
                Each(_ADOPT_ID, lambda event: [_used(event, "adopted")]),
            ],
            EventType.ID_RESERVED: [Each(_RESERVE_ID, lambda event: [_used(event, "reserved")])],
            EventType.ID_DELIVERED: [Each(_DELIVER_ID, lambda event: [_data(event, "project", "value", "record_id")])],
            EventType.CONTRADICTION_FOUND: [
                Each(_UPSERT_CONTRADICTION, _contradiction),
                Each(_RESERVE_ID, lambda event: [_used(event, "reserved")]),
            ],
            EventType.CONTRADICTION_RESOLVED: [
                Each(_DELETE_CONTRADICTION, lambda event: [_data(event, "project", "record_id")])
            ],
            EventType.STUDY_HELD: [Each(_HOLD, lambda event: [_data(event, "study", "project", "reason")])],
            EventType.STUDY_RELEASED: [Each(_RELEASE, lambda event: [_data(event, "study")])],
            EventType.TRANSFER_OBSERVED: [Each(_OBSERVE, lambda event: [_data(event, "study")])],
            EventType.STUDY_REQUESTED_BY_OTHERS: [Each(_OBSERVE, lambda event: [_data(event, "study")])],
        }
        self.types = frozenset(self._rules)

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies the events in order."""
        apply_rules(connection, events, self._rules)


_PROJECTS = Table(
    name="autoid_project",
    key=("record_id",),
    columns={
        "record_id": "text",
        "position": "bigint",
        "fingerprint": "text",
        "project": "text",
        "pattern": "text",
        "aetitle": "text",
        "wanted": "boolean",
        "problems": "text[]",
    },
)
_UPSERT_PROJECT = _PROJECTS.upsert(also="removed = false")
_REMOVE_PROJECT = _PROJECTS.mark_removed()
_SIGHTINGS = """
    json_to_recordset(cast(:rows as json)) as r (record_id text, position bigint, recorded_at timestamptz)
     where p.record_id = r.record_id
"""
_DOUBT_PROJECT = Change(
    "autoid_project",
    ("record_id",),
    text(f"""
        update gateway.autoid_project as p
           set doubted_position = r.position, missed_from = r.recorded_at, missed_until = null
          from {_SIGHTINGS}
    """),
)
_SEE_PROJECT = Change(
    "autoid_project",
    ("record_id",),
    text(f"""
        update gateway.autoid_project as p set doubted_position = null, missed_until = r.recorded_at
          from {_SIGHTINGS} and p.doubted_position is not null
    """),
    Again.FIRST_COUNTS,
)
_ID = ("project", "value")
_IDS = """
    json_to_recordset(cast(:rows as json)) as r (
        project text, value text, kind text, subject uuid, position bigint, pattern text, recorded_at timestamptz,
        record_id text, forgotten uuid)
"""
_INSERT_ID = Change(
    "used_id",
    _ID,
    text(f"""
        insert into gateway.used_id (project, value, kind, subject, position, pattern, recorded_at, record_id)
        select project, value, kind, subject, position, pattern, recorded_at, record_id
          from {_IDS}
    """),
    Again.BOTH_COUNT,
)
# A patient who was forgotten has come back: the ID is nobody's until it is adopted for the one they are now.
_LET_GO_OF_ID = Change(
    "used_id",
    _ID,
    text(f"""
        update gateway.used_id set kind = 'reserved', subject = null
          from {_IDS}
         where used_id.project = r.project and used_id.value = r.value and used_id.subject = r.forgotten
    """),
    Again.BOTH_COUNT,
)
# An ID of AutoID is usually carried by a transfer request too, and may have been reserved for that. From a
# patient it is not taken: the table refuses an adopted ID without a subject.
_ADOPT_ID = Change(
    "used_id",
    _ID,
    text(f"""
        insert into gateway.used_id (project, value, kind, subject, position, pattern, recorded_at, record_id)
        select project, value, kind, subject, position, pattern, recorded_at, record_id
          from {_IDS}
        on conflict (project, value) do update
           set kind = excluded.kind, position = excluded.position, pattern = excluded.pattern,
               recorded_at = excluded.recorded_at, record_id = excluded.record_id,
               subject = case when used_id.kind = 'reserved' then excluded.subject end
    """),
    Again.BOTH_COUNT,
)
# Somebody may have given by hand what was drawn here as well: then it is in use already. So it is with
# an ID about which AutoID contradicts itself: whosever it turns out to be, nobody else may draw it.
_RESERVE_ID = Change(
    "used_id",
    _ID,
    text("""
        insert into gateway.used_id (project, value, kind, position, recorded_at)
        select project, value, kind, position, recorded_at
          from json_to_recordset(cast(:rows as json)) as r (
               project text, value text, kind text, position bigint, recorded_at timestamptz)
        on conflict (project, value) do nothing
    """),
    Again.FIRST_COUNTS,
)
_DELIVER_ID = Change(
    "used_id",
    _ID,
    text("""
        update gateway.used_id set record_id = r.record_id
          from json_to_recordset(cast(:rows as json)) as r (project text, value text, record_id text)
         where used_id.project = r.project and used_id.value = r.value
    """),
)
_CONTRADICTIONS = Table(
    name="contradiction",
    key=("project", "record_id"),
    columns={
        "project": "text",
        "record_id": "text",
        "subject": "uuid",
        "value": "text",
        "position": "bigint",
        "details": "text",
    },
)
_UPSERT_CONTRADICTION = _CONTRADICTIONS.upsert()
_DELETE_CONTRADICTION = _CONTRADICTIONS.delete()
_HELD = Table(
    name="held_study",
    key=("study",),
    columns={
        "study": "text",
        "project": "text",
        "reason": "text",
        "position": "bigint",
    },
)
_HOLD = _HELD.upsert()
_RELEASE = _HELD.delete()
_OBSERVED = Table(
    name="observed_transfer",
    key=("study",),
    columns={
        "study": "text",
        "position": "bigint",
    },
)
_OBSERVE = _OBSERVED.insert_once()


def _data(event: Event, *keys: str) -> Parameters:
    return {key: event.data[key] for key in keys} | {"position": event.position}


def _project(event: Event) -> list[Parameters]:
    return [_data(event, "record_id", "fingerprint", "project", "pattern", "aetitle", "wanted", "problems")]


def _seen(event: Event) -> list[Parameters]:
    return [_data(event, "record_id") | {"recorded_at": event.recorded_at}]


def _forgotten(event: Event) -> list[Parameters]:
    forgotten = event.data.get("forgotten")
    return [] if forgotten is None else [_data(event, *_ID) | {"forgotten": forgotten}]


def _used(event: Event, kind: str) -> Parameters:
    return _data(event, "project", "value") | {
        "kind": kind,
        "subject": event.subject,
        "pattern": event.data.get("pattern"),
        "recorded_at": event.recorded_at,
        "record_id": event.data.get("record_id"),
    }


def _contradiction(event: Event) -> list[Parameters]:
    return [_data(event, "project", "record_id", "value", "details") | {"subject": event.subject}]
