"""Carrying a batch of events over to rows, one statement for each stretch of events alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import orjson
from sqlalchemy import Connection, TextClause

from ledger.events import Event

Parameters = dict[str, Any]


class Rule(Protocol):
    """What is done about neighbouring events of one type."""

    def execute(self, connection: Connection, events: Sequence[Event]) -> None:
        """Changes the rows as these events demand."""


@dataclass(frozen=True, slots=True)
class Each:
    """A statement executed for every set of parameters that an event gives: none, one or more."""

    statement: TextClause
    parameters_of: Callable[[Event], list[Parameters]]

    def execute(self, connection: Connection, events: Sequence[Event]) -> None:
        """Executes the statement for these events."""
        parameters = [found for event in events for found in self.parameters_of(event)]
        if parameters:
            connection.execute(self.statement, parameters)


@dataclass(frozen=True, slots=True)
class Together:
    """Statements that take all rows at once, as the JSON list `:rows`; `fold` leaves one row a key.

    For what a first run brings by the thousand: a statement for every row, even pipelined, takes
    five times as long.
    """

    statements: Sequence[TextClause]
    fold: Callable[[Sequence[Event]], list[Parameters]]

    def execute(self, connection: Connection, events: Sequence[Event]) -> None:
        """Executes the statements, one after the other, for these events."""
        rows = self.fold(events)
        if rows:
            parameters = {"rows": orjson.dumps(rows).decode()}
            for statement in self.statements:
                connection.execute(statement, parameters)


Rules = Mapping[str, Sequence[Rule]]
"""What to execute for each type of event, in this order."""


def apply_rules(connection: Connection, events: Sequence[Event], rules: Rules) -> None:
    """Executes the rules of each event's type, in the order of the events; neighbours that share them together."""
    for shared, neighbours in groupby(events, key=lambda event: rules[event.type]):
        stretch = list(neighbours)
        for rule in shared:
            rule.execute(connection, stretch)
