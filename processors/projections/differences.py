"""Projection of what in REDCap may differ from what we wrote: gateway.accepted_difference."""

from collections.abc import Sequence

from sqlalchemy import Connection

from ledger.events import Event
from processors.events.types import EventType
from processors.projections.rows import Each, Parameters, Rules, apply_rules
from processors.projections.statements import Table


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
_DIFFERENCES = Table(
    name="accepted_difference",
    key=("study", "kind", "key"),
    columns={
        "study": "text",
        "kind": "text",
        "key": "text",
        "row_position": "bigint",
        "fingerprint": "text",
        "position": "bigint",
    },
)
_ACCEPT = _DIFFERENCES.upsert()
_WITHDRAW = _DIFFERENCES.delete()


def _accepted(event: Event) -> list[Parameters]:
    keys = ("study", "kind", "key", "row_position", "fingerprint")
    return [{key: event.data[key] for key in keys} | {"position": event.position}]


def _row(event: Event) -> list[Parameters]:
    return [{key: event.data[key] for key in _ROW}]
