"""A routing rule or an entry of the coupling list: what it said from when to when, by whom, and what each text led to.

Patterns are not shown, nor accession numbers and pseudonyms: they are, or may be, a person's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import text

from processors.errors import ConfigurationError
from processors.explain.find import STAGE_REPORTED
from processors.gateway import Work
from processors.stored_requests import IS_MISSING

Kind = Literal["rule", "coupling"]

NAMES: Final[Mapping[Kind, str]] = {"rule": "Routing rule", "coupling": "Coupling entry"}
SHOWN: Final = 50
"""So many of the newest studies stand on the page."""


class Text(NamedTuple):
    """One text of it, in force between two moments, and how many requests, of which how many sent, it led to."""

    said: Any
    requests: int
    sent: int
    withdrawn: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Directive:
    """All its texts, the newest first, and the newest studies that were requested because of it."""

    kind: Kind
    record_id: str
    texts: Sequence[Text]
    held: int
    newest: Sequence[Any]

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{NAMES[self.kind]} {self.record_id}"


def directive(work: Work, kind: Kind, record_id: str) -> Directive:
    """The rule or entry with that record id. Raises `ConfigurationError` where the ledger knows none."""
    of_it = {"kind": kind, "record": record_id}
    texts = work.execute(_TEXTS[kind], {"record": record_id}).all()
    if not texts:
        raise ConfigurationError(f"The ledger knows no {NAMES[kind].lower()} with this record id.")
    led_to = {row.position: row for row in work.execute(_LED_TO, of_it)}
    return Directive(
        kind=kind,
        record_id=record_id,
        texts=[
            Text(said, row.requests, row.sent, row.withdrawn)
            if (row := led_to.get(said.position)) is not None
            else Text(said, 0, 0, 0)
            for said in texts
        ],
        held=work.execute(_HELD, of_it).scalar_one(),
        newest=work.execute(_NEWEST, of_it | {"most": SHOWN}).all(),
    )


_TEXTS: Final = {
    "rule": text("""
        select position, valid_from, valid_to, changed_by, changed_at, ended_how, ended_by, active, project, event_name,
               called, calling, asks_for_patient_id, asks_for_patient_name, problems
          from audit.rule where record_id = :record order by position desc
    """),
    "coupling": text("""
        select position, valid_from, valid_to, changed_by, changed_at, ended_how, ended_by, project, event_name, study,
               names_accession_number, problems
          from audit.coupling_entry where record_id = :record order by position desc
    """),
}
_LED_TO = text("""
    select transfer.cause_position as position, count(*) as requests, count(*) filter (where told.sends > 0) as sent,
           count(*) filter (where transfer.state in ('ending', 'withdrawn', 'closed')) as withdrawn
      from gateway.transfer left join gateway.outcome as told on told.request = transfer.position and told.ours
     where cause_kind = :kind and cause_record = :record group by transfer.cause_position
""")
_HELD = text("select count(*) from gateway.held_request where cause_kind = :kind and cause_record = :record")
_NEWEST = text(f"""
    select transfer.study, transfer.project, transfer.event_name, event.recorded_at as requested_at,
           case when {STAGE_REPORTED} is not null then {STAGE_REPORTED}
                when transfer.state in ('requested', 'ending') then 'waiting'
                when transfer.state = 'contested' then 'conflict'
                when transfer.state = 'placed' and {IS_MISSING} then 'missing'
                else transfer.state end as stage
      from gateway.transfer join ledger.event on event.position = transfer.position
      left join gateway.outcome on outcome.request = transfer.position and outcome.ours
     where cause_kind = :kind and cause_record = :record order by transfer.position desc limit :most
""")
