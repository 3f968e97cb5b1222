"""A database on which all can be done and nothing stays: what a dry run works on.

Everything happens in one transaction that is rolled back in the end, each `begin` a savepoint in
it; so the code of a real run reads what it has just recorded, positions and all. The ledger's head
stays locked for as long: nobody else can append, and whoever makes a dry run keeps the others from trying.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from sqlalchemy import Connection

from ledger.database import Database, translated


class DryRun(Database):
    """A database whose changes are all taken back; the one it works on is still closed by whoever opened it."""

    def __init__(self, database: Database) -> None:
        self.engine = database.engine
        with translated():
            self._transaction = database.begun()
            self._connection = self._transaction.connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A connection inside a savepoint: kept until the dry run is over, rolled back on an exception."""
        with translated(), self._connection.begin_nested():
            yield self._connection

    def close(self) -> None:
        """Takes everything back."""
        with translated():
            self._transaction.rollback()
            self._connection.close()
