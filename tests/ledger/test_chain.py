from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy import text

from ledger import chain, store
from ledger.chain import Stored
from ledger.database import Database
from ledger.events import NewEvent
from tests.ledger.guards import unguarded
from tests.ledger.samples import append, fact, first_broken, new_events, opened, scalar, the_store


@given(st.lists(new_events, min_size=1, max_size=6, unique_by=lambda event: event.event_id))
def test_recomputing_the_chain_over_what_is_stored_gives_each_hash(database: Database, events: list[NewEvent]) -> None:
    with database.begin() as connection:
        the_store().append(connection, events)
        assert first_broken(connection) is None
        last = connection.execute(text("select hash from ledger.event order by position desc limit 1")).scalar_one()
        assert store.head(connection).hash == last
        connection.rollback()


def test_the_layout_has_not_changed_since_hashes_were_first_kept_elsewhere() -> None:
    event = Stored(
        position=1,
        version=1,
        schema_version=1,
        recorded_at=chain.microseconds(datetime(2026, 3, 2, 8, 0, 0, 123456, tzinfo=UTC)),
        event_id=UUID(int=1).bytes,
        run=UUID(int=3).bytes,
        subject=UUID(int=2).bytes,
        site=b"main",
        stream=b"study/1.2.3",
        type=b"SeriesDiscovered",
        data=b'{"Modality":"MR"}',
        sealed=b"sealed",
        hash=b"",
    )
    value = chain.follow(chain.GENESIS, event)
    assert value.hex() == "ebe12975267b3188612638f14c61e1095556e547f9739f447e68a8017ec1599c"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("position", "position + 1000"),
        ("event_id", "gen_random_uuid()"),
        ("site", "'other'"),
        ("stream", "'other'"),
        ("version", "version + 1000"),
        ("type", "'Other'"),
        ("schema_version", "schema_version + 1"),
        ("data", "(data::text || ' ')::json"),
        ("subject", "gen_random_uuid()"),
        ("subject", "null"),
        ("sealed", "sealed || '\\x00'"),
        ("sealed", "null"),
        ("recorded_at", "recorded_at + interval '1 microsecond'"),
        ("run", "gen_random_uuid()"),
        ("hash", "sha256(hash)"),
    ],
)
def test_changing_any_column_behind_the_ledgers_back_is_noticed(database: Database, column: str, value: str) -> None:
    append(database, fact("a"), NewEvent(stream="b", type="T", data={"x": 1}, subject=UUID(int=7)))
    append(database, NewEvent(stream="c", type="T", data={}, subject=UUID(int=7), sealed=b"12"), fact("d"))
    unsealed = column == "subject" and value == "null"
    with database.begin() as connection:
        assert first_broken(connection) is None
        with unguarded(connection, "event"):
            changed = connection.execute(
                text(f"update ledger.event set {column} = {value} where position = :p returning position"),
                {"p": 2 if unsealed else 3},
            ).scalar_one()
        assert first_broken(connection) is not None
        assert first_broken(connection) in {changed, 4}


def test_taking_an_event_out_is_noticed(database: Database) -> None:
    append(database, fact(), fact(), fact())
    with database.begin() as connection:
        with unguarded(connection, "event"):
            connection.execute(text("delete from ledger.event where position = 2"))
        assert first_broken(connection) == 3


def test_the_chain_holds_whatever_zone_the_server_is_set_to(database: Database, database_url: str) -> None:
    append(database, fact(), fact())
    name = scalar(database, "select current_database()")
    with database.begin() as connection:
        connection.execute(text(f"alter database {name} set timezone to 'America/St_Johns'"))
    with opened(database_url) as elsewhere, elsewhere.begin() as connection:
        assert first_broken(connection) is None


moments = st.datetimes(timezones=st.just(UTC))
stored = st.builds(
    Stored,
    position=st.integers(1, 2**63 - 1),
    version=st.integers(1, 2**31 - 1),
    schema_version=st.integers(1, 2**15 - 1),
    recorded_at=moments.map(chain.microseconds),
    event_id=st.binary(min_size=16, max_size=16),
    run=st.binary(min_size=16, max_size=16),
    subject=st.none() | st.binary(min_size=16, max_size=16),
    site=st.binary(max_size=4),
    stream=st.binary(max_size=4),
    type=st.binary(max_size=4),
    data=st.binary(max_size=4),
    sealed=st.none() | st.binary(max_size=4),
    hash=st.just(b""),
)


@given(stored, stored, st.sampled_from(["position", "event_id", "site", "stream", "version", "type"]))
def test_events_that_differ_in_a_column_have_different_hashes(event: Stored, other: Stored, column: str) -> None:
    changed = event._replace(**{column: getattr(other, column)})
    assume(changed != event)
    assert chain.follow(chain.GENESIS, changed) != chain.follow(chain.GENESIS, event)


@given(stored, stored)
def test_text_moved_from_one_column_to_the_next_changes_the_hash(event: Stored, other: Stored) -> None:
    assume(event != other)
    moved = event._replace(site=event.site + b"x")
    shifted = event._replace(stream=b"x" + event.stream)
    assert chain.follow(chain.GENESIS, moved) != chain.follow(chain.GENESIS, shifted)
    assert chain.follow(chain.GENESIS, event) != chain.follow(chain.GENESIS, other)


@given(stored, st.binary(min_size=32, max_size=32))
def test_the_same_event_after_another_has_another_hash(event: Stored, previous: bytes) -> None:
    assume(previous != chain.GENESIS)
    assert chain.follow(previous, event) != chain.follow(chain.GENESIS, event)


@given(moments, st.integers(-14 * 60, 14 * 60))
def test_the_zone_a_time_is_written_in_does_not_matter(moment: datetime, minutes: int) -> None:
    moment = moment.replace(year=2026, month=3, day=2)
    elsewhere = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert chain.microseconds(elsewhere) == chain.microseconds(moment)
