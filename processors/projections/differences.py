"""Projection of what in REDCap may differ from what we wrote: gateway.accepted_difference."""

from collections.abc import Sequence

from ledger.events import Told
from ledger.projector import Changes
from processors.events.deliveries import DifferenceAccepted, RowRestored
from processors.projections.rows import Parameters, Rules, on
from processors.projections.statements import Table


class Differences:
    """One row for each row of REDCap that may differ from ours, as long as neither changes again."""

    name = "differences"
    code_version = 1
    tables: Sequence[str] = ("gateway.accepted_difference",)

    def __init__(self) -> None:
        self._rules = Rules(
            on(DifferenceAccepted, (_ACCEPT, _accepted)),
            on(RowRestored, (_WITHDRAW, _row)),
        )
        self.types = self._rules.types

    def plan(self, events: Sequence[Told]) -> Changes:
        """What the events change, as if applied in order."""
        return self._rules.plan(events)


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


def _accepted(accepted: DifferenceAccepted, event: Told) -> list[Parameters]:
    (row,) = _row(accepted, event)
    content: Parameters = {"row_position": accepted.row_position, "fingerprint": accepted.fingerprint}
    return [row | content | {"position": event.position}]


def _row(row: DifferenceAccepted | RowRestored, _: Told) -> list[Parameters]:
    return [{"study": row.study, "kind": row.kind, "key": row.key}]
