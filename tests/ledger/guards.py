"""The triggers that keep the ledger append-only, taken away for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

_ALWAYS = text("select tgname from pg_trigger where tgrelid = cast(:table as regclass) and tgenabled = 'A'")


@contextmanager
def unguarded(connection: Connection, *tables: str) -> Iterator[None]:
    """Meanwhile, no trigger of these tables of the ledger is asked; then they are as they were."""
    guards = {t: list(connection.execute(_ALWAYS, {"table": f"ledger.{t}"}).scalars()) for t in tables}
    for table in guards:
        connection.execute(text(f"alter table ledger.{table} disable trigger all"))
    yield
    for table, names in guards.items():
        for name in names:
            connection.execute(text(f"alter table ledger.{table} enable always trigger {name}"))
