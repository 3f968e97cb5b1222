import tracemalloc
from dataclasses import replace
from datetime import UTC
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from ledger import store
from ledger.database import Database
from ledger.errors import Conflict
from ledger.events import NewEvent, new_event_id
from tests.conftest import SettableClock
from tests.ledger.samples import RUN, append, everything, fact, new_events, opened, scalar, the_store


def test_positions_count_from_one_without_gaps(database: Database) -> None:
    append(database, fact(), fact())
    append(database, fact())
    assert [event.position for event in everything(database)] == [1, 2, 3]


def test_versions_count_from_one_in_each_stream(database: Database) -> None:
    append(database, fact("a"), fact("b"), fact("a"))
    append(database, fact("b"), fact("a"))
    places = [(event.stream, event.version) for event in everything(database)]
    assert places == [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3)]


def test_appending_nothing_changes_nothing(database: Database) -> None:
    assert append(database) == []
    assert scalar(database, "select position from ledger.head") == 0


def test_the_head_is_the_last_event(database: Database) -> None:
    stored = append(database, fact(), fact())
    with database.begin() as connection:
        assert store.head(connection) == (2, stored[-1].hash)


def test_an_event_says_where_when_and_in_which_run_it_was_recorded(database: Database, clock: SettableClock) -> None:
    with database.begin() as connection:
        store.Store(site="north", run=RUN, clock=clock).append(connection, [fact()])
    (event,) = everything(database)
    assert (event.site, event.run, event.recorded_at) == ("north", RUN, clock.now)


def test_a_time_comes_back_in_utc_whatever_zone_the_server_is_set_to(database: Database, database_url: str) -> None:
    append(database, fact())
    name = scalar(database, "select current_database()")
    with database.begin() as connection:
        connection.execute(text(f"alter database {name} set timezone to 'Asia/Kolkata'"))
    with opened(database_url) as elsewhere:
        assert scalar(elsewhere, "show timezone") == "Asia/Kolkata"
        (event,) = everything(elsewhere)
    assert event.recorded_at.tzinfo is UTC
    assert event.recorded_at.isoformat() == "2026-03-02T08:00:00.123456+00:00"


def test_a_server_with_another_default_isolation_serves_as_well(database: Database, database_url: str) -> None:
    name = scalar(database, "select current_database()")
    with database.begin() as connection:
        connection.execute(text(f"alter database {name} set default_transaction_isolation to 'serializable'"))
    with opened(database_url) as strict:
        assert scalar(strict, "show transaction_isolation") == "read committed"


@given(st.lists(new_events, min_size=1, max_size=8, unique_by=lambda event: event.event_id))
def test_what_is_appended_is_what_is_read_back(database: Database, events: list[NewEvent]) -> None:
    with database.begin() as connection:
        stored = the_store().append(connection, events)
        assert list(store.read(connection, after=stored[0].position - 1)) == stored
        connection.rollback()


@given(new_events)
def test_only_what_postgresql_cannot_store_is_replaced(database: Database, event: NewEvent) -> None:
    def replaced(value: object) -> object:
        if isinstance(value, str):
            return "".join("\ufffd" if c == "\x00" or "\ud800" <= c <= "\udfff" else c for c in value)
        if isinstance(value, dict):
            return {replaced(key): replaced(item) for key, item in sorted(value.items())}
        return [replaced(item) for item in value] if isinstance(value, list) else value

    with database.begin() as connection:
        (stored,) = the_store().append(connection, [event])
        connection.rollback()
    if all(replaced(key) == key for key in event.data):
        assert stored.data == replaced(dict(event.data))
    assert (stored.event_id, stored.stream, stored.type) == (event.event_id, event.stream, event.type)
    assert (stored.schema_version, stored.subject, stored.sealed) == (
        event.schema_version,
        event.subject,
        event.sealed,
    )


def test_sql_can_ask_for_any_key_of_data_that_held_nul(database: Database) -> None:
    append(database, fact(name="A\x00B", **{"x\x00": 1}))
    assert scalar(database, "select data ->> 'name' from ledger.event") == "A\ufffdB"


def test_an_integer_beyond_64_bits_is_refused_before_anything_is_written(database: Database) -> None:
    with pytest.raises(TypeError, match="64-bit"):
        append(database, fact(), fact(size=2**64))
    assert everything(database) == []


def test_a_stream_at_the_expected_version_is_appended_to(database: Database) -> None:
    append(database, fact("a"), expected={"a": 0})
    append(database, fact("a"), fact("b"), expected={"a": 1, "b": 0})
    assert [event.version for event in everything(database)] == [1, 2, 1]


def test_a_stream_that_has_moved_is_a_conflict_and_nothing_is_appended(database: Database) -> None:
    append(database, fact("a"))
    with pytest.raises(Conflict, match="'a' at version 0"):
        append(database, fact("b"), fact("a"), expected={"a": 0})
    assert len(everything(database)) == 1


def test_a_stream_that_is_expected_further_on_is_a_conflict(database: Database) -> None:
    append(database, fact("a"))
    with pytest.raises(Conflict):
        append(database, fact("a"), expected={"a": 5})


def test_a_moved_stream_conflicts_even_where_it_is_not_appended_to(database: Database) -> None:
    append(database, fact("rule"), fact("rule"))
    with pytest.raises(Conflict):
        append(database, fact("study"), expected={"rule": 1})


def test_appending_the_same_events_again_is_success_and_adds_nothing(database: Database) -> None:
    events = [fact("a", number=1), fact("b"), fact("a", number=2)]
    first = append(database, *events, expected={"a": 0, "b": 0})
    assert append(database, *events, expected={"a": 0, "b": 0}) == first
    assert everything(database) == first


def test_a_repeat_is_success_after_others_have_appended_to_the_stream(database: Database) -> None:
    event = fact("a")
    first = append(database, event, expected={"a": 0})
    append(database, fact("a"))
    assert append(database, event, expected={"a": 0}) == first


def test_different_events_at_the_same_place_conflict(database: Database) -> None:
    append(database, fact("a", number=1), expected={"a": 0})
    with pytest.raises(Conflict):
        append(database, fact("a", number=1), expected={"a": 0})


def test_the_same_event_at_another_place_than_expected_conflicts(database: Database) -> None:
    event = fact("a")
    append(database, fact("a"))
    append(database, event, expected={"a": 1})
    with pytest.raises(Conflict):
        append(database, event, expected={"a": 0})


def test_a_repeat_in_another_order_conflicts(database: Database) -> None:
    one, two = fact("a"), fact("a")
    append(database, one, two, expected={"a": 0})
    with pytest.raises(Conflict):
        append(database, two, one, expected={"a": 0})


def test_a_repeat_with_one_event_more_conflicts(database: Database) -> None:
    event = fact("a")
    append(database, event, expected={"a": 0})
    with pytest.raises(Conflict):
        append(database, event, fact("a"), expected={"a": 0})


def test_a_repeat_in_another_stream_conflicts(database: Database) -> None:
    event = fact("a")
    append(database, event, expected={"a": 0})
    with pytest.raises(Conflict):
        append(database, replace(event, stream="b"), expected={"a": 0})


def test_events_of_two_appends_are_not_a_repeat_of_one(database: Database) -> None:
    one, two = fact("a"), fact("b")
    append(database, one)
    append(database, fact("c"))
    append(database, two)
    with pytest.raises(Conflict):
        append(database, one, two, expected={"a": 0, "b": 0})


def test_an_event_id_that_stands_elsewhere_is_a_conflict_without_values(database: Database) -> None:
    event = fact("a", secret="hidden")
    append(database, event)
    with pytest.raises(Conflict) as caught:
        append(database, event)
    assert "hidden" not in str(caught.value)
    assert len(everything(database)) == 1


def test_an_event_twice_in_one_append_is_a_conflict(database: Database) -> None:
    event = fact()
    with pytest.raises(Conflict):
        append(database, event, event)
    assert everything(database) == []


def test_a_rollback_leaves_nothing_and_the_position_is_used_again(database: Database) -> None:
    with database.begin() as connection:
        the_store().append(connection, [fact(), fact()])
        connection.rollback()
    assert everything(database) == []
    assert append(database, fact())[0].position == 1


def test_several_appends_in_one_transaction_go_on_from_each_other(database: Database) -> None:
    with database.begin() as connection:
        the_store().append(connection, [fact("a")])
        the_store().append(connection, [fact("a")], expected={"a": 1})
    assert [(event.position, event.version) for event in everything(database)] == [(1, 1), (2, 2)]


def test_reading_starts_after_one_position_and_ends_with_another(database: Database) -> None:
    append(database, *(fact() for _ in range(6)))
    with database.begin() as connection:
        found = [event.position for event in store.read(connection, after=2, until=5)]
    assert found == [3, 4, 5]


def test_reading_by_type_leaves_out_the_others(database: Database) -> None:
    append(database, fact("a", "Came"), fact("a", "Went"), fact("b", "Came"), fact("b", "Saw"))
    with database.begin() as connection:
        found = [event.type for event in store.read(connection, types={"Came", "Saw"})]
    assert found == ["Came", "Came", "Saw"]


def test_reading_no_types_finds_nothing(database: Database) -> None:
    append(database, fact())
    with database.begin() as connection:
        assert list(store.read(connection, types=())) == []


def test_reading_a_stream_gives_its_events_oldest_first(database: Database) -> None:
    append(database, fact("a", n=1), fact("b", n=2), fact("a", n=3))
    with database.begin() as connection:
        assert [event.data["n"] for event in store.read_stream(connection, "a")] == [1, 3]
        assert store.read_stream(connection, "none") == []


def test_reading_positions_gives_those_that_exist(database: Database) -> None:
    append(database, fact(n=1), fact(n=2), fact(n=3))
    with database.begin() as connection:
        found = store.read_positions(connection, [3, 1, 99])
    assert {position: event.data["n"] for position, event in found.items()} == {1: 1, 3: 3}


def test_a_read_that_spans_many_fetches_misses_and_repeats_nothing(database: Database) -> None:
    count = 2 * store.READ_BATCH + 1
    append(database, *(fact(f"s/{n % 7}", "Odd" if n % 2 else "Even") for n in range(count)))
    with database.begin() as connection:
        assert [event.position for event in store.read(connection)] == list(range(1, count + 1))
        odd = [event.position for event in store.read(connection, types={"Odd"})]
    assert odd == list(range(2, count + 1, 2))


def test_two_reads_may_be_nested_in_one_transaction(database: Database) -> None:
    """A cursor of one name on the server used to stand for all reads: the second one failed."""
    append(database, fact(), fact())
    with database.begin() as connection:
        pairs = [(a.position, b.position) for a in store.read(connection) for b in store.read(connection)]
    assert pairs == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_read_that_was_given_up_does_not_disturb_the_next(database: Database) -> None:
    append(database, fact(), fact())
    with database.begin() as connection:
        abandoned = store.read(connection)
        next(abandoned)
        assert len(list(store.read(connection))) == 2
        assert next(abandoned).position == 2


def test_reading_a_large_ledger_keeps_memory_flat(database: Database) -> None:
    def peak(until: int) -> int:
        with database.begin() as connection:
            tracemalloc.start()
            for _ in store.read(connection, until=until):
                pass
            highest = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return highest

    filling = "x" * 500
    for _ in range(4):
        append(database, *(fact(text=filling) for _ in range(5_000)))
    peak(100)
    assert peak(20_000) < 2 * peak(5_000) + 100_000


def test_upcasters_bring_old_events_to_the_newest_shape_on_reading(database: Database) -> None:
    old = NewEvent(stream="a", type="Named", data={"name": "Ada Lovelace"})
    new = NewEvent(stream="a", type="Named", data={"first": "Grace", "last": "Hopper"}, schema_version=3)
    append(database, old, new)
    upcasters = {
        ("Named", 1): lambda data: {"names": data["name"].split()},
        ("Named", 2): lambda data: dict(zip(("first", "last"), data["names"], strict=True)),
    }
    with database.begin() as connection:
        found = list(store.read(connection, upcasters=upcasters))
        stored = list(store.read(connection))
    assert [event.data for event in found] == [{"first": "Ada", "last": "Lovelace"}, new.data]
    assert [event.schema_version for event in found] == [3, 3]
    assert stored[0].data == old.data


def test_event_ids_ascend_with_time_and_never_repeat() -> None:
    ids = [new_event_id() for _ in range(5_000)]
    assert len(set(ids)) == 5_000
    assert {value.version for value in ids} == {7}
    moments = [value.int >> 80 for value in ids]
    assert moments == sorted(moments)


def test_subjects_and_sealed_bytes_come_back_as_they_went(database: Database) -> None:
    subject = uuid4()
    sealed = bytes(range(256))
    append(database, NewEvent(stream="a", type="T", data={}, subject=subject, sealed=sealed))
    (event,) = everything(database)
    assert (event.subject, event.sealed, type(event.sealed)) == (subject, sealed, bytes)
