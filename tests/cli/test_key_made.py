"""The master key of an embedded ledger: whatever makes it says so, however little else it tells."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from ledger import embedded
from ledger.database import EMBEDDED, open_database
from ledger.migrations import migrate
from tests.cli.conftest import Site

REASON = ("--reason", "asked for")
MAKE_IT = [
    ["run"],
    ["run", "--quiet"],
    ["run", "--verbose"],
    ["run", "--json"],
    ["run", "--dry-run"],
    ["replay", "--project", "Alpha"],
    ["replay", "--project", "Alpha", "--dry-run"],
    ["reconcile"],
    ["adopt"],
    ["shadow"],
    ["recognise", *REASON],
    ["new-disk", *REASON],
    ["retract", "1.2.3", "--project", "Alpha", *REASON],
    ["reassign", "1.2.3", "--project", "Alpha", "--to-subject", "A-1", *REASON],
    ["same-patient", "1.2.3", "--project", "Alpha", *REASON],
    ["withdraw", "--project", "Alpha", "--study", "1.2.3", *REASON],
    ["forget", "--study", "1.2.3", "--yes", *REASON],
    ["rekey"],
    ["migrate"],
]
READ = [["status"], ["check"], ["rules", "check"], ["explain", "1.2.3"], ["verify"], ["rebuild"]]


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """An embedded ledger with tables and without keys, whose server stays; below folders that its user may pass."""
    parent = Path(tempfile.mkdtemp(prefix="fo-", dir="/var/tmp"))
    parent.chmod(0o711)
    folder = parent / "ledger"
    with closing(embedded.start(folder)), closing(open_database(EMBEDDED, folder)) as database:
        migrate(database)
        yield folder
    shutil.rmtree(parent)


@pytest.fixture
def fresh(site: Site, data_dir: Path, database_url: str, key_file: Path) -> Iterator[Path]:
    """Has the site work on that ledger; gives the key file, which is not there."""
    with closing(open_database(EMBEDDED, data_dir)) as database, database.begin() as connection:
        for table in ("ledger.vault", "ledger.attestation"):
            connection.execute(text(f"alter table {table} disable trigger all"))
            connection.execute(text(f"delete from {table}"))
    shutil.rmtree(site.raw)
    site.raw.mkdir()
    site.change(f'url = "{database_url}"', 'url = "embedded"')
    site.change(str(site.raw.with_name("data")), str(data_dir))
    made = key_file.with_name("made.key")
    site.change(str(key_file), str(made))
    yield made
    for file in made.parent.glob(f"{made.name}*"):
        file.unlink()


@pytest.mark.parametrize("arguments", MAKE_IT, ids=" ".join)
def test_a_command_that_makes_the_master_key_says_so(site: Site, fresh: Path, arguments: list[str]) -> None:
    """Cron's run made it without a word, and `migrate`, given then, had nothing to tell."""
    done = site.command(*arguments)
    assert fresh.exists()
    assert f"Made the master key {fresh}. Keep a copy of it" in " ".join(f"{done.out} {done.err}".split())


@pytest.mark.parametrize("main", ["populate_incoming", "populate_autoid"])
def test_the_old_names_say_so_too(site: Site, fresh: Path, main: str) -> None:
    assert f"Made the master key {fresh}." in site.process(main=main).err
    assert fresh.exists()


@pytest.mark.parametrize("arguments", READ, ids=" ".join)
def test_a_command_that_reads_makes_no_key(site: Site, fresh: Path, arguments: list[str]) -> None:
    done = site.command(*arguments)
    assert "Usage:" not in done.err
    assert "nobody foresaw" not in done.out + done.err
    assert not fresh.exists()


def test_cron_mails_that_the_first_run_has_made_the_master_key_and_the_second_has_no_news(
    site: Site, fresh: Path
) -> None:
    first = site.command("run", "--only", "incoming")
    assert (first.code, first.out) == (0, "")
    assert first.err.startswith(f"Made the master key {fresh}. Keep a copy of it apart from the database's backups")
    second = site.command("run", "--only", "incoming")
    assert (second.code, second.out, second.err) == (0, "", "")
