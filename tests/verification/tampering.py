"""What an attacker who owns the database can do to it."""

from sqlalchemy import Connection, text

from ledger.chain import GENESIS
from ledger.database import Database
from tests.ledger.guards import unguarded
from tests.ledger.layout import expected_hash

GUARDED = ("event", "head", "subject", "vault", "attestation")


def tamper(database: Database, *statements: str) -> None:
    """Executes statements with all guards taken away, and puts them back."""
    with database.begin() as connection, unguarded(connection, *GUARDED):
        for statement in statements:
            connection.execute(text(statement))


def rewrite(database: Database, statement: str) -> None:
    """Executes a statement, and then computes all hashes anew: as good a forgery as can be made."""
    tamper(database, statement)
    with database.begin() as connection, unguarded(connection, "event", "head"):
        previous, position = GENESIS, 0
        for row in connection.execute(_ROWS).mappings():
            position, previous = row["position"], expected_hash(previous, **row)
            _set_hash(connection, position, previous)
        connection.execute(
            text("update ledger.head set position = :position, hash = :hash"), {"position": position, "hash": previous}
        )


_ROWS = text("""
    select position, event_id, site, stream, version, type, schema_version, data::text as data, subject, sealed,
           recorded_at, run
      from ledger.event order by position
""")


def _set_hash(connection: Connection, position: int, hash_: bytes) -> None:
    connection.execute(
        text("update ledger.event set hash = :hash where position = :position"), {"hash": hash_, "position": position}
    )
