"""Whoever owns the database, but has no master key, changes what it holds or what guards it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Connection, text

from ledger import chain
from ledger.chain import Broken, Checkpoint, KeptHead, Stored, Tree, Walk, leaf_hash
from ledger.database import Database
from ledger.errors import Corrupt
from ledger.events import NewEvent
from ledger.scan import stored_events
from ledger.vault import SubjectName
from processors.cli.bootstrap import opened_gateway
from processors.events.operations import SubjectForgotten
from processors.gateway import Gateway
from processors.operations.forget.data_subjects import of_patients
from processors.operations.forget.forget import forget
from tests.ledger.guards import unguarded
from tests.ledger.samples import append, fact
from tests.security.conftest import Verify
from tests.verification.program import Program
from tests.verification.tampering import GUARDED, rewrite, tamper

KEYS_DESTROYED = "update ledger.subject set wrapped_key = null, lookup = null, likeness = null"


@pytest.mark.usefixtures("attested")
def test_what_nobody_has_touched_verifies(program: Program) -> None:
    ended = program("verify")
    assert (ended.code, ended.err) == (0, "")
    assert "Attested with the master key: events 1 to 2, who is forgotten, and all runs." in ended.out


# Keys and lookups


def test_keys_that_were_destroyed_are_not_taken_for_forgotten(attested: Database, program: Program) -> None:
    tamper(attested, KEYS_DESTROYED)
    ended = program("verify")
    assert (ended.code, ended.out) == (4, "")
    assert "2 subjects have no key any more though no event tells that they were forgotten" in ended.err


def test_a_forged_event_does_not_make_destroyed_keys_forgotten_ones(
    attested: Database, gateway: Gateway, verify: Verify
) -> None:
    with attested.begin() as connection:
        subjects = connection.execute(text("select subject from ledger.subject")).scalars().all()
    told = SubjectForgotten(
        what="patient", name="", by="me", reason="", subjects={"patient": [str(s) for s in subjects]}, studies=0
    )
    tamper(attested, KEYS_DESTROYED)
    append(attested, NewEvent(stream=told.stream, type="SubjectForgotten", data=told.data))
    expected = "Expected 0 forgotten subjects, as attested with the master key, found 2"
    assert expected in verify()
    with gateway.begin() as work:
        work.record([told])
    with pytest.raises(Corrupt, match=expected):
        gateway.attest()


def test_a_forgotten_key_that_is_put_back_is_found(attested: Database, gateway: Gateway, verify: Verify) -> None:
    with attested.begin() as connection:
        connection.execute(text("create table public.kept as table ledger.subject"))
    forget(gateway, lambda work: of_patients(work, ["PID-1"]), reason="asked for it", by="me")
    assert verify() == ""
    tamper(
        attested,
        "update ledger.subject set wrapped_key = kept.wrapped_key, lookup = kept.lookup from public.kept"
        " where kept.subject = subject.subject",
        "drop table public.kept",
    )
    assert "1 forgotten subjects have a key again" in verify()


def test_lookups_that_were_exchanged_open_nothing(attested: Database, gateway: Gateway, verify: Verify) -> None:
    """The next study of the one patient would have gone out under the pseudonym of the other."""
    tamper(
        attested,
        "create temporary table kept on commit drop as table ledger.subject",
        "update ledger.subject set lookup = sha256(lookup)",
        "update ledger.subject set lookup = kept.lookup from pg_temp.kept where kept.subject <> subject.subject",
    )
    assert "its row in ledger.subject has been changed or exchanged with another's" in verify()
    name = SubjectName("patient", "", "PID-1")
    with gateway.begin() as work, pytest.raises(Corrupt, match="exchanged with another's"):
        gateway.vault.subjects(work.connection, [name])


# The chain


def exchange_sealed_parts(database: Database) -> None:
    rewrite(
        database,
        "update ledger.event set sealed = other.sealed, subject = other.subject from ledger.event as other"
        " where other.position + event.position = 3 and other.sealed is not null and event.sealed is not null",
    )


def cut_off_the_end(database: Database) -> None:
    tamper(
        database,
        "delete from ledger.event where position > 1",
        "update ledger.head set (position, hash) = (select position, hash from ledger.event where position = 1)",
    )


def change_an_event(database: Database) -> None:
    rewrite(database, "update ledger.event set site = 'elsewhere' where position = 1")


@pytest.mark.parametrize("forge", [exchange_sealed_parts, cut_off_the_end, change_an_event])
def test_a_forgery_in_which_all_hashes_fit_is_found_with_the_master_key(
    attested: Database, program: Program, forge: Callable[[Database], None]
) -> None:
    forge(attested)
    ended = program("verify")
    assert (ended.code, ended.out) == (4, "")
    assert "events up to there have been rewritten or cut off since" in ended.err


def test_what_was_rewritten_is_not_attested_anew(attested: Database, gateway: Gateway) -> None:
    change_an_event(attested)
    with gateway.begin() as work:
        work.record([fact("later")])
    with pytest.raises(Corrupt, match="rewritten or cut off"):
        gateway.attest()


@pytest.mark.parametrize(
    ("statement", "how"),
    [
        ("delete from ledger.attestation", "row of ledger.attestation is missing"),
        ("update ledger.attestation set position = 1", "not written with this ledger's master key"),
        ("update ledger.attestation set forgotten = 2", "not written with this ledger's master key"),
    ],
)
def test_an_attestation_cannot_be_written_or_taken_away(
    attested: Database, verify: Verify, statement: str, how: str
) -> None:
    tamper(attested, statement)
    assert how in verify()


def test_what_a_command_appends_before_it_fails_is_attested(attested: Database, program: Program) -> None:
    with suppress(ZeroDivisionError), opened_gateway(program.config) as (_, gateway):
        with gateway.begin() as work:
            work.record([fact("later")])
        raise ZeroDivisionError
    with attested.begin() as connection:
        assert connection.execute(text("select position from ledger.attestation")).scalar_one() == 3


# Runs


@pytest.mark.parametrize(
    "statement",
    [
        "update gateway.run set exit_code = 1",
        "update gateway.run set started_at = started_at - interval '1 day'",
        "update gateway.run set finished_at = null, code = null",
        "insert into gateway.run (run, site, command, started_at) values (gen_random_uuid(), 'main', 'run', now())",
    ],
)
def test_a_run_that_was_rewritten_or_made_up_is_found(attested: Database, program: Program, statement: str) -> None:
    tamper(attested, statement)
    ended = program("verify")
    assert (ended.code, "1 rows of gateway.run" in ended.err) == (4, True)


# Guards, functions, views, rights


@pytest.mark.parametrize(
    ("statement", "how"),
    [
        ("drop trigger append_only on ledger.event", "The trigger append_only on ledger.event is missing"),
        ("alter table ledger.event disable trigger append_only", "The trigger append_only on ledger.event is not as"),
        ("alter table ledger.head enable trigger never_back", "The trigger never_back on ledger.head is not as it was"),
        (
            "create or replace function ledger.refuse_change() returns trigger language plpgsql as 'begin end'",
            "The function ledger.refuse_change() is not as it was made",
        ),
        (
            "create function gateway.mine() returns trigger language plpgsql as 'begin return new; end'",
            "The function gateway.mine() is not of our making",
        ),
        (
            "create trigger mine before insert on ledger.event execute function ledger.refuse_change()",
            "The trigger mine on ledger.event is not of our making",
        ),
        ("create rule mine as on insert to gateway.study do instead nothing", "The rule mine on gateway.study is not"),
        ("alter table ledger.event enable row level security", "The row security on ledger.event is not of our making"),
        ("drop view audit.run", "The view audit.run is missing"),
        (
            "alter view audit.run set (security_barrier)",
            "The view audit.run is not as it was made: somebody has changed it",
        ),
    ],
)
def test_what_guards_and_shows_the_ledger_is_compared_with_what_is_shipped(
    attested: Database, made_otherwise: Callable[[], list[str]], statement: str, how: str
) -> None:
    assert made_otherwise() == []
    with attested.begin() as connection:
        connection.exec_driver_sql(statement)
    assert any(found.startswith(how) for found in made_otherwise())


def test_a_view_that_was_replaced_by_an_empty_one_is_found(attested: Database, program: Program) -> None:
    with attested.begin() as connection:
        definition = connection.execute(text("select pg_get_viewdef('audit.conflict'::regclass)")).scalar_one()
        empty = f"create or replace view audit.conflict as select * from ({definition.rstrip(';')}) as v where false"
        connection.exec_driver_sql(empty)
    ended = program("verify")
    assert (ended.code, ended.out) == (4, "")
    assert "The view audit.conflict is not as it was made" in ended.err


def test_rights_that_grant_never_gives_are_told(attested: Database, program: Program) -> None:
    with attested.begin() as connection:
        connection.execute(text("grant usage on schema ledger to public"))
        connection.execute(text("grant select on gateway.study to public"))
        connection.execute(text("grant update (hash) on ledger.event to public"))
    ended = program("verify")
    assert ended.code == 1
    for what in ("USAGE on ledger", "SELECT on gateway.study", "UPDATE on ledger.event.hash"):
        assert f"Everybody (PUBLIC) may {what}, which `fiona-ledger grant` gives to nobody." in ended.out.replace(
            "\n", " "
        )


# Every column

NOT_OURS_TO_FIND = {
    "ledger.vault.made_at",
    "ledger.subject.made_at",
    "ledger.projection.name",
    "ledger.projection.code_version",
    "ledger.projection.checkpoint",
    "ledger.set_apart.projection",
    "ledger.set_apart.position",
    "ledger.set_apart.reason",
    "ledger.set_apart.mended_position",
    "ledger.alembic_version.version_num",
}
"""Times that nothing goes by, and how far derived tables are and what they lack, which `verify --projections` and a
rebuild tell."""

_BYTES = {
    "bytea": ("length({})", "set_byte({0}, {at}, get_byte({0}, {at}) # 1)"),
    "uuid": ("16", "encode(set_byte(uuid_send({0}), {at}, get_byte(uuid_send({0}), {at}) # 1), 'hex')::uuid"),
    "bigint": ("8", "{0} # (1::bigint << 8 * {at})"),
    "integer": ("4", "{0} # (1 << 8 * {at})"),
}
"""How many bytes a value has, and the value with one of them changed."""

_CHANGED = {
    "uuid": "gen_random_uuid()",
    "text": "{} || 'x'",
    "character varying": "{} || 'x'",
    "bigint": "{} + 1",
    "integer": "{} + 1",
    "smallint": "{} + 1",
    "bytea": "set_byte({0}, 5, get_byte({0}, 5) # 1)",
    "json": "regexp_replace({}::text, '.$', ' }}')::json",
    "timestamp with time zone": "{} + interval '1 microsecond'",
}


def test_a_change_in_any_column_of_the_ledger_is_found_or_listed(attested: Database, verify: Verify) -> None:
    with attested.begin() as connection:
        connection.execute(text("insert into ledger.set_apart values ('transfers', 1, 'why', 2)"))
        columns = connection.execute(_COLUMNS).all()
    unfound = {
        f"ledger.{c.table}.{c.column}" for c in columns if not _is_found(attested, verify, c.table, c.column, c.type)
    }
    assert unfound == NOT_OURS_TO_FIND


def test_no_byte_of_a_row_beside_the_events_can_be_changed_unseen(
    attested: Database, verify_in: Callable[[Connection], str]
) -> None:
    """Subjects and their keys, the vault, the head, the attestation."""
    with attested.begin() as connection, unguarded(connection, *GUARDED):
        assert verify_in(connection) == ""
        columns = [c for c in connection.execute(_COLUMNS) if c.table != "event" and c.type in _BYTES]
        changes = [
            (f"ledger.{c.table}", f"{c.column} = {_BYTES[c.type][1].format(c.column, at=at)}")
            for c in columns
            if f"ledger.{c.table}.{c.column}" not in NOT_OURS_TO_FIND
            for at in range(_length(connection, c.table, c.column, c.type))
        ]
        assert len(changes) > 250
        unfound = []
        for table, change in changes:
            with connection.begin_nested() as savepoint:
                connection.exec_driver_sql(f"update {table} set {change} where ctid = (select min(ctid) from {table})")
                if verify_in(connection) == "":
                    unfound.append((table, change))
                savepoint.rollback()
        assert unfound == []


@pytest.mark.parametrize(
    "statement",
    [
        "delete from ledger.subject where ctid = (select min(ctid) from ledger.subject)",
        "delete from ledger.vault",
        "delete from ledger.head",
        "update ledger.subject as own set wrapped_key = o.wrapped_key from ledger.subject as o where o <> own",
        "update ledger.event as own set subject = o.subject from ledger.event as o where o.position = 3 - own.position",
        "update ledger.event set sealed = null",
    ],
)
def test_rows_that_are_taken_away_or_exchanged_are_found(
    attested: Database, verify_in: Callable[[Connection], str], statement: str
) -> None:
    with attested.begin() as connection, unguarded(connection, *GUARDED):
        connection.exec_driver_sql(statement)
        assert verify_in(connection) != ""


def test_no_forgery_of_events_meets_a_checkpoint_that_was_kept(attested: Database) -> None:
    """Also where all hashes are computed anew, so that within the database everything fits."""
    append(attested, fact("study/1", note="one"), fact("study/1", note="two"))
    with attested.begin() as connection, stored_events(connection) as rows:
        events = list(rows)
    tree = Tree()
    for event in events:
        tree.take(leaf_hash(event.hash))
    kept = Checkpoint("", len(events), tree.root()).as_head()
    assert _meets(events, kept)
    assert _meets(_chained_anew(events), kept)
    forged = list(_forgeries(events))
    assert len(forged) > 500
    assert [forgery for forgery in forged if _meets(forgery, kept) or _meets(_chained_anew(forgery), kept)] == []


def _length(connection: Connection, table: str, column: str, type_: str) -> int:
    length = _BYTES[type_][0].format(column)
    statement = f"select {length} from ledger.{table} where {column} is not null order by ctid limit 1"
    found: int | None = connection.exec_driver_sql(statement).scalar_one_or_none()
    return found or 0


def _meets(events: Sequence[Stored], kept: KeptHead) -> bool:
    walk = Walk(heads=[kept])
    try:
        for event in events:
            walk.take(event)
        walk.end()
    except Broken:
        return False
    return True


def _chained_anew(events: Sequence[Stored]) -> list[Stored]:
    """The events at positions without gaps, each with the hash that it has there."""
    chained: list[Stored] = []
    for position, event in enumerate(events, 1):
        placed = event._replace(position=position)
        before = chained[-1].hash if chained else chain.GENESIS
        chained.append(placed._replace(hash=chain.follow(before, placed)))
    return chained


def _forgeries(events: Sequence[Stored]) -> Iterator[list[Stored]]:
    """Each byte changed, each event removed, doubled, exchanged with the next, in part, too; the end cut off."""
    for index, event in enumerate(events):
        before, after = [*events[:index]], [*events[index + 1 :]]
        columns: dict[str, Any] = event._asdict()
        for column in columns.keys() - {"hash", "position"}:
            for changed in _one_byte_changed(columns[column]):
                yield [*before, Stored(**columns | {column: changed}), *after]
        yield [*before, *after]
        yield before
        if after:
            following = after[0]
            yield [*before, event, event, *after]
            yield [*before, following, event, *after[1:]]
            for column in ("subject", "sealed", "data", "recorded_at"):
                if columns[column] != getattr(following, column):
                    exchanged = {column: getattr(following, column)}
                    other = following._replace(**{column: columns[column]})
                    yield [*before, Stored(**columns | exchanged), other, *after[1:]]


def _one_byte_changed(value: Any) -> Iterator[Any]:
    if isinstance(value, bytes):
        yield from (value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :] for at in range(len(value)))
        yield b"" if value else b"\0"
    elif value is not None:
        yield from (value ^ 1 << bit for bit in range(8))


def _is_found(database: Database, verify: Verify, table: str, column: str, type_: str) -> bool:
    place = f"select ctid from ledger.{table} where {column} is not null order by ctid desc limit 1"
    with database.begin() as connection, unguarded(connection, *GUARDED):
        before = connection.execute(
            text(f"select {column}::text from ledger.{table} where ctid = ({place})")
        ).scalar_one()
        ctid = _set(connection, table, column, f"ctid = ({place})", _CHANGED[type_].format(column))
    found = verify() != ""
    with database.begin() as connection, unguarded(connection, *GUARDED):
        _set(connection, table, column, f"ctid = '{ctid}'", f"'{before}'")
    assert verify() == ""
    return found


def _set(connection: Connection, table: str, column: str, where: str, value: str) -> str:
    statement = f"update ledger.{table} set {column} = {value} where {where} returning ctid::text"
    changed: str = connection.exec_driver_sql(statement).scalar_one()
    return changed


_COLUMNS = text("""
    select table_name as "table", column_name as "column", data_type as type from information_schema.columns
     where table_schema = 'ledger' and data_type <> 'boolean' and table_name <> 'lease'
     order by table_name, column_name
""")
