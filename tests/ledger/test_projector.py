from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from ledger import projector, store, verification
from ledger.database import Database
from ledger.errors import Misconfigured
from ledger.events import Event, NewEvent, Told
from ledger.projector import Changes, Projector
from tests.ledger.processes import Tally, catch_up, processes
from tests.ledger.samples import append, fact, scalar, the_store

ROWS = "select json_agg(json_build_array(position, stream, times, n) order by position) from public.tally"


class Latest:
    """A second projection: the newest value of each stream."""

    name = "latest"
    code_version = 1
    tables = ("public.latest",)
    types = frozenset({"Happened", "Also"})

    def plan(self, events: Sequence[Told]) -> Changes:
        upsert = text("""
            insert into public.latest (stream, n) values (:stream, :n)
            on conflict (stream) do update set n = excluded.n
        """)

        def change(connection: Connection) -> None:
            for event in events:
                connection.execute(upsert, {"stream": event.stream, "n": event.data.get("n")})

        return change


@pytest.fixture(autouse=True)
def tables(database: Database) -> Iterator[None]:
    with database.begin() as connection:
        connection.execute(
            text("create table public.tally (position bigint primary key, stream text, times int, n int)")
        )
        connection.execute(text("create table public.latest (stream text primary key, n int)"))
    yield
    with database.begin() as connection:
        connection.execute(text("drop table public.tally, public.latest"))


def live(database: Database, *events: NewEvent, projector: Projector | None = None) -> list[Event]:
    """Appends as the gateway does: the projections move in the same transaction."""
    with database.begin() as connection:
        stored = the_store().append(connection, events)
        (projector or Projector([Tally()])).advance(connection, stored)
    return stored


def checkpoint(database: Database, name: str = "tally") -> int:
    found: int = scalar(database, f"select checkpoint from ledger.projection where name = '{name}'")
    return found


def rows(database: Database) -> list[list[Any]]:
    return scalar(database, ROWS) or []


def test_a_live_append_moves_rows_and_checkpoint(database: Database) -> None:
    live(database, fact("a", n=1), fact("b", n=2))
    assert rows(database) == [[1, "a", 1, 1], [2, "b", 1, 2]]
    assert checkpoint(database) == 2


def test_a_projection_gets_only_the_types_it_wants(database: Database) -> None:
    live(database, fact("a", "Happened"), fact("a", "Other"))
    assert [row[0] for row in rows(database)] == [1]
    assert checkpoint(database) == 2


def test_advancing_by_nothing_touches_nothing(database: Database) -> None:
    with database.begin() as connection:
        Projector([Tally()]).advance(connection, [])
    assert scalar(database, "select count(*) from ledger.projection") == 0


def test_a_projection_that_is_behind_catches_up_at_the_next_append(database: Database) -> None:
    append(database, fact("a"), fact("b"))
    live(database, fact("c"))
    assert [row[:3] for row in rows(database)] == [[1, "a", 1], [2, "b", 1], [3, "c", 1]]


class Positive:
    """A projection of numbers doubled, whose table refuses negative ones; all are inserted at once."""

    name = "positive"
    code_version = 1
    tables = ("public.positive",)
    types = frozenset({"Happened"})

    def plan(self, events: Sequence[Told]) -> Changes:
        insert = text("insert into public.positive select p, n * 2 from unnest(:positions, :numbers) as r (p, n)")
        rows = {"positions": [event.position for event in events], "numbers": [event.data["n"] for event in events]}

        def change(connection: Connection) -> None:
            connection.execute(insert, rows)

        return change


POSITIVE = "create table public.positive (position bigint primary key, n int constraint is_positive check (n > 0))"
SET_APART = "select json_agg(json_build_array(projection, position, reason, mended_position) order by position)"


@pytest.fixture
def positive(database: Database) -> Iterator[Projector]:
    with database.begin() as connection:
        connection.execute(text(POSITIVE))
    yield Projector([Latest(), Positive()])
    with database.begin() as connection:
        connection.execute(text("drop table public.positive"))


def test_what_the_database_refuses_is_set_apart_and_everything_else_is_applied(
    database: Database, positive: Projector
) -> None:
    live(database, *(fact("a", n=n) for n in (1, -2, 3, 4, -5)), projector=positive)
    assert scalar(database, "select n from public.latest") == -5
    assert scalar(database, "select array_agg(n order by n) from public.positive") == [2, 6, 8]
    apart = [["positive", 2, "is_positive", None], ["positive", 5, "is_positive", None]]
    assert scalar(database, f"{SET_APART} from ledger.set_apart") == apart
    with database.begin() as connection:
        assert verification._compared(connection, [Positive()]) == []
    positive.rebuild(database.begin, "positive")
    assert scalar(database, f"{SET_APART} from ledger.set_apart") == apart


def test_what_is_mended_is_applied_by_the_next_rebuild_which_is_kept_in_mind(
    database: Database, positive: Projector
) -> None:
    append(database, fact("a", n=1), fact("a", n=-2), fact("a", n=-(2**31)))
    positive.catch_up(database.begin)
    assert scalar(database, f"{SET_APART} from ledger.set_apart") == [
        ["positive", 2, "is_positive", None],
        ["positive", 3, "NumericValueOutOfRange", None],
    ]
    with database.begin() as connection:
        connection.execute(text("alter table public.positive drop constraint is_positive"))
        (difference,) = (d for d in verification._compared(connection, [Positive()]) if d.table == "ledger.set_apart")
    assert (difference.missing, difference.unexpected) == (0, 1)
    positive.rebuild(database.begin, "positive")
    assert scalar(database, f"{SET_APART} from ledger.set_apart") == [
        ["positive", 2, "is_positive", 3],
        ["positive", 3, "NumericValueOutOfRange", None],
    ]


def test_what_is_wrong_with_the_tables_and_not_with_an_event_is_raised(database: Database, positive: Projector) -> None:
    with database.begin() as connection:
        connection.execute(text("drop table public.positive"))
    with pytest.raises(ProgrammingError):
        live(database, fact("a", n=1), projector=positive)
    with database.begin() as connection:
        connection.execute(text(POSITIVE))
    assert scalar(database, "select count(*) from ledger.event") == 0


def test_a_repeated_append_is_not_applied_twice(database: Database) -> None:
    """The events of an append that turned out to be a repeat used to be applied once more."""
    events = [fact("a"), fact("a")]
    for _ in range(2):
        with database.begin() as connection:
            stored = the_store().append(connection, events, expected={"a": 0})
            Projector([Tally()]).advance(connection, stored)
    assert [row[2] for row in rows(database)] == [1, 1]
    assert checkpoint(database) == 2


def test_a_repeat_found_by_a_projection_that_is_behind_skips_nothing(database: Database) -> None:
    events = [fact("a"), fact("a")]
    append(database, *events)
    append(database, fact("b"))
    with database.begin() as connection:
        stored = the_store().append(connection, events, expected={"a": 0})
        Projector([Tally()]).advance(connection, stored)
    assert checkpoint(database) == 2
    live(database, fact("c"))
    assert [row[:3] for row in rows(database)] == [[1, "a", 1], [2, "a", 1], [3, "b", 1], [4, "c", 1]]


def test_rows_and_checkpoint_go_back_together_with_the_events(database: Database) -> None:
    live(database, fact("a"))
    with pytest.raises(Killed):
        live(database, fact("b"), projector=Projector([KilledAt(2)]))
    assert [row[1] for row in rows(database)] == ["a"]
    assert checkpoint(database) == 1
    live(database, fact("c"))
    assert [row[:3] for row in rows(database)] == [[1, "a", 1], [2, "c", 1]]


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    # The size is no argument anywhere: it only bounds memory and the length of a transaction.
    monkeypatch.setattr(projector, "BATCH", 3)


histories = st.lists(
    st.lists(
        st.builds(
            lambda stream, type_, n: fact(stream, type_, n=n),
            st.sampled_from("abc"),
            st.sampled_from(["Happened", "Also", "Other"]),
            st.integers(0, 9),
        ),
        min_size=1,
        max_size=5,
    ),
    max_size=6,
)


@pytest.mark.usefixtures("small_batches")
@given(histories, st.data())
def test_rebuilt_is_live_row_for_row(database: Database, history: list[list[NewEvent]], data: st.DataObject) -> None:
    both = Projector([Tally(), Latest()])
    query = """
        select (select json_agg(t order by position)::text from public.tally as t),
               (select json_agg(l order by stream)::text from public.latest as l),
               (select json_agg(p order by name)::text from ledger.projection as p)
    """
    with database.begin() as connection:
        begin = savepoints(connection)
        for events in history:
            stored = the_store().append(connection, events)
            if data.draw(st.booleans(), label="live"):
                both.advance(connection, stored)
        both.catch_up(begin)
        before = tuple(connection.execute(text(query)).one())
        both.rebuild(begin, data.draw(st.sampled_from(["tally", "latest"]), label="rebuilt"))
        assert tuple(connection.execute(text(query)).one()) == before
        assert connection.execute(text("select coalesce(max(times), 1) from public.tally")).scalar_one() == 1
        connection.rollback()


def savepoints(connection: Connection) -> projector.Begin:
    @contextmanager
    def begin() -> Iterator[Connection]:
        with connection.begin_nested():
            yield connection

    return begin


class Killed(Exception):
    pass


class KilledAt(Tally):
    """Dies when it is given the event at a position, as a process would that is killed there."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position = position

    def plan(self, events: Sequence[Told]) -> Changes:
        insert = super().plan(events)

        def change(connection: Connection) -> None:
            insert(connection)
            if any(event.position == self.position for event in events):
                raise Killed

        return change


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("position", [1, 4, 8, 10])
def test_a_catching_up_that_was_killed_goes_on_where_it_was(database: Database, position: int) -> None:
    append(database, *(fact("a", n=n) for n in range(10)))
    with pytest.raises(Killed):
        Projector([KilledAt(position)]).catch_up(database.begin)
    whole_batches = 3 * ((position - 1) // 3)
    assert len(rows(database)) == whole_batches
    assert Projector([Tally()]).catch_up(database.begin) == 10 - whole_batches
    assert [row[:3] for row in rows(database)] == [[n, "a", 1] for n in range(1, 11)]


@pytest.mark.usefixtures("small_batches")
def test_catching_up_tells_how_far_it_has_come(database: Database) -> None:
    append(database, *(fact() for _ in range(7)))
    told: list[tuple[int, int]] = []
    assert Projector([Tally()]).catch_up(database.begin, lambda done, total: told.append((done, total))) == 7
    assert told == [(3, 7), (6, 7), (7, 7)]


def test_catching_up_where_nothing_is_missing_reads_nothing(database: Database) -> None:
    live(database, fact())
    assert Projector([Tally()]).catch_up(database.begin) == 0


def test_catching_up_an_empty_ledger_registers_the_projection(database: Database) -> None:
    assert Projector([Tally()]).catch_up(database.begin) == 0
    assert checkpoint(database) == 0


def test_catching_up_without_projections_does_nothing(database: Database) -> None:
    append(database, fact())
    assert Projector([]).catch_up(database.begin) == 0


def test_a_changed_code_version_rebuilds(database: Database) -> None:
    live(database, fact("a", "Happened"), fact("a", "Also"))
    changed = Tally(code_version=2, types=frozenset({"Also"}))
    assert Projector([changed]).catch_up(database.begin) == 2
    assert [row[0] for row in rows(database)] == [2]
    assert scalar(database, "select code_version from ledger.projection") == 2


def test_an_unchanged_code_version_is_left_alone(database: Database) -> None:
    live(database, fact("a"))
    with database.begin() as connection:
        connection.execute(text("update public.tally set n = 42"))
    Projector([Tally()]).catch_up(database.begin)
    assert rows(database) == [[1, "a", 1, 42]]


def test_a_rebuild_mends_a_table_that_was_changed_by_hand(database: Database) -> None:
    live(database, fact("a", n=1), fact("b", n=2))
    with database.begin() as connection:
        connection.execute(text("delete from public.tally where position = 1"))
        connection.execute(text("update public.tally set n = 42"))
    assert Projector([Tally()]).rebuild(database.begin, "tally") == 2
    assert rows(database) == [[1, "a", 1, 1], [2, "b", 1, 2]]


def test_rebuilding_one_projection_leaves_the_other_alone(database: Database) -> None:
    both = Projector([Tally(), Latest()])
    live(database, fact("a", n=1), fact("a", n=2), projector=both)
    with database.begin() as connection:
        connection.execute(text("update public.latest set n = 42"))
    both.rebuild(database.begin, "tally")
    assert scalar(database, "select n from public.latest") == 42
    assert len(rows(database)) == 2


def test_rebuilding_what_is_not_there_says_what_is(database: Database) -> None:
    with pytest.raises(Misconfigured, match=r"no projection 'talley'. Expected one of: tally, latest"):
        Projector([Tally(), Latest()]).rebuild(database.begin, "talley")


@pytest.mark.usefixtures("small_batches")
def test_an_append_in_the_middle_of_a_rebuild_is_applied_once(database: Database) -> None:
    live(database, *(fact("a", n=n) for n in range(10)))
    appended: list[int] = []

    def interrupt(*_: int) -> None:
        if not appended:
            appended.extend(event.position for event in live(database, fact("late")))

    Projector([Tally()]).rebuild(database.begin, "tally", progress=interrupt)
    assert appended == [11]
    assert [row[2] for row in rows(database)] == [1] * 11
    assert checkpoint(database) == 11


def test_two_processes_that_catch_up_at_once_apply_each_event_once(database: Database, database_url: str) -> None:
    append(database, *(fact(f"s/{n % 5}", n=n) for n in range(6_000)))
    with processes(2) as pool:
        ends = [pool.submit(catch_up, database_url) for _ in range(2)]
        for end in ends:
            assert end.result() in {0, 1_000, 6_000}
    assert scalar(database, "select array[count(*), max(times)] from public.tally") == [6_000, 1]
    assert checkpoint(database) == 6_000


@pytest.mark.usefixtures("small_batches")
def test_a_projection_that_another_process_reset_meanwhile_is_read_in_batches(database: Database) -> None:
    append(database, *(fact("a", n=n) for n in range(9)))
    given: list[int] = []

    class Watched(Tally):
        def plan(self, events: Sequence[Told]) -> Changes:
            given.append(len(events))
            return super().plan(events)

    reset = iter([True])

    def interrupt(done: int, _: int) -> None:
        if done >= 6 and next(reset, False):
            with database.begin() as connection:
                store.lock_head(connection)
                Projector._reset(connection, Tally())

    Projector([Watched()]).catch_up(database.begin, interrupt)
    assert max(given) == 3
    assert [row[2] for row in rows(database)] == [1] * 9
