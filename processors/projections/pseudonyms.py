"""Projection of generated IDs: gateway.autoid_project, used_id, contradiction, held_study, observed_transfer."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ledger.events import Event
from processors.events import EventType
from processors.projections.rows import Each, Parameters, Rules, apply_rules


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
            EventType.AUTOID_PROJECT_CHANGED: [Each(_UPSERT_PROJECT, _project)],
            EventType.AUTOID_PROJECT_REMOVED: [Each(_REMOVE_PROJECT, lambda event: [_data(event, "record_id")])],
            EventType.ID_GENERATED: [Each(_INSERT_ID, lambda event: [_used(event, "generated")])],
            EventType.ID_ADOPTED: [Each(_ADOPT_ID, _adopted)],
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
        }
        self.types = frozenset(self._rules)

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies the events in order."""
        apply_rules(connection, events, self._rules)


_UPSERT_PROJECT = text("""
    insert into gateway.autoid_project (record_id, position, fingerprint, project, pattern, aetitle, wanted, problems)
    values (:record_id, :position, :fingerprint, :project, :pattern, :aetitle, :wanted, :problems)
    on conflict (record_id) do update
       set position = excluded.position, fingerprint = excluded.fingerprint, project = excluded.project,
           pattern = excluded.pattern, aetitle = excluded.aetitle, wanted = excluded.wanted,
           problems = excluded.problems, removed = false
""")
_REMOVE_PROJECT = text("""
    update gateway.autoid_project set removed = true, position = :position where record_id = :record_id
""")
_INSERT_ID = text("""
    insert into gateway.used_id (project, value, kind, subject, position, pattern, recorded_at, record_id)
    values (:project, :value, :kind, :subject, :position, :pattern, :recorded_at, :record_id)
""")
# An ID of AutoID is usually carried by a transfer request too, and may have been reserved for that; or
# it was a patient's who has been forgotten and has come back. From anybody else it is not taken: the
# table refuses an adopted ID without a subject.
_ADOPT_ID = text("""
    insert into gateway.used_id (project, value, kind, subject, position, pattern, recorded_at, record_id)
    values (:project, :value, :kind, :subject, :position, :pattern, :recorded_at, :record_id)
    on conflict (project, value) do update
       set kind = excluded.kind, position = excluded.position, pattern = excluded.pattern,
           recorded_at = excluded.recorded_at, record_id = excluded.record_id,
           subject = case when used_id.kind = 'reserved' or used_id.subject = cast(:forgotten as uuid)
                          then excluded.subject end
""")
# Somebody may have given by hand what was drawn here as well: then it is in use already. So it is with
# an ID about which AutoID contradicts itself: whosever it turns out to be, nobody else may draw it.
_RESERVE_ID = text("""
    insert into gateway.used_id (project, value, kind, position, recorded_at)
    values (:project, :value, :kind, :position, :recorded_at)
    on conflict (project, value) do nothing
""")
_DELIVER_ID = text("update gateway.used_id set record_id = :record_id where project = :project and value = :value")
_UPSERT_CONTRADICTION = text("""
    insert into gateway.contradiction (project, record_id, subject, value, position, details)
    values (:project, :record_id, :subject, :value, :position, :details)
    on conflict (project, record_id) do update
       set subject = excluded.subject, value = excluded.value, position = excluded.position,
           details = excluded.details
""")
_DELETE_CONTRADICTION = text("delete from gateway.contradiction where project = :project and record_id = :record_id")
_HOLD = text("""
    insert into gateway.held_study (study, project, reason, position) values (:study, :project, :reason, :position)
    on conflict (study) do update
       set project = excluded.project, reason = excluded.reason, position = excluded.position
""")
_RELEASE = text("delete from gateway.held_study where study = :study")
_OBSERVE = text("""
    insert into gateway.observed_transfer (study, position) values (:study, :position) on conflict (study) do nothing
""")


def _data(event: Event, *keys: str) -> Parameters:
    return {key: event.data[key] for key in keys} | {"position": event.position}


def _project(event: Event) -> list[Parameters]:
    return [_data(event, "record_id", "fingerprint", "project", "pattern", "aetitle", "wanted", "problems")]


def _adopted(event: Event) -> list[Parameters]:
    return [_used(event, "adopted") | {"forgotten": event.data.get("forgotten")}]


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
