"""What a database, a role or the environment presets: nothing of it changes what the program does."""

import os

import pytest
from sqlalchemy import text

from ledger.database import Database, ignore_variables
from ledger.errors import Misconfigured, Unreachable
from tests.conftest import Server
from tests.databases import end_waiting
from tests.ledger.samples import append, everything, fact, opened, scalar

PRESETS = {
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "default_transaction_isolation": "serializable",
    "search_path": "elsewhere, pg_catalog",
    "statement_timeout": "300ms",
    "lock_timeout": "300ms",
    "idle_in_transaction_session_timeout": "300ms",
    "idle_session_timeout": "300ms",
    "client_encoding": "LATIN1",
}
"""Each of which has ended a run, or made one read something else than was stored."""


def preset(database: Database) -> None:
    """Presets all that for the database."""
    name = scalar(database, "select current_database()")
    presets = PRESETS | ({"transaction_timeout": "300ms"} if _version(database) >= 170_000 else {})
    with database.begin() as connection:
        connection.execute(text("create schema elsewhere"))
        # Found before PostgreSQL's own by whoever follows that path.
        connection.execute(text("create function elsewhere.clock_timestamp() returns text return 'never'"))
        for setting, value in presets.items():
            connection.execute(text(f"alter database {name} set {setting} to {value if ',' in value else repr(value)}"))
    end_waiting(database._conninfo)


def _version(database: Database) -> int:
    return int(scalar(database, "show server_version_num"))


def test_what_a_database_presets_changes_nothing(database: Database, database_url: str) -> None:
    preset(database)
    with opened(database_url) as other:
        stored = append(other, fact(name="Łódź 東京 \\ 'a'", at=0.1))
        assert everything(other) == stored
        with other.begin() as connection:
            shown = {name: connection.execute(text(f"show {name}")).scalar_one() for name in PRESETS}
            assert connection.execute(text("show transaction_isolation")).scalar_one() == "read committed"
            assert connection.execute(text("select clock_timestamp() <> 'infinity'")).scalar_one()
            connection.execute(text("select pg_sleep(0.4)"))
    changed = {name for name, value in PRESETS.items() if shown[name] != value}
    assert changed == PRESETS.keys() - {"default_transaction_isolation"}


def test_a_connection_that_ended_while_nobody_used_it_is_replaced(database: Database, database_url: str) -> None:
    append(database, fact())
    with opened(database_url) as other, other.begin() as connection:
        connection.execute(text("select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                                "where datname = current_database() and pid <> pg_backend_pid()"))  # fmt: skip
    assert append(database, fact("second"))[0].position == 2


def test_variables_of_libpq_are_taken_away_and_no_others() -> None:
    environment = {
        "PGHOST": "a", "PGSERVICE": "b", "PGSERVICEFILE": "c", "PGOPTIONS": "d", "PGSSLMODE": "e", "PGPASSFILE": "f",
        "PGPASSWORD": "g", "PGTZ": "h", "PGDATESTYLE": "i", "PGTARGETSESSIONATTRS": "j", "PATH": "k", "PGDATA": "l",
    }  # fmt: skip
    ignore_variables(environment)
    assert environment == {"PATH": "k", "PGDATA": "l"}


def test_a_service_is_no_address() -> None:
    with pytest.raises(Misconfigured, match=r"^ledger\.url: expected an address, found the name of a service"):
        Database("postgresql:///?service=ledger")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_name_is_refused_at_connecting(server: Server, encoding: str) -> None:
    with server.fresh() as name:
        server.execute(f"drop database {name}")
        server.execute(f"create database {name} template template0 encoding '{encoding}' locale 'C'")
        with (
            opened(server.url_of(name)) as database,
            pytest.raises(Misconfigured, match=f"encoding {encoding}"),
            database.begin(),
        ):
            pytest.fail("connected")


def test_a_role_that_may_have_one_connection_only_is_told_that_two_are_needed(
    server: Server, database_url: str
) -> None:
    role = f"lonely_{os.getpid()}"
    server.execute(f"create role {role} login connection limit 1 password '{role}'")
    try:
        url = database_url.replace("postgres@", f"{role}:{role}@")
        with opened(url) as database, pytest.raises(Unreachable, match="Expected two connections"):
            database.require_connections()
    finally:
        server.execute(f"drop role {role}")


def test_no_index_depends_on_how_the_system_sorts(database: Database) -> None:
    """An upgrade of the system changes that, and what an index holds is not found any more."""
    depending = scalar(
        database,
        """
        select array_agg(indexrelid::regclass::text) from pg_index
          join pg_class on pg_class.oid = indexrelid
         where relnamespace in ('ledger'::regnamespace, 'gateway'::regnamespace)
           and exists (select from unnest(indcollation) as used (sorting)
                        where used.sorting not in (0, '"C"'::regcollation))
        """,
    )
    columns = scalar(
        database,
        """
        select array_agg(format('%s.%s', attrelid::regclass, attname)) from pg_attribute
          join pg_class on pg_class.oid = attrelid
         where relnamespace in ('ledger'::regnamespace, 'gateway'::regnamespace) and relkind = 'r' and attnum > 0
           and attcollation not in (0, '"C"'::regcollation)
        """,
    )
    assert (depending, columns) == (None, None)
