import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import text

from ledger import roles
from ledger.database import Database
from tests.conftest import Server, SettableClock
from tests.flow.harness import HEART, Asked, Site, standard_simulator
from tests.ledger.samples import opened, scalar
from tests.roles.conftest import MakeRole, as_role
from tests.verification.program import Program, configured


def rights(database: Database, role: str) -> dict[str, set[str]]:
    """What a role may do with each table and view, column rights as TABLE.COLUMN."""
    with database.begin() as connection:
        rows = connection.execute(
            text("""
                select table_schema || '.' || table_name as name, privilege_type as right
                  from information_schema.table_privileges where grantee = :role
                union
                select table_schema || '.' || table_name || '.' || column_name, privilege_type
                  from information_schema.column_privileges as c
                 where grantee = :role and privilege_type = 'UPDATE'
                   and not exists (select from information_schema.table_privileges as t
                                    where t.grantee = c.grantee and t.table_schema = c.table_schema
                                      and t.table_name = c.table_name and t.privilege_type = 'UPDATE')
            """),
            {"role": role},
        ).all()
    found: dict[str, set[str]] = {}
    for name, right in rows:
        found.setdefault(name, set()).add(right)
    return found


def test_the_writer_has_these_rights_and_no_others(database: Database, writer: str) -> None:
    found = rights(database, writer)
    kept = {"SELECT", "INSERT", "UPDATE", "DELETE"}
    assert {name: what for name, what in found.items() if name.startswith("ledger.")} == {
        "ledger.event": {"SELECT", "INSERT"},
        "ledger.head": {"SELECT"},
        "ledger.head.position": {"UPDATE"},
        "ledger.head.hash": {"UPDATE"},
        "ledger.subject": {"SELECT", "INSERT"},
        "ledger.vault": {"SELECT"},
        "ledger.projection": {"SELECT", "INSERT", "UPDATE"},
        "ledger.set_apart": {"SELECT", "INSERT", "UPDATE"},
        "ledger.attestation": {"SELECT"},
        **{f"ledger.attestation.{column}": {"UPDATE"} for column in ("position", "hash", "forgotten", "code")},
        "ledger.lease": kept,
        "ledger.alembic_version": {"SELECT"},
    }
    assert {frozenset(what) for name, what in found.items() if name.startswith("gateway.")} == {frozenset(kept)}
    assert {frozenset(what) for name, what in found.items() if name.startswith("audit.")} == {frozenset({"SELECT"})}
    assert {name.partition(".")[0] for name in found} == {"ledger", "gateway", "audit"}


def test_a_role_can_ask_what_it_lacks_of_the_writers_rights(database_url: str, writer: str, auditor: str) -> None:
    def lacking(role: str) -> list[str]:
        with closing(Database(as_role(database_url, role))) as database, database.begin() as connection:
            return roles.lacking(connection)

    assert lacking(writer) == []
    owner = Server(database_url)
    owner.execute(f'revoke update (hash) on ledger.head from "{writer}"')
    owner.execute(f'revoke delete on gateway.study from "{writer}"')
    assert lacking(writer) == ["DELETE on gateway.study", "UPDATE on ledger.head"]
    assert {"USAGE on schema ledger", "INSERT on ledger.event", "SELECT on gateway.run"} <= set(lacking(auditor))


def test_the_reader_may_read_what_the_page_shows_and_nothing_else(
    database: Database, database_url: str, program: Program, made_role: MakeRole
) -> None:
    reader = made_role("reader")
    with database.begin() as connection:
        connection.execute(text(f"grant update on gateway.study to {reader}"))
    ended = program("grant", "--reader", reader)
    assert (ended.code, " ".join(ended.out.split())) == (0, f"{reader} may read what the page shows, and nothing else.")
    assert program("verify").code == 0
    found = rights(database, reader)
    assert {frozenset(what) for what in found.values()} == {frozenset({"SELECT"})}
    assert {name for name in found if name.startswith("ledger.")} == {
        f"ledger.{table}" for table in ("event", "head", "subject", "vault", "set_apart", "lease")
    }
    with database.begin() as connection:
        connection.execute(text("create table gateway.later (n int)"))
    with opened(as_role(database_url, reader)) as reading:
        assert scalar(reading, "select count(*) from gateway.later") == 0
    with database.begin() as connection:
        connection.execute(text("grant select on ledger.attestation to public"))
    ended = program("grant", "--reader", reader, "--json")
    assert (ended.code, ended.data["besides"]) == (1, {reader: ["SELECT on ledger.attestation"]})


def test_the_auditor_may_read_the_views_and_nothing_else(database: Database, auditor: str) -> None:
    views = scalar(database, "select array_agg('audit.' || viewname) from pg_views where schemaname = 'audit'")
    assert rights(database, auditor) == {view: {"SELECT"} for view in views}


@pytest.fixture
def site(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path, writer: str) -> Iterator[Site]:
    """A site whose runs are the writer's: one study that a rule sends on, one that has arrived only."""
    clock.now = datetime.now().astimezone()  # the program goes by the machine's
    with standard_simulator(clock) as simulator:
        site = Site(
            folder=tmp_path,
            database_url=as_role(database_url, writer),
            key_file=key_file,
            clock=clock,
            simulator=simulator,
        )
        site.rule(patient_id=r"PID-\d+")
        site.series("1.2.3")
        site.series("1.2.4", called="ELSEWHERE")
        yield site
        site.close()


@pytest.fixture
def writing(site: Site, key_file: Path, tmp_path: Path) -> Program:
    """The program as the writer."""
    return configured(
        tmp_path,
        url=site.database_url,
        key_file=key_file,
        raw=site.receiver.raw,
        redcap=(site.simulator.url, site.tokens),
    )


def test_whole_runs_work_as_the_writer(site: Site, writing: Program) -> None:
    assert writing("run").code == 0
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}
    site.grow("1.2.4")
    site.series("1.2.5")
    site.vanish("1.2.3")
    assert writing("run").code == 0
    assert site.transfers("1.2.5") == {1: Asked(HEART, "PID-1")}
    assert json.loads(writing("run", "--json").out)["events"] == 0


def test_what_looks_and_checks_works_as_the_writer(site: Site, writing: Program) -> None:
    writing("run")
    assert writing("status").code == 0
    assert writing("verify", "--projections", "--json").data["attention"] == []
    assert writing("export").out.count("\n") == site.head() + 1


def test_rebuilding_works_as_the_writer(site: Site, writing: Program) -> None:
    writing("run")
    before = site.projections()
    assert writing("rebuild").code == 0
    assert site.projections() == before


def test_a_run_of_the_writer_rebuilds_a_projection_whose_code_has_changed(
    site: Site, writing: Program, database: Database
) -> None:
    writing("run")
    before = site.projections()
    with database.begin() as connection:
        connection.execute(text("update ledger.projection set code_version = 0"))
        connection.execute(text("delete from gateway.series"))
    assert writing("run").code == 0
    assert site.projections() == before


def test_the_auditor_reads_every_view(database: Database, database_url: str, auditor: str) -> None:
    views = scalar(database, "select array_agg(viewname::text) from pg_views where schemaname = 'audit'")
    assert views
    with psycopg.connect(as_role(database_url, auditor)) as connection:
        for view in views:
            connection.execute(SQL("select * from audit.{}").format(Identifier(view)))


def test_the_commands_refuse_the_auditor_in_plain_words(
    database_url: str, auditor: str, key_file: Path, tmp_path: Path
) -> None:
    auditing = configured(tmp_path, url=as_role(database_url, auditor), key_file=key_file, site="auditor")
    for command in ("export", "rebuild", "run"):
        ended = auditing(command)
        assert (ended.code, ended.out) == (2, "")
        assert "PostgreSQL refuses the role of ledger.url: permission denied for schema" in ended.err
        assert "docs/ledger.md tells which role may do what" in ended.err


@pytest.fixture
def auditing(database_url: str, auditor: str, tmp_path: Path) -> Program:
    """The program with an auditor's configuration: the address of the ledger, and nothing else."""
    config = tmp_path / "auditor.toml"
    config.write_text(f"[ledger]\nurl = {json.dumps(as_role(database_url, auditor))}\n", "utf-8")
    config.chmod(0o600)
    return Program(config)


def test_the_auditor_verifies_the_chain_and_is_told_what_was_not(
    site: Site, writing: Program, auditing: Program, database: Database, tmp_path: Path
) -> None:
    """He used to be told that PostgreSQL refuses his role."""
    writing("run")
    kept = auditing("verify", "--head")
    as_writer = writing("verify", "--json").data
    assert (kept.code, kept.out.split()[:2]) == (0, [str(as_writer["position"]), as_writer["hash"]])
    heads = tmp_path / "heads.txt"
    heads.write_text(kept.out + writing("verify", "--head").out, "utf-8")
    verified = auditing("verify", "--from", str(heads))
    assert (verified.code, verified.err) == (0, "")
    assert f"Verified {site.head()} events" in verified.out
    assert "Kept heads and checkpoints: 2, each still part of the ledger." in verified.out
    assert "Not verified, as the role of ledger.url may read the schema audit alone: subjects" in verified.out
    told = auditing("verify", "--json").data
    assert (told["position"], told["keys"], told["needs_attention"]) == (site.head(), None, False)
    assert set(told) == set(as_writer)
    assert auditing("verify", "--projections").code == auditing("verify", "--kept").code == 2
    heads.write_text(writing("verify", "--head").out.replace("\n" + str(site.head()), f"\n{site.head() - 1}"), "utf-8")
    assert (
        f"The event at position {site.head() - 1} or one before it is not"
        in auditing("verify", "--from", str(heads)).err
    )

    with database.begin() as connection:
        connection.execute(text("alter table ledger.event disable trigger all"))
        connection.execute(text("update ledger.event set data = '{}' where position = 3"))
    broken = auditing("verify")
    assert (broken.code, broken.out) == (4, "")
    assert "The event at position 3 is not what was appended" in broken.err
    with database.begin() as connection:
        connection.execute(text("delete from ledger.event where position <= 3"))
    assert "The event at position 4 is not where it belongs" in auditing("verify").err


@pytest.mark.usefixtures("site")
def test_the_auditor_needs_neither_redcap_nor_key_for_the_views(writing: Program, auditing: Program) -> None:
    writing("run")
    shown = auditing("audit", "transfer", "--json")
    assert (shown.code, [row["project"] for row in shown.data]) == (0, [HEART])
    assert auditing("audit").code == 0


# Granting


def test_granting_again_changes_nothing_and_takes_back_what_is_too_much(
    database: Database, program: Program, writer: str, auditor: str
) -> None:
    before = rights(database, writer), rights(database, auditor)
    with database.begin() as connection:
        for role in (writer, auditor):
            connection.execute(text(f"grant update, delete, trigger on ledger.event, gateway.study to {role}"))
            connection.execute(text(f"grant update (hash), select (data) on ledger.event to {role}"))
            connection.execute(text(f"grant usage, create on schema ledger, audit to {role}"))
    for _ in range(2):
        assert program("grant", "--writer", writer, "--auditor", auditor).code == 0
    assert (rights(database, writer), rights(database, auditor)) == before
    creating = f"select has_schema_privilege('{auditor}', 'audit', 'create')"
    assert scalar(database, creating) is False


def test_one_role_is_granted_without_touching_the_other(
    database: Database, program: Program, writer: str, made_role: MakeRole
) -> None:
    before = rights(database, writer)
    assert program("grant", "--auditor", made_role("auditor")).code == 0
    assert rights(database, writer) == before


def test_roles_that_do_not_exist_are_named_with_the_sql_that_makes_them(program: Program) -> None:
    ended = program("grant", "--writer", "nobody", "--auditor", 'O"Brien; drop')
    assert (ended.code, ended.out) == (2, "")
    assert "no role named 'nobody' or 'O\"Brien; drop'" in ended.err
    assert 'create role "nobody" login; create role "O""Brien; drop" login;' in ended.err


def test_a_role_with_an_awkward_name_gets_its_rights(database: Database, program: Program, server: Server) -> None:
    role = 'O"Brien 100%s:x; drop'
    name = Identifier(role).as_string()
    server.execute(f"create role {name}")
    try:
        assert program("grant", "--writer", role).code == 0
        assert rights(database, role)["ledger.event"] == {"SELECT", "INSERT"}
    finally:
        with database.begin() as connection:
            connection.connection.driver_connection.execute(f"drop owned by {name}".encode())  # type: ignore[union-attr]
        server.execute(f"drop role {name}")


def test_a_role_that_no_grant_restricts_is_refused(database: Database, program: Program, made_role: MakeRole) -> None:
    owner = scalar(database, "select current_user")
    member = made_role("member")
    with database.begin() as connection:
        connection.execute(text(f"grant {owner} to {member}"))
    for role in (owner, member):
        ended = program("grant", "--auditor", role)
        assert (ended.code, "no grant restricts it" in ended.err) == (2, True)


def test_neither_role_or_the_same_twice_is_a_usage_error(program: Program, writer: str) -> None:
    assert program("grant").code == 2
    ended = program("grant", "--writer", writer, "--auditor", writer)
    assert (ended.code, "--writer and --auditor name the same role" in ended.err) == (2, True)
    ended = program("grant", "--writer", writer, "--reader", writer)
    assert (ended.code, "--writer and --reader name the same role" in ended.err) == (2, True)


def test_only_the_owner_can_grant(
    database: Database, database_url: str, writer: str, made_role: MakeRole, key_file: Path, tmp_path: Path
) -> None:
    """PostgreSQL would only warn that nothing was granted."""
    auditor = made_role("auditor")
    writing = configured(tmp_path, url=as_role(database_url, writer), key_file=key_file, site="writer")
    ended = writing("grant", "--auditor", auditor)
    assert (ended.code, f"ledger.url names '{writer}'" in ended.err) == (2, True)
    assert rights(database, auditor) == {}


def test_the_sql_can_be_printed_for_an_administrator_and_does_the_same(
    database: Database, program: Program, made_role: MakeRole
) -> None:
    role, other = made_role("writer"), made_role("writer")
    ended = program("grant", "--writer", role, "--sql")
    assert ended.code == 0
    assert rights(database, role) == {}
    with database.begin() as connection:
        for statement in ended.out.splitlines():
            connection.execute(text(statement))
    program("grant", "--writer", other)
    assert rights(database, role) == rights(database, other)


def test_tables_and_views_of_a_later_migration_are_covered(
    database: Database, database_url: str, writer: str, auditor: str
) -> None:
    with database.begin() as connection:
        connection.execute(text("create table gateway.later (n int)"))
        connection.execute(text("create view audit.later as select n from gateway.later"))
    with opened(as_role(database_url, writer)) as writing, writing.begin() as connection:
        connection.execute(text("insert into gateway.later values (1)"))
    with opened(as_role(database_url, auditor)) as auditing:
        assert scalar(auditing, "select count(*) from audit.later") == 1


def test_a_role_may_use_a_database_that_is_closed_to_the_public(
    database: Database, database_url: str, program: Program, made_role: MakeRole
) -> None:
    role = made_role("auditor")
    name = urlsplit(database_url).path.lstrip("/")
    with database.begin() as connection:
        connection.execute(text(f"revoke connect on database {name} from public"))
    program("grant", "--auditor", role)
    with opened(as_role(database_url, role)) as auditing:
        assert scalar(auditing, "select count(*) from audit.attention") == 0
