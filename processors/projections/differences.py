"""Projection of what in REDCap may differ from what we wrote: gateway.accepted_difference."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ledger.events import Event
from processors.events import EventType
from processors.projections.rows import Each, Parameters, Rules, apply_rules


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


_ACCEPT = text("""
    insert into gateway.accepted_difference (study, kind, key, row_position, fingerprint, position)
    values (:study, :kind, :key, :row_position, :fingerprint, :position)
    on conflict (study, kind, key) do update
       set row_position = excluded.row_position, fingerprint = excluded.fingerprint, position = excluded.position
""")
_WITHDRAW = text("""
    delete from gateway.accepted_difference where study = :study and kind = :kind and key = :key
""")


def _accepted(event: Event) -> list[Parameters]:
    keys = ("study", "kind", "key", "row_position", "fingerprint")
    return [{key: event.data[key] for key in keys} | {"position": event.position}]


def _row(event: Event) -> list[Parameters]:
    return [{key: event.data[key] for key in ("study", "kind", "key")}]
