"""Projection of generated IDs: gateway.autoid_project, used_id, contradiction, held_study, observed_transfer."""

from collections.abc import Sequence

from sqlalchemy import text

from ledger.events import Told
from ledger.projector import Changes
from processors.events.fact import OfStudy
from processors.events.pseudonyms import (
    AutoidProjectChanged,
    AutoidProjectDoubted,
    AutoidProjectFact,
    AutoidProjectRemoved,
    AutoidProjectReturned,
    ContradictionFound,
    ContradictionResolved,
    IdAdopted,
    IdDelivered,
    IdGenerated,
    IdMissing,
    IdReserved,
    PatientsIdFact,
    StudyHeld,
    StudyReleased,
)
from processors.events.series import StudyRequestedByOthers
from processors.events.transfers import TransferObserved
from processors.projections.rows import Again, Parameters, Rules, Statement, on
from processors.projections.statements import Table


class Pseudonyms:
    """One row an ID in use; the database itself refuses a second ID for a patient, or a second patient for an ID."""

    name = "pseudonyms"
    code_version = 4
    tables: Sequence[str] = (
        "gateway.autoid_project",
        "gateway.used_id",
        "gateway.contradiction",
        "gateway.held_study",
        "gateway.observed_transfer",
    )

    def __init__(self) -> None:
        self._rules = Rules(
            on(AutoidProjectChanged, (_SEE_PROJECT, _record), (_UPSERT_PROJECT, _project)),
            on(AutoidProjectDoubted, (_DOUBT_PROJECT, _record)),
            on(AutoidProjectReturned, (_SEE_PROJECT, _record)),
            on(AutoidProjectRemoved, (_REMOVE_PROJECT, _record)),
            on(IdGenerated, (_INSERT_ID, _generated)),
            on(IdAdopted, (_LET_GO_OF_ID, _forgotten), (_ADOPT_ID, _adopted)),
            on(IdReserved, (_RESERVE_ID, _reserved)),
            on(IdDelivered, (_DELIVER_ID, _delivered)),
            on(
                IdMissing,
                (_MISS_ID, _missing),
            ),
            on(ContradictionFound, (_UPSERT_CONTRADICTION, _contradiction), (_RESERVE_ID, _contradicted)),
            on(ContradictionResolved, (_DELETE_CONTRADICTION, _resolved)),
            on(StudyHeld, (_HOLD, _held)),
            on(StudyReleased, (_RELEASE, _study)),
            on(TransferObserved, (_OBSERVE, _study)),
            on(StudyRequestedByOthers, (_OBSERVE, _study)),
        )
        self.types = self._rules.types

    def plan(self, events: Sequence[Told]) -> Changes:
        """What the events change, as if applied in order."""
        return self._rules.plan(events)


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
        "closed_by": "text",
        "starts": "text",
        "ends": "text",
    },
)
_UPSERT_PROJECT = _PROJECTS.upsert(also="removed = false")
_REMOVE_PROJECT = _PROJECTS.mark_removed()
_SIGHTINGS = """
    json_to_recordset(cast(:rows as json)) as r (record_id text, position bigint, recorded_at timestamptz)
     where p.record_id = r.record_id
"""
_DOUBT_PROJECT = Statement(
    "autoid_project",
    ("record_id",),
    text(f"""
        update gateway.autoid_project as p
           set doubted_position = r.position, missed_from = r.recorded_at, missed_until = null
          from {_SIGHTINGS}
    """),
)
_SEE_PROJECT = Statement(
    "autoid_project",
    ("record_id",),
    text(f"""
        update gateway.autoid_project as p set doubted_position = null, missed_until = r.recorded_at
          from {_SIGHTINGS} and p.doubted_position is not null
    """),
    Again.FIRST_COUNTS,
)
_ID = ("project", "fingerprint")
_IDS = """
    json_to_recordset(cast(:rows as json)) as r (
        project text, fingerprint text, name_fingerprint text, kind text, subject uuid, position bigint, pattern text,
        recorded_at timestamptz, record_id text, forgotten uuid)
"""
_INSERT_ID = Statement(
    "used_id",
    _ID,
    text(f"""
        insert into gateway.used_id (project, fingerprint, name_fingerprint, kind, subject, position, pattern,
                                     recorded_at, record_id)
        select project, fingerprint, name_fingerprint, kind, subject, position, pattern, recorded_at, record_id
          from {_IDS}
    """),
    Again.BOTH_COUNT,
)
# A patient who was forgotten has come back: the ID is nobody's until it is adopted for the one they are now.
_LET_GO_OF_ID = Statement(
    "used_id",
    _ID,
    text(f"""
        update gateway.used_id set kind = 'reserved', subject = null
          from {_IDS}
         where used_id.project = r.project and used_id.fingerprint = r.fingerprint and used_id.subject = r.forgotten
    """),
    Again.BOTH_COUNT,
)
# An ID of AutoID is usually carried by a transfer request too, and may have been reserved for that. From a
# patient it is not taken: the table refuses an adopted ID without a subject.
_ADOPT_ID = Statement(
    "used_id",
    _ID,
    text(f"""
        insert into gateway.used_id (project, fingerprint, name_fingerprint, kind, subject, position, pattern,
                                     recorded_at, record_id)
        select project, fingerprint, name_fingerprint, kind, subject, position, pattern, recorded_at, record_id
          from {_IDS}
        on conflict (project, fingerprint) do update
           set kind = excluded.kind, position = excluded.position, pattern = excluded.pattern,
               recorded_at = excluded.recorded_at, record_id = excluded.record_id,
               subject = case when used_id.kind = 'reserved' then excluded.subject end
    """),
    Again.BOTH_COUNT,
)
# Somebody may have given by hand what was drawn here as well: then it is in use already. So it is with
# an ID about which AutoID contradicts itself: whosever it turns out to be, nobody else may draw it.
_RESERVE_ID = Statement(
    "used_id",
    _ID,
    text("""
        insert into gateway.used_id (project, fingerprint, name_fingerprint, kind, position, pattern, recorded_at)
        select project, fingerprint, name_fingerprint, kind, position, pattern, recorded_at
          from json_to_recordset(cast(:rows as json)) as r (
               project text, fingerprint text, name_fingerprint text, kind text, pattern text, position bigint,
               recorded_at timestamptz)
        on conflict (project, fingerprint) do nothing
    """),
    Again.FIRST_COUNTS,
)
_MISS_ID = Statement(
    "used_id",
    _ID,
    text(f"""
        update gateway.used_id as u set record_id = null from {_IDS}
         where (u.project, u.fingerprint) = (r.project, r.fingerprint) and u.kind = 'generated'
    """),
)
_DELIVER_ID = Statement(
    "used_id",
    _ID,
    text("""
        update gateway.used_id set record_id = r.record_id
          from json_to_recordset(cast(:rows as json)) as r (project text, fingerprint text, record_id text)
         where used_id.project = r.project and used_id.fingerprint = r.fingerprint
    """),
)
_CONTRADICTIONS = Table(
    name="contradiction",
    key=("project", "record_id"),
    columns={
        "project": "text",
        "record_id": "text",
        "subject": "uuid",
        "fingerprint": "text",
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


def _project(project: AutoidProjectChanged, event: Told) -> list[Parameters]:
    return [
        {
            "record_id": project.record_id,
            "position": event.position,
            "fingerprint": project.fingerprint,
            "project": project.project,
            "pattern": project.pattern,
            "aetitle": project.aetitle,
            "wanted": project.wanted,
            "problems": project.problems,
            "closed_by": project.closed_by,
            "starts": project.starts,
            "ends": project.ends,
        }
    ]


def _record(project: AutoidProjectFact, event: Told) -> list[Parameters]:
    return [{"record_id": project.record_id, "position": event.position, "recorded_at": event.recorded_at}]


def _generated(drawn: IdGenerated, event: Told) -> list[Parameters]:
    return [_used(drawn, event, "generated") | {"subject": event.subject, "pattern": drawn.pattern}]


def _forgotten(adopted: IdAdopted, _: Told) -> list[Parameters]:
    if adopted.forgotten is None:
        return []
    return [{"project": adopted.project, "fingerprint": adopted.fingerprint, "forgotten": adopted.forgotten}]


def _adopted(adopted: IdAdopted, event: Told) -> list[Parameters]:
    return [_used(adopted, event, "adopted") | {"subject": event.subject, "record_id": adopted.record_id}]


def _reserved(reserved: IdReserved, event: Told) -> list[Parameters]:
    return [_used(reserved, event, "reserved") | {"pattern": reserved.pattern or None}]


def _contradicted(contradiction: ContradictionFound, event: Told) -> list[Parameters]:
    return [_used(contradiction, event, "reserved") | {"pattern": None}]


def _used(used: PatientsIdFact | IdReserved, event: Told, kind: str) -> Parameters:
    return {
        "project": used.project,
        "fingerprint": used.fingerprint,
        "name_fingerprint": used.name_fingerprint,
        "kind": kind,
        "position": event.position,
        "recorded_at": event.recorded_at,
    }


def _missing(missing: IdMissing, _: Told) -> list[Parameters]:
    return [{"project": missing.project, "fingerprint": missing.fingerprint}]


def _delivered(delivered: IdDelivered, _: Told) -> list[Parameters]:
    return [{"project": delivered.project, "fingerprint": delivered.fingerprint, "record_id": delivered.record_id}]


def _contradiction(contradiction: ContradictionFound, event: Told) -> list[Parameters]:
    return [
        {
            "project": contradiction.project,
            "record_id": contradiction.record_id,
            "subject": event.subject,
            "fingerprint": contradiction.fingerprint,
            "position": event.position,
            "details": contradiction.details,
        }
    ]


def _resolved(contradiction: ContradictionResolved, _: Told) -> list[Parameters]:
    return [{"project": contradiction.project, "record_id": contradiction.record_id}]


def _held(held: StudyHeld, event: Told) -> list[Parameters]:
    return [{"study": held.study, "project": held.project, "reason": held.reason, "position": event.position}]


def _study(about: OfStudy, event: Told) -> list[Parameters]:
    return [{"study": about.study, "position": event.position}]
