"""Carrying a batch of events over to rows, by as few statements as come to the same as one event after the other."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Generic, TypeVar

import orjson
from sqlalchemy import Connection, TextClause

from ledger.events import Told
from ledger.projector import Changes
from processors.events.fact import Fact

Parameters = dict[str, Any]


class Again(Enum):
    """What it comes to where a statement is made for the same row twice in succession."""

    LAST_COUNTS = auto()
    """The second leaves nothing of the first, which need not be made."""
    FIRST_COUNTS = auto()
    """The second finds the first done, and does nothing."""
    BOTH_COUNT = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """SQL that changes rows of a table, all at once, from the JSON list `:rows`.

    `key` names the parameters that identify the row, by which changes of a table are told apart. Without
    one, the statement may concern any row of any table of the projection. `taken_up_by` is the change that
    inserts the row: where that comes right before, the parameters are added to those of the insert instead,
    because writing a row of several indexes twice takes twice as long.
    """

    table: str
    key: tuple[str, ...]
    sql: TextClause
    again: Again = Again.LAST_COUNTS
    taken_up_by: "Statement | None" = None

    def row(self, parameters: Parameters) -> Hashable:
        """The row that is changed with these parameters."""
        return self.table, *[parameters[name] for name in self.key]


F = TypeVar("F", bound=Fact)


@dataclass(frozen=True, slots=True)
class Rule(Generic[F]):
    """What events of one type demand: statements in this order, each for as many rows as its function gives."""

    fact: type[F]
    statements: tuple[tuple[Statement, Callable[[F, Told], list[Parameters]]], ...]


def on(fact: type[F], *statements: tuple[Statement, Callable[[F, Told], list[Parameters]]]) -> Rule[F]:
    """The rule for events of this type."""
    return Rule(fact, statements)


class Rules:
    """What to do for each type of event."""

    def __init__(self, *rules: Rule[Any]) -> None:
        self._rules = {rule.fact.__name__: rule for rule in rules}
        self.types = frozenset(self._rules)

    def plan(self, events: Sequence[Told]) -> Changes:
        """What the events change in the rows, as if one event after the other."""
        batch = Batch()
        for event in events:
            rule = self._rules[event.type]
            fact = rule.fact.read(event)
            for statement, parameters_of in rule.statements:
                for parameters in parameters_of(fact, event):
                    batch.add(statement, parameters)
        statements = [(step.statement.sql, as_json(list(step.rows.values()))) for step in batch.steps]

        def change(connection: Connection) -> None:
            for sql, rows in statements:
                connection.execute(sql, rows)

        return change


def execute(connection: Connection, sql: TextClause, rows: Sequence[Parameters]) -> None:
    """Executes the statement for these rows, if there are any."""
    if rows:
        connection.execute(sql, as_json(rows))


def as_json(rows: Sequence[Parameters]) -> dict[str, str]:
    """The rows as a statement takes them."""
    return {"rows": orjson.dumps(rows).decode()}


@dataclass(frozen=True, slots=True)
class Step:
    """One execution of a statement, for so many rows, each once."""

    statement: Statement
    rows: dict[Hashable, Parameters] = field(default_factory=dict)


class Batch:
    """Changes put into steps, in an order that comes to the same as the one in which they were added.

    Changes of one row stay in order; others may change places. So a request, its placement and its
    replacement are three steps, for one study as for a thousand. A statement for each, even pipelined, took
    six times as long.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._places: dict[Statement, list[int]] = defaultdict(list)
        self._latest: dict[Hashable, int] = {}
        self._barrier = -1

    def add(self, statement: Statement, parameters: Parameters) -> None:
        """Adds a change that is to be made after those added before."""
        if not statement.key:
            self._add_for_any_row(statement, parameters)
            return
        row = statement.row(parameters)
        latest = self._latest.get(row, -1)
        if latest > self._barrier and self._joined(self.steps[latest], row, statement, parameters):
            return
        place = self._place_after(max(latest, self._barrier), statement)
        self.steps[place].rows[row] = parameters
        self._latest[row] = place

    @staticmethod
    def _joined(step: Step, row: Hashable, statement: Statement, parameters: Parameters) -> bool:
        """Whether the change needs no step of its own after this one, the latest that concerns the row."""
        if step.statement is statement.taken_up_by:
            step.rows[row] |= parameters
            return True
        if step.statement is not statement or statement.again is Again.BOTH_COUNT:
            return False
        if statement.again is Again.LAST_COUNTS:
            step.rows[row] = parameters
        return True

    def _place_after(self, latest: int, statement: Statement) -> int:
        """The first step after that one in which this change is made; a new one at the end if there is none."""
        places = self._places[statement]
        index = bisect_left(places, latest + 1)
        if index == len(places):
            places.append(len(self.steps))
            self.steps.append(Step(statement))
        return places[index]

    def _add_for_any_row(self, statement: Statement, parameters: Parameters) -> None:
        """Adds it as the last step, after which all others come that are added from now on."""
        if not self.steps or self.steps[-1].statement is not statement or statement.again is Again.BOTH_COUNT:
            self.steps.append(Step(statement))
        self._barrier = len(self.steps) - 1
        rows = self.steps[-1].rows
        rows[len(rows)] = parameters
