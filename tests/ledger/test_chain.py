import hashlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy import text

from ledger import chain, store
from ledger.database import Database
from ledger.events import NewEvent
from tests.ledger.samples import append, fact, first_broken, new_events, opened, scalar, the_store


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big", signed=True)


def expected_hash(previous: bytes, row: dict[str, Any]) -> bytes:
    """The layout in words of its own, from what SQL says of a row."""
    texts = [row["site"].encode(), row["stream"].encode(), row["type"].encode(), row["data"].encode()]
    sealed = row["sealed"]
    parts = [
        previous,
        b"fiona-1\0",
        number(row["position"], 8),
        number(row["version"], 8),
        number(row["schema_version"], 2),
        number(row["microseconds"], 8),
        row["event_id"].bytes,
        row["run"].bytes,
        b"\0" + bytes(16) if row["subject"] is None else b"\1" + row["subject"].bytes,
        b"\0" if sealed is None else b"\1",
        *(number(len(part), 4) for part in [*texts, sealed or b""]),
        *texts,
        sealed or b"",
    ]
    return hashlib.sha256(b"".join(parts)).digest()


ROWS = text("""
    select position, version, schema_version, event_id, run, subject, sealed, site, stream, type, hash,
           data::text as data, (extract(epoch from recorded_at) * 1000000)::bigint as microseconds
      from ledger.event order by position
""")


@given(st.lists(new_events, min_size=1, max_size=6, unique_by=lambda event: event.event_id))
def test_recomputing_the_chain_over_what_is_stored_gives_each_hash(database: Database, events: list[NewEvent]) -> None:
    with database.begin() as connection:
        the_store().append(connection, events)
        previous = bytes(32)
        for row in connection.execute(ROWS).mappings():
            previous = expected_hash(previous, dict(row))
            assert previous == row["hash"]
        assert store.head(connection).hash == previous
        connection.rollback()


def test_the_layout_has_not_changed_since_hashes_were_first_kept_elsewhere() -> None:
    value = chain.link(
        chain.GENESIS,
        position=1,
        event_id=UUID(int=1),
        site="main",
        stream="study/1.2.3",
        version=1,
        type="SeriesDiscovered",
        schema_version=1,
        data=b'{"Modality":"MR"}',
        subject=UUID(int=2),
        sealed=b"sealed",
        recorded_at=datetime(2026, 3, 2, 8, 0, 0, 123456, tzinfo=UTC),
        run=UUID(int=3),
    )
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
        connection.execute(text("alter table ledger.event disable trigger all"))
        changed = connection.execute(
            text(f"update ledger.event set {column} = {value} where position = :p returning position"),
            {"p": 2 if unsealed else 3},
        ).scalar_one()
        assert first_broken(connection) is not None
        assert first_broken(connection) in {changed, 4}


def test_taking_an_event_out_is_noticed(database: Database) -> None:
    append(database, fact(), fact(), fact())
    with database.begin() as connection:
        connection.execute(text("alter table ledger.event disable trigger all"))
        connection.execute(text("delete from ledger.event where position = 2"))
        assert first_broken(connection) == 3


def test_the_chain_holds_whatever_zone_the_server_is_set_to(database: Database, database_url: str) -> None:
    append(database, fact(), fact())
    name = scalar(database, "select current_database()")
    with database.begin() as connection:
        connection.execute(text(f"alter database {name} set timezone to 'America/St_Johns'"))
    with opened(database_url) as elsewhere, elsewhere.begin() as connection:
        assert first_broken(connection) is None


columns = st.fixed_dictionaries(
    {
        "position": st.integers(1, 2**63 - 1),
        "event_id": st.uuids(),
        "site": st.text(max_size=4),
        "stream": st.text(max_size=4),
        "version": st.integers(1, 2**31 - 1),
        "type": st.text(max_size=4),
        "schema_version": st.integers(1, 2**15 - 1),
        "data": st.binary(max_size=4),
        "subject": st.none() | st.uuids(),
        "sealed": st.none() | st.binary(max_size=4),
        "recorded_at": st.datetimes(timezones=st.just(UTC)),
        "run": st.uuids(),
    }
)


@given(columns, columns, st.sampled_from(["position", "event_id", "site", "stream", "version", "type"]))
def test_events_that_differ_in_a_column_have_different_hashes(
    event: dict[str, Any], other: dict[str, Any], column: str
) -> None:
    changed = {**event, column: other[column]}
    assume(changed != event)
    assert chain.link(chain.GENESIS, **changed) != chain.link(chain.GENESIS, **event)


@given(columns, columns)
def test_text_moved_from_one_column_to_the_next_changes_the_hash(event: dict[str, Any], other: dict[str, Any]) -> None:
    assume(event != other)
    moved = {**event, "site": event["site"] + "x", "stream": event["stream"]}
    shifted = {**event, "site": event["site"], "stream": "x" + event["stream"]}
    assert chain.link(chain.GENESIS, **moved) != chain.link(chain.GENESIS, **shifted)
    assert chain.link(chain.GENESIS, **event) != chain.link(chain.GENESIS, **other)


@given(columns, st.binary(min_size=32, max_size=32))
def test_the_same_event_after_another_has_another_hash(event: dict[str, Any], previous: bytes) -> None:
    assume(previous != chain.GENESIS)
    assert chain.link(previous, **event) != chain.link(chain.GENESIS, **event)


@given(columns, st.integers(-14 * 60, 14 * 60))
def test_the_zone_a_time_is_written_in_does_not_matter(event: dict[str, Any], minutes: int) -> None:
    moment = event["recorded_at"].replace(year=2026, month=3, day=2)
    elsewhere = moment.astimezone(timezone(timedelta(minutes=minutes)))
    hashes = {chain.link(chain.GENESIS, **{**event, "recorded_at": at}) for at in (moment, elsewhere)}
    assert len(hashes) == 1
