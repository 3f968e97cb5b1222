"""Roles of PostgreSQL that can do more than they were granted."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Event

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text

from ledger import lease
from ledger.database import Database, require_version
from ledger.errors import Misconfigured, Unreachable
from ledger.lease import RUN
from ledger.migrations import migrate
from tests.ledger.samples import opened, scalar
from tests.roles.conftest import MakeRole, as_role
from tests.verification.program import Program


def test_what_else_a_role_can_do_is_told_by_grant(database: Database, program: Program, made_role: MakeRole) -> None:
    """It used to say "and nothing else" of all of them."""
    reader, maker, plain = made_role("reader"), made_role("maker"), made_role("plain")
    with database.begin() as connection:
        connection.execute(text(f"grant pg_read_all_data to {reader}"))
        connection.execute(text(f"alter role {maker} createrole replication"))
    ended = program("grant", "--auditor", plain)
    assert (ended.code, "and nothing else." in ended.out) == (0, True)
    ended = program("grant", "--auditor", reader, "--writer", maker, "--json")
    assert ended.code == 1
    besides = ended.data["besides"]
    assert besides[maker] == [
        "copy the whole server (REPLICATION)",
        "make roles and grant what it can grant (CREATEROLE)",
    ]
    assert besides[reader][0] == "do what pg_read_all_data can, as a member of it"
    assert besides[reader][1].startswith("SELECT on gateway.")


def test_what_is_granted_to_everybody_is_told_by_grant(
    database: Database, program: Program, made_role: MakeRole
) -> None:
    role = made_role("auditor")
    with database.begin() as connection:
        connection.execute(text("grant select on gateway.study to public"))
        connection.execute(text("grant create on schema audit to public"))
    ended = program("grant", "--auditor", role)
    assert ended.code == 1
    told = " ".join(ended.out.split())
    assert "But it may also: make objects in the schema audit; SELECT on gateway.study." in told


def test_an_old_postgresql_in_which_everybody_may_make_functions_is_refused() -> None:
    require_version(150_000)
    with pytest.raises(Misconfigured, match=r"Expected PostgreSQL 15 or newer, found 14\.9"):
        require_version(140_009)


def test_no_function_of_anybody_is_called_by_an_unqualified_name(database: Database) -> None:
    """On PostgreSQL 14, an auditor became the owner by a function in `public` that an unqualified call preferred."""
    with database.begin() as connection:
        connection.execute(
            text("""
                create function public.count(bigint) returns bigint language plpgsql as
                'begin raise exception ''hijacked''; end'
            """)
        )
        assert connection.execute(text("show search_path")).scalar_one() == "pg_catalog, pg_temp"
        without = connection.execute(_WITHOUT_SEARCH_PATH).scalars().all()
    assert without == []


_WITHOUT_SEARCH_PATH = text("""
    select proname from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
     where nspname in ('ledger', 'gateway', 'audit')
       and not coalesce(proconfig, '{}') @> array['search_path=pg_catalog, pg_temp']
""")


def test_who_keeps_hold_of_the_lock_of_first_tables_is_named(empty_url: str) -> None:
    """Any role can hold it; it used to be waited for, for ever, and nobody was told for whom."""
    with opened(empty_url) as database, opened(empty_url) as others, others.begin() as other:
        other.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": 0x66696F6E61})
        process = other.execute(text("select pg_backend_pid()")).scalar_one()
        with pytest.raises(Unreachable, match=rf"process {process} of the server, holds the lock"):
            migrate(database, patience=timedelta(seconds=0.1))


def test_no_other_lock_of_ours_is_one_that_anybody_can_hold() -> None:
    checkout = Path(__file__).parents[2]
    sources = {
        path: path.read_text("utf-8") for part in ("ledger", "processors") for path in (checkout / part).rglob("*.py")
    }
    assert [path.name for path, source in sources.items() if re.search(r"pg_\w*advisory", source)] == ["migrations.py"]


FORBIDDEN_TO_THE_WRITER = [
    "update ledger.event set type = 'Other'",
    "delete from ledger.event",
    "truncate ledger.event",
    "alter table ledger.event disable trigger all",
    "drop trigger append_only on ledger.event",
    "create or replace function ledger.refuse_change() returns trigger language plpgsql as 'begin return new; end'",
    "set session_replication_role = replica",
    "drop table ledger.event",
    "create trigger mine before insert on ledger.event execute function ledger.refuse_change()",
    "insert into ledger.head (position, hash) values (1, '')",
    "delete from ledger.head",
    "update ledger.head set only_row = true",
    "update ledger.subject set wrapped_key = null, lookup = null",
    "delete from ledger.subject",
    "update ledger.vault set wrapped_index_key = ''",
    "delete from ledger.vault",
    "delete from ledger.projection",
    "update ledger.alembic_version set version_num = '9999'",
    "truncate gateway.study",
    "drop table gateway.study",
    "create table gateway.mine (n int)",
    "create table ledger.mine (n int)",
    "create view audit.mine as select 1",
    "drop view audit.attention",
]


def test_the_writer_may_do_none_of_these(database_url: str, writer: str) -> None:
    with psycopg.connect(as_role(database_url, writer), autocommit=True) as connection:
        for statement in FORBIDDEN_TO_THE_WRITER:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_the_auditor_reads_no_table(database: Database, database_url: str, auditor: str) -> None:
    tables = scalar(
        database,
        """
        select array_agg(format('%I.%I', schemaname, tablename)) from pg_tables
         where schemaname in ('ledger', 'gateway')
        """,
    )
    with psycopg.connect(as_role(database_url, auditor), autocommit=True) as connection:
        for statement in [*(f"select from {table}" for table in tables), "create view audit.mine as select 1"]:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_of_many_at_once_one_gets_it(database_url: str) -> None:
    barrier, ended = Barrier(4), Event()

    def begin(_number: int) -> bool:
        with opened(database_url) as database:
            barrier.wait(30)
            with lease.held(database, RUN, "main") as busy:
                if busy is None:
                    ended.wait(2)
                return busy is None

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(begin, range(4))) == [False, False, False, True]
