"""Projection of what in REDCap may differ from what we wrote: gateway.accepted_difference."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ledger.events import Event
from processors.events.types import EventType
from processors.projections.rows import Change, Each, Parameters, Rules, apply_rules


class Differences:
    """One row for each row of REDCap that may differ from ours, as long as neither changes again."""

    name = "differences"
    code_version = 1
    tables: Sequence[str] = ("gateway.accepted_difference",)

    def __init__(self) -> None:
        self._rules: Rules = {
            EventType.DIFFERENCE_ACCEPTED: [Each(_ACCEPT, _accepted)],
            EventType.ROW_RESTORED: [Each(_WITHDRAW, _row)],
        }
        self.types = frozenset(self._rules)

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies the events in order."""
        apply_rules(connection, events, self._rules)


_ROW = ("study", "kind", "key")

_ACCEPT = Change(
    "accepted_difference",
    _ROW,
    text("""
        insert into gateway.accepted_difference (study, kind, key, row_position, fingerprint, position)
        select study, kind, key, row_position, fingerprint, position
          from json_to_recordset(cast(:rows as json)) as r (
               study text, kind text, key text, row_position bigint, fingerprint text, position bigint)
        on conflict (study, kind, key) do update
           set row_position = excluded.row_position, fingerprint = excluded.fingerprint, position = excluded.position
    """),
)
_WITHDRAW = Change(
    "accepted_difference",
    _ROW,
    text("""
        delete from gateway.accepted_difference as d
         using json_to_recordset(cast(:rows as json)) as r (study text, kind text, key text)
         where d.study = r.study and d.kind = r.kind and d.key = r.key
    """),
)


def _accepted(event: Event) -> list[Parameters]:
    keys = ("study", "kind", "key", "row_position", "fingerprint")
    return [{key: event.data[key] for key in keys} | {"position": event.position}]


def _row(event: Event) -> list[Parameters]:
    return [{key: event.data[key] for key in _ROW}]
