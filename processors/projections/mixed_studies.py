"""Projection of studies whose series are of two patients: gateway.mixed_study."""

from collections.abc import Sequence

import orjson
from sqlalchemy import Connection, text

from ledger import codec
from ledger.events import Event
from processors.events.types import EventType
from processors.projections.rows import Change, Each, Parameters, Rules, apply_rules


class MixedStudies:
    """One row a study that is or was of two patients."""

    name = "mixed_studies"
    code_version = 1
    tables: Sequence[str] = ("gateway.mixed_study",)

    def __init__(self) -> None:
        self._rules: Rules = {
            EventType.TWO_PATIENTS_FOUND: [Each(_FIND, _found)],
            EventType.TWO_PATIENTS_RESOLVED: [Each(_RESOLVE, _resolved)],
        }
        self.types = frozenset(self._rules)

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies the events in order."""
        apply_rules(connection, events, self._rules)


_FIND = Change(
    "mixed_study",
    ("study",),
    text("""
        insert into gateway.mixed_study (study, position, patients)
        select study, position, patients
          from json_to_recordset(cast(:rows as json)) as r (study text, position bigint, patients json)
        on conflict (study) do update
           set position = excluded.position, patients = excluded.patients, over_position = null
    """),
)
_RESOLVE = Change(
    "mixed_study",
    ("study",),
    text("""
        update gateway.mixed_study set over_position = r.position
          from json_to_recordset(cast(:rows as json)) as r (study text, position bigint)
         where mixed_study.study = r.study
    """),
)


def _found(event: Event) -> list[Parameters]:
    patients = orjson.Fragment(codec.encode(event.data["patients"]))
    return [{"study": event.data["study"], "position": event.position, "patients": patients}]


def _resolved(event: Event) -> list[Parameters]:
    return [{"study": event.data["study"], "position": event.position}]
