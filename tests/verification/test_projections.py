from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from sqlalchemy import Connection, text
from sqlalchemy import event as sa_event

from ledger import codec, projector, store, verification
from ledger.database import Database
from ledger.events import Event, NewEvent
from ledger.projector import Planned, Projection, Projector, apply_apart
from ledger.vault import SubjectName, Vault
from processors.events.deliveries import Acknowledged, RowAccepted, RowMissing, RowRefused, RowRestored, StudyDelivered
from processors.events.fact import Cause, Fact
from processors.events.operations import AdoptionCompleted, StudyAdopted
from processors.events.pseudonyms import AutoidProjectChanged, IdGenerated, IdReserved
from processors.events.rules import (
    ConflictFound,
    ConflictResolved,
    DecisionsMade,
)
from processors.events.series import FileRejected, StudyVanished
from processors.events.transfers import TransferObserved, TransferPlaced, TransferWithdrawn
from processors.gateway import Gateway
from processors.locks import no_runs, only_run
from processors.operations.rebuild import emptied_tables
from processors.projections import PROJECTIONS
from tests.facts import a_request, a_rule, a_series, an_entry, in_plain, revised
from tests.ledger.samples import append, fact, scalar, the_store
from tests.verification.histories import histories
from tests.verification.program import Program

TABLES = [(projection.name, table) for projection in PROJECTIONS for table in projection.tables]


def everything_projected(connection: Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {table: [] for _, table in TABLES}
    each = (f"select '{table}' as name, t::text as row from {table} as t" for _, table in TABLES)
    for table, row in connection.execute(text(" union all ".join(each) + " order by 1, 2")):
        found[table].append(row)
    checkpoints = connection.execute(text("select p::text from ledger.projection as p order by 1"))
    return found | {"ledger.projection": list(checkpoints.scalars())}


def savepoints(connection: Connection) -> projector.Begin:
    @contextmanager
    def begin() -> Iterator[Connection]:
        with connection.begin_nested():
            yield connection

    return begin


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    # The size is no argument anywhere: it only bounds memory and the length of a transaction.
    monkeypatch.setattr(projector, "BATCH", 7)
    monkeypatch.setattr(verification, "BATCH", 7)


@pytest.mark.usefixtures("small_batches")
@settings(max_examples=12)
@given(histories(), st.data())
def test_rebuilt_is_live_row_for_row_and_compares_as_equal(
    database: Database, history: list[list[NewEvent]], data: st.DataObject
) -> None:
    live = Projector(PROJECTIONS)
    with database.begin() as connection:
        begin = savepoints(connection)
        for events in history:
            stored = the_store().append(connection, events)
            if data.draw(st.booleans(), label="live"):
                live.advance(connection, stored)
        live.catch_up(begin)
        before = everything_projected(connection)
        assert verification._compared(connection, PROJECTIONS) == []
        live.rebuild(begin, *(projection.name for projection in PROJECTIONS))
        assert everything_projected(connection) == before
        connection.rollback()


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
@settings(max_examples=15)
@given(data=st.data())
def test_a_batch_comes_to_the_same_as_its_events_one_by_one(
    database: Database, projection: Projection, data: st.DataObject
) -> None:
    """With few types of the projection's own, so that events about the same row lie close together."""
    types = data.draw(st.sets(st.sampled_from(sorted(projection.types)), min_size=1, max_size=5), label="types")
    history = data.draw(histories(max_size=25, types=types), label="history")
    known = data.draw(st.integers(0, 10), label="applied before the batch")
    with database.begin() as connection:
        for events in history:
            the_store().append(connection, events)
        before, batch = split(from_two_sites(store.read(connection)), known)
        found = []
        for portions in ([before, batch], [before, *([event] for event in batch)]):
            with connection.begin_nested() as savepoint:
                for portion in filter(None, portions):
                    apply_apart(connection, [Planned.of(projection, portion)])
                found.append(rows_of(connection, projection))
                savepoint.rollback()
        together, one_by_one = found
        assert together == one_by_one
        connection.rollback()


def from_two_sites(events: Iterable[Event]) -> list[Event]:
    return [event._replace(site="north" if event.position % 2 else "south") for event in events]


def test_a_series_that_was_changed_and_changed_back_in_one_batch_is_delivered_and_routed_again(
    database: Database,
) -> None:
    apply_together(database, [SUMMARY])
    changed = revised(SUMMARY, identity_fingerprint="somebody else")
    apply_together(database, [changed, revised(SUMMARY)])
    assert scalar(database, "select row_position from gateway.study") == 3
    assert scalar(database, "select routed_position from gateway.series") == 3


def test_an_acknowledgement_concerns_what_was_there_when_it_was_given(database: Database) -> None:
    """Not what goes missing later, though the statement for that is executed before as well."""
    missing, restored = (type_(study="1.2", kind="study", key="") for type_ in (RowMissing, RowRestored))
    acknowledged = RowMissing(study="1.3", kind="study", key="")
    by_hand = Acknowledged(study="1.3", position=4, by="operator", reason="seen")
    apply_together(database, [missing, restored, missing, acknowledged, by_hand, acknowledged])
    query = "select json_object_agg(study, array[position::text, acknowledged::text]) from gateway.missing_row"
    assert scalar(database, query) == {"1.2": ["3", "false"], "1.3": ["6", "true"]}


def test_a_request_of_before_is_placed_though_its_state_changes_in_the_same_batch(database: Database) -> None:
    """Only what is inserted by the same batch takes up what becomes of it."""
    apply_together(database, [REQUESTED])
    conflict = ConflictFound(study="1.2", project="P", event_name="", kind="person", causes=(), request=1)
    apply_together(database, [conflict, TransferPlaced(study="1.2", request=1, instance=3, found=False)])
    assert scalar(database, "select array[state, instance::text] from gateway.transfer") == ["placed", "3"]


def test_a_request_placed_in_the_batch_that_inserts_it_is_placed_where_somebody_had_placed_it(
    database: Database,
) -> None:
    apply_together(database, [REQUESTED, TransferPlaced(study="1.2", request=1, instance=3, found=True)])
    query = "select array[state, instance::text, found::text, (placed_at is null)::text] from gateway.transfer"
    assert scalar(database, query) == ["placed", "3", "true", "false"]


def test_what_is_reserved_or_observed_again_in_one_batch_keeps_its_first_event(database: Database) -> None:
    apply_together(database, [IdReserved(project="P", fingerprint="P-1", name_fingerprint=None), OBSERVED] * 2)
    assert scalar(database, "select array_agg(position) from gateway.used_id") == [1]
    assert scalar(database, "select array_agg(position) from gateway.observed_transfer") == [2]


def test_what_may_have_been_sent_is_told_since_the_first_doubt(database: Database) -> None:
    doubted = TransferWithdrawn(study="1.2", project="P", request=1, instance=1, by=None, fate="possibly sent")
    apply_together(database, [REQUESTED, doubted, doubted])
    assert scalar(database, "select array_agg(position) from gateway.outcome") == [2]


def apply_together(database: Database, facts: Sequence[Fact]) -> None:
    with database.begin() as connection:
        stored = the_store().append(connection, [in_plain(fact) for fact in facts])
        Projector(PROJECTIONS).advance(connection, stored)


def split(events: list[Event], at: int) -> tuple[list[Event], list[Event]]:
    return events[:at], events[at:]


def rows_of(connection: Connection, projection: Projection) -> dict[str, list[str]]:
    return {
        table: list(connection.execute(text(f"select t::text from {table} as t order by 1")).scalars())
        for table in projection.tables
    }


def test_a_thousand_studies_take_no_more_statements_than_one(database: Database) -> None:
    """A statement for every event used to be what a rebuild spent its time on."""
    taken = [statements_taken(database, studies) for studies in (1, 1_000)]
    assert taken[0] == taken[1] > 0


def statements_taken(database: Database, studies: int) -> int:
    executed: list[str] = []
    with database.begin() as connection:
        stored = the_store().append(connection, [event for n in range(studies) for event in life(n)])
        sa_event.listen(connection, "before_cursor_execute", lambda *given: executed.append(given[2]))
        Projector(PROJECTIONS).advance(connection, stored)
        connection.rollback()
    return len(executed)


def life(n: int) -> list[NewEvent]:
    """A study arrives, is requested, placed and delivered; there is a conflict, and a row that is refused."""
    study, request = f"1.2.{n}", 10 * n + 2
    facts: list[Fact] = [
        a_series(study, f"{study}.1", AETitleCalled="A"),
        structs.replace(REQUESTED, study=study),
        TransferPlaced(study=study, request=request, instance=1, found=False),
        ConflictFound(study=study, project="P", event_name="", kind="person", causes=(), request=request),
        ConflictResolved(study=study, project="P", event_name=""),
        TransferWithdrawn(study=study, project="P", request=request, instance=1, by=request, fate="sent"),
        RowRefused(study=study, kind="study", key="", row_position=1, field="f", message="m"),
        RowAccepted(study=study, kind="study", key=""),
        StudyDelivered(study=study, row=1, series={}),
        StudyVanished(StudyInstanceUID=study),
    ]
    return [in_plain(fact) for fact in facts]


SUMMARY = a_series("1.2", "1.2.1", AETitleCalled="A")
REQUESTED = a_request("1.2", "P", Cause("rule", "1", 2))
OBSERVED = TransferObserved(study="1.2", project="P", event_name="", instance=1, fingerprint="")

FULL: Sequence[Fact] = (
    SUMMARY,
    a_rule("1", "P"),
    an_entry("1", "P"),
    REQUESTED,
    DecisionsMade(site="main", position=4, studies=1),
    AutoidProjectChanged(
        record_id="1", fingerprint="", project="P", pattern="x", aetitle="A", wanted=True, problems=()
    ),
    IdGenerated(project="P", fingerprint="x", name_fingerprint=None, pattern="x", project_position=6),
    OBSERVED,
    StudyAdopted(study="1.2", series={}),
    AdoptionCompleted(site="main", studies=1, series=0, transfers=0, ids=0, by="operator"),
    FileRejected(path="x", reason="y", digest="z"),
)


@pytest.fixture
def full(gateway: Gateway, vault: Vault) -> Database:
    """A ledger with a row in every table that only grows, and in one that does not."""
    with gateway.begin() as work:
        subject = vault.subjects(work.connection, [SubjectName("link", "P", "1")])
        (owner,) = subject.values()
        work.record([in_plain(fact, subject=owner if isinstance(fact, IdGenerated) else None) for fact in FULL])
    return gateway.database


GROWING = sorted(
    {
        "gateway.study",
        "gateway.series",
        "gateway.rule",
        "gateway.coupling_entry",
        "gateway.transfer",
        "gateway.decision",
        "gateway.autoid_project",
        "gateway.used_id",
        "gateway.observed_transfer",
        "gateway.adopted_study",
        "gateway.moved_in",
    }
)


def empty(database: Database, table: str) -> None:
    with database.begin() as connection:
        connection.execute(text(f"delete from {table}"))


def emptied(database: Database) -> list[str]:
    with database.begin() as connection:
        return [table for _, table in emptied_tables(connection)]


def test_no_table_of_a_gateway_is_taken_for_emptied(full: Database) -> None:
    assert emptied(full) == []


def test_no_table_of_a_new_ledger_is_taken_for_emptied(database: Database) -> None:
    assert emptied(database) == []


def test_each_table_emptied_by_hand_is_noticed(full: Database) -> None:
    for table in GROWING:
        with full.begin() as connection:
            connection.execute(text(f"delete from {table}"))
            assert [name for _, name in emptied_tables(connection)] == [table]
            connection.rollback()


def test_of_emptied_tables_the_rebuild_is_offered(full: Database, program: Program) -> None:
    for table in GROWING:
        empty(full, table)
    ended = program("verify")
    assert ended.code == 1
    assert f"Verified {len(FULL)} events" in ended.out
    rebuilds = {(table, name) for name, table in TABLES if table in GROWING}
    for table, projection in rebuilds:
        assert f"Table {table} has been emptied by hand. Run `fiona-ledger rebuild {projection}`" in ended.out
    for projection in {projection for _, projection in rebuilds}:
        before = set(emptied(full))
        assert program("rebuild", projection).code == 0
        assert before - set(emptied(full)) == {table for table, name in rebuilds if name == projection}
    assert program("verify", "--projections").code == 0


def test_a_projection_that_has_not_come_so_far_is_not_taken_for_emptied(database: Database) -> None:
    append(database, in_plain(SUMMARY))
    assert emptied(database) == []


# Comparing with a fresh derivation


CHANGES = {
    "delete from gateway.rejected_file": ("gateway.rejected_file", 1, 0),
    "update gateway.transfer set state = 'placed'": ("gateway.transfer", 1, 1),
    "update gateway.study set on_disk = false": ("gateway.study", 1, 1),
    "insert into gateway.held_study values ('1.2', 'P', 'because', 1)": ("gateway.held_study", 0, 1),
    "insert into gateway.decision values ('other', 9)": ("gateway.decision", 0, 1),
}
"""Statements, and the table in which rows are missing and unexpected then, and how many."""


def test_rows_changed_by_hand_are_found_by_table(full: Database, program: Program) -> None:
    with full.begin() as connection:
        for statement in CHANGES:
            connection.execute(text(statement))
    assert program("verify").code == 0, "only looked for on demand"
    ended = program("verify", "--projections", "--json")
    assert ended.code == 1
    names = {table: name for name, table in TABLES}
    expected = [
        {"projection": names[table], "table": table, "missing": missing, "unexpected": unexpected}
        for table, missing, unexpected in CHANGES.values()
    ]
    assert sorted(ended.data["different_tables"], key=str) == sorted(expected, key=str)
    said = program("verify", "--projections").out
    for table, _, _ in CHANGES.values():
        assert f"Run `fiona-ledger rebuild {names[table]}`" in said
    assert program("rebuild").code == 0
    assert program("verify", "--projections", "--json").data["different_tables"] == []


def test_comparing_changes_nothing_and_leaves_no_table_behind(full: Database, program: Program) -> None:
    empty(full, "gateway.study")
    with full.begin() as connection:
        before = everything_projected(connection)
    assert program("verify", "--projections").code == 1
    with full.begin() as connection:
        assert everything_projected(connection) == before
    assert scalar(full, "select count(*) from pg_class where relpersistence = 't' and relkind = 'r'") == 0


def test_a_projection_that_is_behind_is_compared_as_far_as_it_has_come(full: Database, program: Program) -> None:
    append(full, in_plain(FileRejected(path="q", reason="r", digest="d")))
    assert program("verify", "--projections").code == 0


def test_a_projection_that_the_next_run_rebuilds_is_not_complained_about(full: Database, program: Program) -> None:
    with full.begin() as connection:
        connection.execute(text("update ledger.projection set code_version = 0 where name = 'studies'"))
        connection.execute(text("update gateway.study set on_disk = false"))
    assert program("verify", "--projections").code == 0


def test_comparing_tells_how_far_it_has_come(full: Database) -> None:
    told: list[tuple[int, int]] = []
    with full.begin() as connection:
        verification.compare(connection, PROJECTIONS, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert {total for _, total in told} == {len(PROJECTIONS) * len(FULL)}
    assert told[-1][0] < told[-1][1]


# Rebuilding


def test_rebuilding_mends_all_tables_and_says_how_many_events_it_read(full: Database, program: Program) -> None:
    with full.begin() as connection:
        before = everything_projected(connection)
        for table in GROWING:
            connection.execute(text(f"delete from {table}"))
    ended = program("rebuild", "--json")
    assert (ended.code, ended.data["events"]) == (0, len(FULL))
    assert ended.data["rebuilt"] == [projection.name for projection in PROJECTIONS]
    with full.begin() as connection:
        assert everything_projected(connection) == before


@pytest.mark.usefixtures("full")
def test_rebuilding_needs_no_key(program: Program, key_file: Path) -> None:
    key_file.unlink()
    assert program("rebuild", "studies").code == 0


def test_rebuilding_an_unknown_projection_lists_those_there_are(program: Program) -> None:
    ended = program("rebuild", "studeis")
    assert ended.code == 2
    names = ", ".join(projection.name for projection in PROJECTIONS)
    assert f"no projection 'studeis'. Expected one of: {names}." in ended.err


def test_while_a_run_is_under_way_nothing_is_rebuilt_and_that_is_said(
    full: Database, gateway: Gateway, program: Program
) -> None:
    empty(full, "gateway.study")
    with only_run(gateway) as busy:
        assert busy is None
        ended = program("rebuild")
        assert (ended.code, "A run for site 'main' is under way" in ended.out) == (0, True)
        said = program("rebuild", "--json").data
        assert (said["busy"], said["site"]) == (True, "main")
    assert scalar(full, "select count(*) from gateway.study") == 0
    assert program("rebuild").code == 0
    assert scalar(full, "select count(*) from gateway.study") == 1


@pytest.mark.usefixtures("full")
def test_a_run_of_another_site_on_the_same_ledger_holds_a_rebuild_up_too(gateway: Gateway, program: Program) -> None:
    """Sites share the tables: the other site's run would find them empty, and decide by that."""
    gateway.site = "other"
    with only_run(gateway):
        assert program("rebuild", "--json").data["site"] == "other"
    assert program("rebuild").code == 0


def test_no_run_begins_while_a_rebuild_is_under_way(full: Database, gateway: Gateway, program: Program) -> None:
    with no_runs(full) as busy:
        assert busy is None
        ended = program("run")
        assert (ended.code, "A command that keeps all runs away is under way" in ended.out) == (0, True)
    with only_run(gateway) as busy:
        assert busy is None


# Events in an old shape


def test_stored_events_of_version_1_are_projected_in_the_shape_of_today(database: Database) -> None:
    """Had the accession number been called `number` once, an upcaster would bring it to its name of today."""
    today = in_plain(structs.replace(SUMMARY, accession="A-1"))
    old = {key: value for key, value in today.data.items() if key != "AccessionNumber"} | {"number": "A-1"}
    append(database, replace(today, data=old))
    upcasters: codec.Upcasters = {
        (today.type, 1): lambda data: {
            **{key: value for key, value in data.items() if key != "number"},
            "AccessionNumber": data["number"],
        }
    }
    current = Projector(PROJECTIONS, upcasters)
    current.catch_up(database.begin)
    assert scalar(database, "select accession from gateway.series") == "A-1"
    with database.begin() as connection:
        another = in_plain(structs.replace(SUMMARY, accession="A-1", SeriesInstanceUID="1.2.2"))
        event = replace(another, schema_version=2)
        current.advance(connection, the_store().append(connection, [event]))
    current.rebuild(database.begin, "studies")
    assert scalar(database, "select array_agg(accession order by series) from gateway.series") == ["A-1", "A-1"]
    assert scalar(database, "select array_agg(schema_version order by position) from ledger.event") == [1, 2]
    with database.begin() as connection:
        assert verification.compare(connection, PROJECTIONS, upcasters=upcasters) == []


def test_a_ledger_that_holds_foreign_types_is_projected_without_them(database: Database) -> None:
    append(database, fact("a", "Unheard-of"))
    Projector(PROJECTIONS).catch_up(database.begin)
    assert scalar(database, "select min(checkpoint) from ledger.projection") == 1
