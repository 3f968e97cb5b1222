"""A process that dies where a test wants it to."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from ledger.events import Event, NewEvent
from processors.gateway import Gateway, Work


class Killed(BaseException):
    """The process ends here."""


class Mortal(Gateway):
    """A gateway that dies after `lives` transactions, if that is set.

    Where the last of them appends events, it dies just before its commit.
    """

    lives: int | None = None

    @contextmanager
    def begin(self) -> Iterator[Work]:
        if self.lives == 0:
            raise Killed
        if self.lives is not None:
            self.lives -= 1
        with super().begin() as work:
            yield work

    def append(
        self, connection: Connection, events: Sequence[NewEvent], *, expected: Mapping[str, int] | None = None
    ) -> list[Event]:
        stored = super().append(connection, events, expected=expected)
        if self.lives == 0:
            raise Killed
        return stored
