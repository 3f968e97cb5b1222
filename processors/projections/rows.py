"""Carrying a batch of events over to rows, by as few statements as come to the same as one event after the other."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import orjson
from sqlalchemy import Connection, TextClause

from ledger.events import Event

Parameters = dict[str, Any]


class Again(Enum):
    """What it comes to where a change is made to the same row twice in succession."""

    LAST_COUNTS = auto()
    """The second leaves nothing of the first, which need not be made."""
    FIRST_COUNTS = auto()
    """The second finds the first done, and does nothing."""
    BOTH_COUNT = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A statement that changes rows of a table, all at once, from the JSON list `:rows`.

    `key` names the parameters that identify the row, by which changes of a table are told apart. Without
    one, the statement may concern any row of any table of the projection. `taken_up_by` is the change that
    inserts the row: where that comes right before, the parameters are added to those of the insert instead,
    because writing a row of several indexes twice takes twice as long.
    """

    table: str
    key: tuple[str, ...]
    statement: TextClause
    again: Again = Again.LAST_COUNTS
    taken_up_by: "Change | None" = None

    def row(self, parameters: Parameters) -> Hashable:
        """The row that is changed with these parameters."""
        return self.table, *[parameters[name] for name in self.key]


@dataclass(frozen=True, slots=True)
class Each:
    """A change made for every set of parameters that an event gives: none, one or more."""

    change: Change
    parameters_of: Callable[[Event], list[Parameters]]


Rules = Mapping[str, Sequence[Each]]
"""What to change for each type of event, in this order."""


def apply_rules(connection: Connection, events: Sequence[Event], rules: Rules) -> None:
    """Makes the changes that the events demand, as if one after the other."""
    batch = Batch()
    for event in events:
        for rule in rules[event.type]:
            for parameters in rule.parameters_of(event):
                batch.add(rule.change, parameters)
    for step in batch.steps:
        execute(connection, step.change.statement, list(step.rows.values()))


def execute(connection: Connection, statement: TextClause, rows: Sequence[Parameters]) -> None:
    """Executes a statement for these rows, if there are any."""
    if rows:
        connection.execute(statement, {"rows": orjson.dumps(rows).decode()})


@dataclass(frozen=True, slots=True)
class Step:
    """One execution of a change's statement, for so many rows, each once."""

    change: Change
    rows: dict[Hashable, Parameters] = field(default_factory=dict)


class Batch:
    """Changes put into steps, in an order that comes to the same as the one in which they were added.

    Changes of one row stay in order; others may change places. So a request, its placement and its
    replacement are three steps, for one study as for a thousand. A statement for each, even pipelined, took
    six times as long.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._places: dict[Change, list[int]] = defaultdict(list)
        self._latest: dict[Hashable, int] = {}
        self._barrier = -1

    def add(self, change: Change, parameters: Parameters) -> None:
        """Adds a change that is to be made after those added before."""
        if not change.key:
            self._add_for_any_row(change, parameters)
            return
        row = change.row(parameters)
        latest = self._latest.get(row, -1)
        if latest > self._barrier and self._joined(self.steps[latest], row, change, parameters):
            return
        place = self._place_after(max(latest, self._barrier), change)
        self.steps[place].rows[row] = parameters
        self._latest[row] = place

    @staticmethod
    def _joined(step: Step, row: Hashable, change: Change, parameters: Parameters) -> bool:
        """Whether the change needs no step of its own after this one, the latest that concerns the row."""
        if step.change is change.taken_up_by:
            step.rows[row] |= parameters
            return True
        if step.change is not change or change.again is Again.BOTH_COUNT:
            return False
        if change.again is Again.LAST_COUNTS:
            step.rows[row] = parameters
        return True

    def _place_after(self, latest: int, change: Change) -> int:
        """The first step after that one in which this change is made; a new one at the end if there is none."""
        places = self._places[change]
        found = bisect_left(places, latest + 1)
        if found == len(places):
            places.append(len(self.steps))
            self.steps.append(Step(change))
        return places[found]

    def _add_for_any_row(self, change: Change, parameters: Parameters) -> None:
        """Adds it as the last step, after which all others come that are added from now on."""
        if not self.steps or self.steps[-1].change is not change:
            self.steps.append(Step(change))
        self._barrier = len(self.steps) - 1
        rows = self.steps[-1].rows
        rows[len(rows)] = parameters
