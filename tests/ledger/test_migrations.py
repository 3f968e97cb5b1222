import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import exc, text

import ledger
from ledger import migrations, views
from ledger.database import Database
from ledger.errors import LedgerIsNewer, Misconfigured, NotMigrated
from ledger.events import Event
from tests.conftest import Server
from tests.ledger.processes import migrate_and_initialise, processes
from tests.ledger.samples import append, everything, fact, opened, scalar
from tests.ledger.schema import schema
from tests.ledger.upgrade import later

CHECKOUT = Path(ledger.__file__).parents[1]


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER))
    return ScriptDirectory.from_config(config)


def test_the_revisions_that_the_program_knows_are_the_ones_that_alembic_finds() -> None:
    found = [script.revision for script in scripts().walk_revisions()]
    assert migrations.revisions() == found[::-1]


def test_the_revisions_are_one_line_that_ends_in_one_head() -> None:
    assert scripts().get_heads() == [migrations.revisions()[-1]]


def test_the_folder_named_alembic_is_no_package_so_that_it_cannot_hide_the_library() -> None:
    assert not (CHECKOUT / "alembic" / "__init__.py").exists()


@pytest.mark.parametrize("way", [["-c"], ["-P", "-c"]])
def test_the_library_alembic_can_be_imported_from_the_root_of_the_checkout(way: list[str]) -> None:
    program = "import alembic.command; print(alembic.__file__)"
    ended = subprocess.run([sys.executable, *way, program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "site-packages" in ended.stdout


def test_migrating_an_empty_database_makes_the_tables(empty_url: str) -> None:
    with opened(empty_url) as database:
        assert migrations.migrate(database) is True
        with database.begin() as connection:
            migrations.require_migrated(connection)
            assert migrations.revision(connection) == migrations.revisions()[-1]


def test_migrating_again_changes_nothing(database: Database) -> None:
    append(database, fact())
    before = schema(database)
    assert migrations.migrate(database) is False
    assert schema(database) == before
    assert len(everything(database)) == 1


def test_a_database_without_tables_is_not_migrated(empty_url: str) -> None:
    with (
        opened(empty_url) as database,
        pytest.raises(NotMigrated, match=r"has no tables yet. Run `fiona-ledger migrate`"),
        database.begin() as connection,
    ):
        migrations.require_migrated(connection)


def test_a_ledger_of_an_older_revision_is_not_migrated(database: Database, tmp_path: Path) -> None:
    folder = later(tmp_path)
    older, newer = migrations.revisions(folder)[-2:]
    outdated = f"is at revision {older}, this program needs {newer}"
    with pytest.raises(NotMigrated, match=outdated), database.begin() as connection:
        migrations.require_migrated(connection, folder)


def test_revision_by_revision_the_tables_become_the_same_as_at_once(database: Database, empty_url: str) -> None:
    with opened(empty_url) as stepwise:
        for revision in migrations.revisions():
            with stepwise.begin() as connection:
                migrations.upgrade(connection, migrations.FOLDER, revision)
                assert migrations.revision(connection) == revision
        with stepwise.begin() as connection, views.made_anew(connection, migrations.FOLDER / "views"):
            pass
        assert schema(stepwise) == schema(database)


def test_alembic_alone_upgrades_nothing_since_the_views_would_be_left_behind() -> None:
    program = "from alembic.config import main; main(['upgrade', 'head'])"
    ended = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "started by `fiona-ledger migrate`" in ended.stdout + ended.stderr


def test_a_ledger_of_a_newer_revision_is_left_alone(database: Database) -> None:
    set_revision(database, "9999")
    before = schema(database)
    with pytest.raises(LedgerIsNewer, match=r"revision 9999.*nothing was changed"):
        migrations.migrate(database)
    with pytest.raises(LedgerIsNewer), database.begin() as connection:
        migrations.require_migrated(connection)
    assert schema(database) == before
    assert scalar(database, "select version_num from ledger.alembic_version") == "9999"


def set_revision(database: Database, revision: str) -> None:
    with database.begin() as connection:
        connection.execute(text("update ledger.alembic_version set version_num = :revision"), {"revision": revision})


def test_four_that_migrate_at_once_all_succeed_and_one_did_it(empty_url: str, tmp_path: Path) -> None:
    with processes(4) as pool:
        ends = [pool.submit(migrate_and_initialise, empty_url, tmp_path / "vault.key") for _ in range(4)]
        assert sorted(end.result()[0] for end in ends) == [False, False, False, True]


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    with opened(empty_url) as database:
        with database.begin() as connection:
            connection.execute(text("create schema gateway"))
        with pytest.raises(exc.ProgrammingError):
            migrations.migrate(database)
        assert scalar(database, "select count(*) from pg_namespace where nspname = 'ledger'") == 0


def test_a_database_that_cannot_hold_every_name_is_refused(server: Server) -> None:
    with server.fresh() as name:
        server.execute(f"drop database {name}")
        server.execute(f"create database {name} template template0 encoding 'LATIN1' locale 'C'")
        with opened(server.url_of(name)) as database:
            with pytest.raises(Misconfigured, match="encoding LATIN1"):
                migrations.migrate(database)
            assert scalar(database, "select count(*) from pg_namespace where nspname = 'ledger'") == 0


def test_the_event_table_has_the_columns_of_an_event(database: Database) -> None:
    columns = scalar(
        database,
        """
        select array_agg(column_name::text) from information_schema.columns
         where table_schema = 'ledger' and table_name = 'event'
        """,
    )
    assert set(columns) == set(Event._fields)


def test_every_table_of_a_projection_exists(database: Database) -> None:
    from processors.projections import PROJECTIONS

    tables = {table for projection in PROJECTIONS for table in projection.tables}
    missing = {table for table in tables if scalar(database, f"select to_regclass('{table}')") is None}
    assert tables
    assert not missing


def test_every_view_can_be_selected_from(database: Database) -> None:
    found = scalar(
        database,
        "select array_agg(format('%I.%I', schemaname, viewname)) from pg_views where schemaname = 'audit'",
    )
    assert "audit.attention" in found
    for view in found:
        assert scalar(database, f"select count(*) from {view}") == 0


def test_migrations_are_found_below_a_folder_with_a_percent_sign(empty_url: str, tmp_path: Path) -> None:
    """Alembic's configuration takes % for the start of a variable."""
    root = tmp_path / "100%s"
    root.mkdir()
    for folder in ("ledger", "alembic"):
        shutil.copytree(CHECKOUT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "from pathlib import Path; from ledger.database import open_database; from ledger import migrations; "
        "database = open_database(__import__('sys').argv[1], Path('.')); print(migrations.migrate(database))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, empty_url], cwd=root, capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.stderr) == ("True\n", "")
