"""What was granted on views outlives an upgrade, which makes them anew."""

from pathlib import Path

import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import exc, text

from ledger import migrations
from ledger.database import Database
from ledger.errors import Misconfigured
from tests.ledger.samples import opened, scalar
from tests.ledger.schema import schema
from tests.ledger.upgrade import later
from tests.roles.conftest import MakeRole, as_role


def execute(database: Database, statement: str, role: str) -> None:
    with database.begin() as connection:
        connection.execute(text(SQL(statement).format(role=Identifier(role)).as_string()))


def may_read(url: str, role: str, relation: str) -> bool:
    with opened(as_role(url, role)) as reading:
        try:
            scalar(reading, f"select count(*) from {relation}")
        except Misconfigured:
            return False
    return True


def test_an_auditor_still_reads_every_view_and_nothing_else(
    database: Database, database_url: str, auditor: str, tmp_path: Path
) -> None:
    before = schema(database)
    assert migrations.migrate(database, later(tmp_path)) is True
    assert schema(database) == before
    assert may_read(database_url, auditor, "audit.study")
    assert not may_read(database_url, auditor, "ledger.event")


def test_a_writer_still_reads_every_view(database: Database, database_url: str, writer: str, tmp_path: Path) -> None:
    before = schema(database)
    migrations.migrate(database, later(tmp_path))
    assert schema(database) == before
    assert may_read(database_url, writer, "audit.attention")


def test_an_auditor_reads_a_view_that_an_upgrade_brings(
    database: Database, database_url: str, auditor: str, tmp_path: Path
) -> None:
    folder = later(tmp_path)
    (folder / "views" / "brought.sql").write_text("create view audit.brought as select 1 as n", "utf-8")
    migrations.migrate(database, folder)
    assert may_read(database_url, auditor, "audit.brought")


def test_an_auditor_from_whom_a_view_was_taken_away_does_not_get_it_back(
    database: Database, database_url: str, auditor: str, tmp_path: Path
) -> None:
    """`grant` has new views readable by default, and a view made anew is new to PostgreSQL."""
    execute(database, "revoke select on audit.transfer from {role}", auditor)
    before = schema(database)
    migrations.migrate(database, later(tmp_path))
    assert schema(database) == before
    assert not may_read(database_url, auditor, "audit.transfer")
    assert may_read(database_url, auditor, "audit.study")


@pytest.mark.parametrize(
    "grant",
    [
        "grant select on audit.study to {role}",
        "grant select on audit.study to {role} with grant option",
        "grant select (study, arrived_at) on audit.study to {role}",
        "grant all on audit.study to {role}",
        "grant select on audit.study to public",
    ],
)
def test_whatever_was_granted_by_hand_is_kept(
    database: Database, made_role: MakeRole, tmp_path: Path, grant: str
) -> None:
    execute(database, grant, made_role("Reader: 100%s"))
    before = schema(database)
    migrations.migrate(database, later(tmp_path))
    assert schema(database) == before


def test_a_grant_on_a_column_that_is_gone_is_gone_with_it(
    database: Database, made_role: MakeRole, tmp_path: Path
) -> None:
    reader = made_role("reader")
    execute(database, "grant select (study, arrived_at) on audit.study to {role}", reader)
    folder = later(tmp_path)
    (folder / "views" / "study.sql").write_text("create view audit.study as select study from gateway.study", "utf-8")
    migrations.migrate(database, folder)
    assert scalar(database, f"select has_column_privilege('{reader}', 'audit.study', 'study', 'select')") is True
    assert [line for line in schema(database) if line.startswith("privilege audit.study.arrived_at")] == []


def test_an_upgrade_that_fails_leaves_what_was_granted(
    database: Database, database_url: str, auditor: str, tmp_path: Path
) -> None:
    before = schema(database)
    with pytest.raises(exc.DBAPIError):
        migrations.migrate(database, later(tmp_path, "select 1 / 0"))
    assert schema(database) == before
    assert may_read(database_url, auditor, "audit.study")
