import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

import ledger
from ledger import guards, lease, migrations, views
from ledger.database import Database
from ledger.errors import LedgerIsNewer, Misconfigured, NotMigrated, Unreachable
from ledger.events import Event
from ledger.lease import Lease
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
            guards.make(connection, migrations.FOLDER)
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


@pytest.mark.parametrize("made_by", ["null", "'sha256:of another commit'"])
def test_a_ledger_of_another_commit_under_the_same_revision_is_refused_in_words(
    database: Database, tmp_path: Path, made_by: str
) -> None:
    """Runs ended with 70 on a column that was not there."""
    with database.begin() as connection:
        connection.execute(text(f"comment on table ledger.alembic_version is {made_by}"))
    before = schema(database)
    for folder in (migrations.FOLDER, later(tmp_path)):
        with pytest.raises(Misconfigured, match=r"of a commit before it.*Nothing was changed. Go on with the version"):
            migrations.migrate(database, folder)
    with pytest.raises(Misconfigured), database.begin() as connection:
        migrations.require_migrated(connection)
    assert schema(database) == before


def set_revision(database: Database, revision: str) -> None:
    with database.begin() as connection:
        connection.execute(text("update ledger.alembic_version set version_num = :revision"), {"revision": revision})


def test_four_that_migrate_at_once_all_succeed_and_one_did_it(empty_url: str, tmp_path: Path) -> None:
    with processes(4) as pool:
        ends = [pool.submit(migrate_and_initialise, empty_url, tmp_path / "vault.key") for _ in range(4)]
        assert sorted(end.result()[0] for end in ends) == [False, False, False, True]


@pytest.mark.parametrize("schema", ["ledger", "gateway", "audit"])
def test_a_schema_that_somebody_else_has_taken_is_refused_in_words(empty_url: str, schema: str) -> None:
    with opened(empty_url) as database:
        with database.begin() as connection:
            connection.execute(text(f"create schema {schema}; create table {schema}.alembic_version (n text)"))
        with pytest.raises(Misconfigured, match=f"without a schema '{schema}', .*Nothing was changed"):
            migrations.migrate(database)
        assert (
            scalar(database, "select count(*) from pg_namespace where nspname in ('ledger', 'gateway', 'audit')") == 1
        )


def test_empty_schemas_that_an_administrator_has_made_are_used(empty_url: str) -> None:
    with opened(empty_url) as database:
        with database.begin() as connection:
            connection.execute(text("create schema ledger; create schema gateway; create schema audit"))
        assert migrations.migrate(database)


def test_an_older_copy_of_the_ledger_beside_newer_tables_is_refused_in_words(
    database: Database, tmp_path: Path
) -> None:
    with database.begin() as connection:
        connection.execute(text("alter table gateway.study add column more text"))
    before = schema(database)
    with pytest.raises(Misconfigured, match=r'revision left them: column "more".*restored one of the schemas'):
        migrations.migrate(database, later(tmp_path, "alter table gateway.study add column more text"))
    assert schema(database) == before


def test_a_run_under_way_is_waited_for_and_named(database: Database, database_url: str, tmp_path: Path) -> None:
    """The delivery's transaction and the change of its tables once waited for each other for ever."""
    folder, told = later(tmp_path, "alter table gateway.study add column more text"), list[Lease]()
    with opened(database_url) as other:
        with lease.held(other, lease.RUN, "main"), other.begin() as delivering:
            delivering.execute(text("select count(*) from gateway.study"))
            with pytest.raises(Unreachable, match=r"A run for site 'main' is under way \(since .*nothing was changed"):
                migrations.migrate(database, folder, waiting=told.append, patience=timedelta(milliseconds=50))
        assert len(told) == 1
        assert migrations.migrate(database, folder)
        with lease.held(other, lease.RUN, "main") as busy:
            assert busy is None


def test_where_nothing_is_to_be_migrated_a_run_under_way_is_no_matter(database: Database, database_url: str) -> None:
    with opened(database_url) as other, lease.held(other, lease.RUN, "main"):
        assert migrations.migrate(database) is False


def test_who_reads_the_tables_at_length_is_not_waited_for_without_end(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with opened(database_url) as auditor, auditor.begin() as reading:
        reading.execute(text("select count(*) from audit.study"))
        with pytest.raises(Unreachable, match=r"an auditor or a backup.*Nothing was changed"):
            migrations.migrate(database, later(tmp_path), patience=timedelta(milliseconds=50))


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
