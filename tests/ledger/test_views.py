from pathlib import Path

import pytest
from psycopg.errors import DivisionByZero, UndefinedColumn
from sqlalchemy import exc, text

from ledger import migrations
from ledger.database import Database
from ledger.errors import Misconfigured
from ledger.views import in_order
from tests.ledger.samples import opened, scalar
from tests.ledger.schema import schema
from tests.ledger.upgrade import later

FILES = sorted((migrations.FOLDER / "views").glob("*.sql"))

STUDIES = "create view audit.a_first as select study from audit.study; comment on view audit.a_first is 'Studies.';"


def execute(database: Database, statement: str) -> None:
    with database.begin() as connection:
        connection.execute(text(statement))


def named(database: Database) -> set[str]:
    found: list[str] = scalar(database, "select array_agg(viewname::text) from pg_views where schemaname = 'audit'")
    return set(found)


# -- files ---------------------------------------------------------------------------------------------


def test_every_view_has_its_file_and_every_file_its_view(database: Database) -> None:
    assert named(database) == {path.stem for path in FILES}


def _readers_of(path: Path) -> list[Path]:
    """The files of views that read from this one, and went with it."""
    return [other for other in FILES if other != path and f"from audit.{path.stem} " in other.read_text("utf-8")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_makes_its_view_and_nothing_else_and_comments_on_it_and_on_each_column_in_order(
    database: Database, path: Path
) -> None:
    """Made by its own file alone the view is the same: no other file, no migration adds to it."""
    before = schema(database)
    columns = scalar(
        database,
        f"""
        select array_agg(attname::text order by attnum) from pg_attribute
         where attrelid = 'audit.{path.stem}'::regclass and attnum > 0
        """,
    )
    execute(database, f"drop view audit.{path.stem} cascade")
    with database.begin() as connection:
        for needed in (path, *_readers_of(path)):
            connection.exec_driver_sql(needed.read_text("utf-8"), execution_options={"no_parameters": True})
    assert schema(database) == before
    lines = path.read_text("utf-8").splitlines()
    comments = [line.partition(" is")[0] for line in lines if line.startswith("comment on ")]
    view = f"audit.{path.stem}"
    assert comments == [f"comment on view {view}", *(f"comment on column {view}.{column}" for column in columns)]


def test_a_view_is_made_after_those_that_it_reads_from_whatever_their_names() -> None:
    views = {
        "a": "create view audit.a as select * from audit.c, audit.b",
        "b": "create view audit.b as select * from audit.c",
        "c": "create view audit.c as select 1 as n",
    }
    assert in_order(views) == ["c", "b", "a"]


def test_what_only_a_comment_or_a_text_speaks_of_is_not_read_from() -> None:
    views = {
        "a": "-- Isn't audit.b alike?\ncreate view audit.a as select 'see audit.b; it''s audit.b' as n",
        "b": "create view audit.b as select n from audit.a; comment on column audit.b.n is 'See audit.b and audit.a.'",
    }
    assert in_order(views) == ["a", "b"]


# -- upgrades ------------------------------------------------------------------------------------------


def test_an_upgrade_changes_takes_away_and_adds_views_as_the_files_say(database: Database, tmp_path: Path) -> None:
    folder = later(tmp_path)
    (folder / "views" / "run.sql").unlink()
    (folder / "views" / "a_first.sql").write_text(STUDIES, "utf-8")
    (folder / "views" / "attention.sql").write_text("create view audit.attention as select 1 as another", "utf-8")
    expected = named(database) - {"run"} | {"a_first"}
    assert migrations.migrate(database, folder) is True
    assert named(database) == expected
    assert scalar(database, "select another from audit.attention") == 1


def test_views_that_read_from_each_other_are_taken_away_and_made_again(database: Database, tmp_path: Path) -> None:
    folder = later(tmp_path)
    (folder / "views" / "a_first.sql").write_text(STUDIES, "utf-8")
    made_by = scalar(database, "select obj_description('ledger.alembic_version'::regclass)")
    migrations.migrate(database, folder)
    before = schema(database)
    execute(database, f"update ledger.alembic_version set version_num = '{migrations.revisions()[-1]}'")
    execute(database, f"comment on table ledger.alembic_version is '{made_by}'")
    assert migrations.migrate(database, folder) is True
    assert schema(database) == before


def test_a_migration_may_change_a_column_that_views_show(database: Database, tmp_path: Path) -> None:
    folder = later(tmp_path, "alter table gateway.run alter column command type varchar(40)")
    migrations.migrate(database, folder)
    shown = "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'audit.run'::regclass"
    assert scalar(database, f"{shown} and attname = 'command'") == "character varying(40)"


@pytest.mark.parametrize("migration", ["alter table gateway.run add column more text; select 1 / 0", "select 1"])
def test_an_upgrade_that_fails_half_way_leaves_tables_and_views_as_they_were(
    database: Database, tmp_path: Path, migration: str
) -> None:
    """Whether it fails at its tables or, with these made, at a view."""
    folder = later(tmp_path, migration)
    (folder / "views" / "study.sql").write_text("create view audit.study as select missing from gateway.study", "utf-8")
    before = schema(database)
    with pytest.raises((exc.DBAPIError, Misconfigured)) as failed:
        migrations.migrate(database, folder)
    error = failed.value.__cause__ if isinstance(failed.value, Misconfigured) else failed.value
    assert isinstance(error, exc.DBAPIError)
    assert isinstance(error.orig, DivisionByZero | UndefinedColumn)
    assert schema(database) == before
    assert scalar(database, "select version_num from ledger.alembic_version") == migrations.revisions()[-1]


def test_an_upgrade_is_refused_where_somebody_built_on_a_view(database: Database, tmp_path: Path) -> None:
    execute(database, "create view public.report as select study from audit.study")
    execute(database, "create view public.summary as select count(*) from audit.run")
    before = schema(database)
    with pytest.raises(Misconfigured, match=r"view public\.report depends on view audit\.study.*Nothing was changed"):
        migrations.migrate(database, later(tmp_path))
    assert schema(database) == before
    assert scalar(database, "select count(*) from public.report") == 0


def test_an_upgraded_ledger_is_the_same_as_one_made_from_scratch(
    database: Database, empty_url: str, tmp_path: Path
) -> None:
    folder = later(tmp_path, "alter table gateway.run drop column command, add column command text")
    migrations.migrate(database, folder)
    with opened(empty_url) as scratch:
        migrations.migrate(scratch, folder)
        assert schema(scratch) == schema(database)
