import pytest
from sqlalchemy import exc, text

from ledger.database import Database
from tests.ledger.samples import append, everything, fact


@pytest.mark.parametrize(
    ("operation", "statement"),
    [
        ("UPDATE", "update ledger.event set type = 'Other' where position = 1"),
        ("DELETE", "delete from ledger.event where position = 1"),
        ("TRUNCATE", "truncate ledger.event"),
    ],
)
def test_changing_what_is_stored_is_refused_even_to_the_owner(
    database: Database, operation: str, statement: str
) -> None:
    before = append(database, fact(), fact())
    with (
        pytest.raises(exc.DBAPIError, match=f"append-only: {operation} on ledger.event is refused") as caught,
        database.begin() as connection,
    ):
        connection.execute(text(statement))
    assert "Append an event that says what is true now." in str(caught.value)
    assert everything(database) == before


def test_truncating_other_tables_cannot_take_the_events_along(database: Database) -> None:
    before = append(database, fact())
    with pytest.raises(exc.DBAPIError, match="append-only"), database.begin() as connection:
        connection.execute(text("truncate ledger.subject, ledger.event cascade"))
    assert everything(database) == before


def test_an_event_may_be_inserted_but_not_at_a_place_that_is_taken(database: Database) -> None:
    append(database, fact())
    copy = text("""
        insert into ledger.event
        select position, gen_random_uuid(), site, 'other', version, type, schema_version, data,
               subject, sealed, recorded_at, run, hash
          from ledger.event
    """)
    with pytest.raises(exc.IntegrityError, match="event_pkey"), database.begin() as connection:
        connection.execute(copy)
    assert len(everything(database)) == 1
