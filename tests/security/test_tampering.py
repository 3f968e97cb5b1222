"""Whoever owns the database, but has no master key, changes what it holds or what guards it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Connection, text

from ledger import chain
from ledger.chain import Stored
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


def test_every_byte_of_an_event_is_under_its_hash(attested: Database) -> None:
    with attested.begin() as connection, stored_events(connection) as events:
        first, second = list(events)[:2]
    assert chain.follow(first.hash, second) == second.hash
    columns: dict[str, Any] = second._asdict()
    for column in columns.keys() - {"hash"}:
        for changed in _one_byte_changed(columns[column]):
            assert chain.follow(first.hash, Stored(**columns | {column: changed})) != second.hash


def _one_byte_changed(value: Any) -> Iterator[Any]:
    if isinstance(value, bytes):
        yield from (value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :] for at in range(len(value)))
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
