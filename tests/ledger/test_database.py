from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, exc, text

from ledger import store
from ledger.database import Database, open_database
from ledger.errors import Misconfigured, Unreachable
from tests.databases import end_waiting
from tests.ledger.samples import append, everything, fact, opened, scalar, the_store

NOBODY_LISTENS = "127.0.0.1:1"


@pytest.mark.parametrize(
    "address",
    [
        f"{NOBODY_LISTENS}/ledger",
        f"{NOBODY_LISTENS},{NOBODY_LISTENS}/ledger",
        "nowhere.invalid/ledger",
        "/ledger?host=/nowhere",
    ],
)
def test_a_server_that_is_away_is_unreachable_in_one_line_without_the_password(address: str) -> None:
    with (
        opened(f"postgresql://somebody:hunter2@{address}") as database,
        pytest.raises(Unreachable) as caught,
        database.begin(),
    ):
        pytest.fail("connected to nobody")
    message = str(caught.value)
    assert message.startswith("PostgreSQL is not reachable or ended the connection: ")
    assert "\n" not in message
    assert "hunter2" not in message


def test_all_of_several_hosts_that_are_away_are_named() -> None:
    with (
        opened("postgresql://somebody:hunter2@127.0.0.1:1,127.0.0.1:2/ledger") as database,
        pytest.raises(Unreachable, match=r"port 1 failed: .*; .*port 2 failed: ") as caught,
        database.begin(),
    ):
        pytest.fail("connected to nobody")
    assert "hunter2" not in str(caught.value)


def test_a_database_that_does_not_exist_is_named(database_url: str) -> None:
    with (
        opened(with_parts(database_url, dbname="nonesuch")) as database,
        pytest.raises(Unreachable, match='"nonesuch" does not exist'),
        database.begin(),
    ):
        pytest.fail("connected to a database that is not there")


def with_parts(url: str, **parts: str) -> str:
    """The address with some parts replaced."""
    known = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    return f"postgresql:///?{urlencode({**known, **parts})}"


def after_a_dead_host(url: str) -> str:
    known = conninfo_to_dict(url)
    return with_parts(url, host=f"127.0.0.1,{known['host']}", port=f"1,{known.get('port') or 5432}")


def test_of_several_hosts_one_that_answers_is_enough(database_url: str) -> None:
    with opened(after_a_dead_host(database_url)) as database:
        assert scalar(database, "select 1") == 1


def test_of_several_hosts_a_standby_is_passed_over(database: Database, database_url: str) -> None:
    make_read_only(database)
    with (
        opened(after_a_dead_host(database_url)) as found,
        pytest.raises(Unreachable, match="session is read-only"),
        found.begin(),
    ):
        pytest.fail("took a server that takes no changes")


def test_a_server_that_takes_no_changes_is_unreachable_for_appends(database: Database, database_url: str) -> None:
    make_read_only(database)
    with opened(database_url) as standby:
        with pytest.raises(Unreachable, match=r"PostgreSQL takes no changes: .* read-only transaction"):
            append(standby, fact())
        assert everything(standby) == []


def make_read_only(database: Database) -> None:
    name = scalar(database, "select current_database()")
    with database.begin() as connection:
        connection.execute(text(f"alter database {name} set default_transaction_read_only to on"))
    end_waiting(database._conninfo)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "Embedded",
        "hunter2",
        "host=somewhere password=hunter2",
        "mysql://somebody:hunter2@somewhere/ledger",
        "postgresql+psycopg://somebody:hunter2@somewhere/ledger",
        "postgresql://somebody:hunter2%zz@somewhere/ledger",
        "postgresql://somebody:x@hunter2@somewhere/ledger",
        "postgresql://somebody:x/hunter2@somewhere/ledger",
        "postgresql://somebody:12/hunter2@somewhere/ledger",
        "postgresql://somebody:12345@somewhere:hunter2/ledger",
        "postgresql://somebody:12345@somewhere/ledger?unknown=hunter2",
        "postgresql://somebody:12345@somewhere/ledger?hunter2",
    ],
)
def test_an_address_that_cannot_be_meant_is_misconfigured_and_not_repeated(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"^ledger\.url: ") as caught:
        open_database(url, Path("/nowhere"))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_what_the_address_says_stands_and_the_rest_is_completed() -> None:
    with opened("postgresql://somewhere/ledger?connect_timeout=3&application_name=mine") as database:
        parts = conninfo_to_dict(database._conninfo)
    assert (parts["connect_timeout"], parts["application_name"], parts["dbname"]) == ("3", "mine", "ledger")
    assert parts["keepalives_idle"] == "30"
    assert "target_session_attrs" not in parts


def test_an_exception_of_the_caller_rolls_back_and_goes_through(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        append_and_then(database, lambda _: 1 // 0)
    assert everything(database) == []


def test_an_interrupt_in_the_midst_of_a_statement_goes_through_and_leaves_nothing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The rollback failed, as "another command is in progress": SIGTERM was told as a server that is away."""

    def interrupted(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        driver.pgconn.send_query(b"select generate_series(1, 1000000)")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        append_and_then(database, interrupted)
    assert everything(database) == []
    assert caplog.messages == []


def append_and_then(database: Database, *steps: Callable[[Connection], object]) -> None:
    """Appends an event and goes on in the same transaction, which is committed at the end."""
    with database.begin() as connection:
        the_store().append(connection, [fact()])
        for step in steps:
            step(connection)


def cut_off(connection: Connection, other: Database) -> None:
    """Ends the connection as an administrator, a restart or a broken line would."""
    backend = connection.execute(text("select pg_backend_pid()")).scalar_one()
    with other.begin() as elsewhere:
        elsewhere.execute(text("select pg_terminate_backend(:backend, 5000)"), {"backend": backend})


def test_a_connection_lost_in_a_transaction_is_unreachable_and_nothing_is_half_done(
    database: Database, database_url: str
) -> None:
    with opened(database_url) as other:
        with pytest.raises(Unreachable):
            append_and_then(
                database,
                lambda connection: cut_off(connection, other),
                lambda connection: the_store().append(connection, [fact("second")]),
            )
        assert everything(other) == []
        assert scalar(other, "select position from ledger.head") == 0


def test_a_connection_lost_before_the_commit_is_unreachable(database: Database, database_url: str) -> None:
    with opened(database_url) as other:
        with pytest.raises(Unreachable):
            append_and_then(database, lambda connection: cut_off(connection, other))
        assert everything(other) == []


def test_a_connection_lost_while_reading_is_unreachable(database: Database, database_url: str) -> None:
    append(database, *(fact() for _ in range(store.READ_BATCH + 1)))
    with opened(database_url) as other, pytest.raises(Unreachable):
        read_and_cut_off(database, other)


def read_and_cut_off(database: Database, other: Database) -> None:
    with database.begin() as connection:
        for event in store.read(connection):
            if event.position == 1:
                cut_off(connection, other)


def test_after_a_lost_connection_the_next_transaction_gets_a_new_one(database: Database, database_url: str) -> None:
    with opened(database_url) as other, pytest.raises(Unreachable):
        append_and_then(database, lambda connection: cut_off(connection, other))
    assert append(database, fact())[0].position == 1


def test_a_failure_at_the_commit_itself_is_not_taken_for_success(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(
            text("""
                create table public.late (n int unique deferrable initially deferred)
            """)
        )
    with pytest.raises(exc.IntegrityError):
        append_and_then(
            database, lambda connection: connection.execute(text("insert into public.late values (1), (1)"))
        )
    assert everything(database) == []


def test_a_deadlock_ends_one_of_the_two_as_unreachable(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "create function public.fail() returns void language plpgsql as $$ begin raise 'deadlock' "
                "using errcode = '40P01'; end $$"
            )
        )
    with (
        pytest.raises(Unreachable, match=r"PostgreSQL cannot do its part: deadlock."),
        database.begin() as connection,
    ):
        connection.execute(text("select public.fail()"))


def test_a_role_without_rights_is_misconfigured(database: Database) -> None:
    with pytest.raises(Misconfigured, match=r"refuses the role of ledger\.url: permission denied for schema"):
        append_and_then(
            database,
            lambda connection: connection.execute(text("create role fiona_test_nobody")),
            lambda connection: connection.execute(text("set local role fiona_test_nobody")),
            lambda connection: connection.execute(text("select * from ledger.event")),
        )


def test_an_error_text_shows_no_parameters(database: Database) -> None:
    with pytest.raises(exc.DBAPIError) as caught, database.begin() as connection:
        connection.execute(text("select 1 / 0, cast(:name as text)"), {"name": "Lovelace"})
    assert "Lovelace" not in str(caught.value)


def test_a_server_of_another_default_encoding_for_clients_gets_utf8(database: Database, database_url: str) -> None:
    name = scalar(database, "select current_database()")
    with database.begin() as connection:
        connection.execute(text(f"alter database {name} set client_encoding to 'LATIN1'"))
    with opened(database_url) as latin:
        stored = append(latin, fact(name="Łódź 東京 🩻"))
        assert everything(latin) == stored
    assert everything(database) == stored
