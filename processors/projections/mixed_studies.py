"""Projection of studies whose series are of two patients: gateway.mixed_study."""

from collections.abc import Sequence

from sqlalchemy import text

from ledger.events import Told
from ledger.projector import Changes
from processors.events.patients import TwoPatientsFound, TwoPatientsResolved
from processors.projections.rows import Parameters, Rules, Statement, on


class MixedStudies:
    """One row a study that is or was of two patients."""

    name = "mixed_studies"
    code_version = 1
    tables: Sequence[str] = ("gateway.mixed_study",)

    def __init__(self) -> None:
        self._rules = Rules(
            on(TwoPatientsFound, (_FIND, _found)),
            on(TwoPatientsResolved, (_RESOLVE, _resolved)),
        )
        self.types = self._rules.types

    def plan(self, events: Sequence[Told]) -> Changes:
        """What the events change, as if applied in order."""
        return self._rules.plan(events)


_FIND = Statement(
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
_RESOLVE = Statement(
    "mixed_study",
    ("study",),
    text("""
        update gateway.mixed_study set over_position = r.position
          from json_to_recordset(cast(:rows as json)) as r (study text, position bigint)
         where mixed_study.study = r.study
    """),
)


def _found(fact: TwoPatientsFound, event: Told) -> list[Parameters]:
    return [{"study": fact.study, "position": event.position, "patients": fact.patients}]


def _resolved(resolved: TwoPatientsResolved, event: Told) -> list[Parameters]:
    return [{"study": resolved.study, "position": event.position}]
