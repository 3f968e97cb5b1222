"""An embedded ledger saved and restored: what is in it, who can read the file, and that nobody forgotten comes back."""

import fcntl
import json
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from ledger import clients, embedded, erasures, heads
from ledger.database import EMBEDDED, Database, open_database
from ledger.key_file import write_master_key
from ledger.programs import installed
from processors.cli.bootstrap import opened_gateway
from processors.cli.main import app
from processors.gateway import patient_subject
from tests.conftest import server_folder
from tests.facts import a_series
from tests.processes import ROOT

PATIENT, OTHER = "19151210-0001", "19151210-0002"


def configuration(folder: Path) -> Path:
    config = folder / "fiona-ledger.toml"
    config.write_text(f"""
[ledger]
url = "embedded"
data_dir = "{folder / "ledger"}"
idle_minutes = 0
key_file = "{folder / "vault.key"}"
[redcap]
url = "https://redcap.example/api/"
[redcap.tokens]
incoming = "a"
coupling = "b"
routing = "c"
""")
    return config


@contextmanager
def kept_running(config: Path) -> Iterator[None]:
    """The commands find the server started, which takes half of their time otherwise."""
    server = embedded.start(config.parent / "ledger")
    try:
        yield
    finally:
        server.close()


def give(config: Path, *arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["--config", str(config), *arguments], input=stdin)


def record(config: Path, *patients: str) -> None:
    with opened_gateway(config) as (_, gateway), gateway.begin() as work:
        for number, patient in enumerate(patients):
            series = a_series(f"1.{number}", f"1.{number}.1", PatientID=patient, PatientName=f"Anon^{number}")
            work.record([work.seal(series, patient_subject(series.StudyInstanceUID, patient))])


def forget(config: Path, patient: str) -> Result:
    return give(config, "forget", "--patient-id-stdin", "--yes", "--reason", "case 17", stdin=patient)


@pytest.fixture(scope="module")
def saved() -> Iterator[Path]:
    """The configuration of a ledger that was saved with two patients, of whom one was forgotten afterwards."""
    with server_folder() as folder:
        config = configuration(folder)
        with kept_running(config):
            record(config, PATIENT, OTHER)
            done = give(config, "backup", str(folder / "ledger.dump"))
            assert done.exit_code == 0, done.output
            assert forget(config, PATIENT).exit_code == 0
        yield config


@pytest.fixture
def lost(saved: Path) -> Iterator[Path]:
    """The same after its data were moved away, in a folder of the test's own."""
    with server_folder() as folder:
        for name in ("vault.key", "vault.key.forgotten", "ledger.dump"):
            shutil.copy(saved.parent / name, folder / name)
        yield configuration(folder)


def restore(config: Path) -> Result:
    return give(config, "restore", str(config.parent / "ledger.dump"))


def test_the_file_is_private_and_one_that_is_there_is_replaced_whole(saved: Path) -> None:
    file = saved.parent / "ledger.dump"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes()[:5] == b"PGDMP"
    assert PATIENT.encode() not in file.read_bytes()
    assert [path.name for path in saved.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("kind", ["pipe", "link", "socket"])
def test_what_is_no_regular_file_is_never_replaced(saved: Path, tmp_path: Path, kind: str) -> None:
    """Given as root on a device, a backup took its place: /dev/full was a file of /dev afterwards."""
    place = tmp_path / "ledger.dump"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to("/dev/full")
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place))
    before = place.lstat().st_mode
    done = give(saved, "backup", str(place))
    assert (done.exit_code, "expected a regular file" in done.output) == (2, True), done.output
    assert place.lstat().st_mode == before


@pytest.mark.parametrize(
    "name",
    [
        "vault.key",
        "vault.key.head",
        "vault.key.forgotten",
        "vault.key.site",
        "vault.key.new",
        "fiona-ledger.toml",
        "token",
        "ledger/postgres/PG_VERSION",
        "ledger/postgres/new.dump",
        "ledger/.postgres.lock",
        "copy.key",
    ],
)
@pytest.mark.parametrize("command", ["backup", "export --output", "export --sqlite", "prove --key --output"])
def test_what_the_program_lives_by_is_never_written_over(saved: Path, command: str, name: str) -> None:
    """A backup took the place of the master key, and said that it opens with it: the key was lost for good."""
    folder = saved.parent
    (folder / "token").write_text("a" * 32)
    (folder / "token").chmod(0o600)
    (folder / "copy.key").unlink(missing_ok=True)
    (folder / "copy.key").hardlink_to(folder / "vault.key")
    config = folder / "with-token.toml"
    config.write_text(saved.read_text().replace('coupling = "b"', f'coupling = {{ file = "{folder / "token"}" }}'))
    with kept_running(saved):
        given = saved if name == "fiona-ledger.toml" else config
        before = _content(folder / name)
        done = give(given, *command.split(), str(folder / name))
    assert (done.exit_code, "expected a file of its own" in done.output) == (2, True), done.output
    assert _content(folder / name) == before


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def test_a_link_to_the_master_key_is_no_place_for_a_file(saved: Path, tmp_path: Path) -> None:
    link = tmp_path / "new.dump"
    link.symlink_to(saved.parent / "vault.key")
    done = give(saved, "backup", str(link))
    assert (done.exit_code, "the master key" in done.output, link.is_symlink()) == (2, True, True), done.output


@pytest.mark.parametrize("key", ["missing", "another"])
def test_a_backup_whose_key_is_not_at_hand_is_saved_and_says_so(saved: Path, tmp_path: Path, key: str) -> None:
    config, key_file = tmp_path / "fiona-ledger.toml", tmp_path / "other.key"
    config.write_text(saved.read_text().replace(str(saved.parent / "vault.key"), str(key_file)))
    if key == "another":
        write_master_key(key_file)
    done = give(config, "backup", str(tmp_path / "ledger.dump"))
    assert (done.exit_code, "opens with" in done.output) == (1, False), done.output
    assert str(key_file) in done.output
    assert (tmp_path / "ledger.dump").read_bytes()[:5] == b"PGDMP"


def test_who_was_forgotten_after_the_backup_stays_so(lost: Path) -> None:
    done = restore(lost)
    assert (done.exit_code, "destroyed 1 keys again" in done.output) == (0, True), done.output
    assert sorted(path.name for path in (lost.parent / "ledger").iterdir() if not path.name.startswith(".")) == [
        "postgres"
    ]
    with kept_running(lost):
        verified = give(lost, "verify")
        assert verified.exit_code == 0, verified.output
        assert "knows nobody of this PatientID" in forget(lost, PATIENT).output
        assert forget(lost, OTHER).exit_code == 0


def test_without_the_journal_it_says_that_the_forgotten_are_known_again(lost: Path) -> None:
    erasures.journal(lost.parent / "vault.key").unlink()
    done = restore(lost)
    assert (done.exit_code, "is known again" in done.output) == (1, True), done.output


@pytest.mark.parametrize(
    "command",
    ["check", "status", "run --quiet", "run --dry-run", "verify", "migrate", "backup new.dump", "page --output new"],
)
def test_no_ledger_is_made_in_the_place_of_one_that_is_away(lost: Path, saved: Path, command: str) -> None:
    """Its disk is not mounted: another ledger there would say that nothing is wrong, and be in the way of `restore`."""
    shutil.copy(saved.parent / "vault.key.head", lost.parent / "vault.key.head")
    (lost.parent / "ledger").mkdir()
    before = {path.name for path in lost.parent.rglob("*")}
    done = give(lost, *command.split())
    position = heads.kept(lost.parent / "vault.key")
    assert position is not None
    assert f"at position {position.position}" in done.output
    assert "restore" in done.output
    assert "Mount the disk" in done.output
    assert done.exit_code == (2 if command == "check" else 4)
    assert "CRITICAL" in done.output or command != "check"
    made = {path.name for path in lost.parent.rglob("*")} - before
    assert {name for name in made if not name.startswith("diary-")} == set()


def test_a_folder_that_was_moved_away_can_be_moved_back_after_a_run(lost: Path, saved: Path) -> None:
    shutil.copy(saved.parent / "vault.key.head", lost.parent / "vault.key.head")
    assert give(lost, "run", "--quiet").exit_code == 4
    assert not (lost.parent / "ledger").exists()


def test_the_deep_check_tells_of_a_ledger_that_is_away(lost: Path, saved: Path) -> None:
    shutil.copy(saved.parent / "vault.key.head", lost.parent / "vault.key.head")
    found = json.loads(give(lost, "check", "--deep", "--json").stdout)["findings"]
    told = {finding["name"]: finding for finding in found if finding["area"] == "database"}
    assert told["server"]["severity"] == "critical"
    assert "whose last event" in told["server"]["found"]


def test_what_was_lost_is_restored_where_its_last_event_is_kept(lost: Path, saved: Path) -> None:
    shutil.copy(saved.parent / "vault.key.head", lost.parent / "vault.key.head")
    assert restore(lost).exit_code == 0


def test_a_new_ledger_is_made_once_the_key_files_are_away(lost: Path, saved: Path) -> None:
    shutil.copy(saved.parent / "vault.key.head", lost.parent / "vault.key.head")
    for name in ("vault.key", "vault.key.head", "vault.key.forgotten"):
        (lost.parent / name).rename(lost.parent / f"kept-{name}")
    assert give(lost, "migrate").exit_code == 0


@pytest.mark.parametrize("options", [["--quiet"], ["--dry-run"]])
def test_a_run_that_is_not_told_of_redcap_makes_neither_ledger_nor_key(options: list[str]) -> None:
    with server_folder() as folder:
        config = configuration(folder)
        config.write_text(config.read_text().partition("[redcap]")[0])
        done = give(config, "run", *options)
        assert (done.exit_code, "no section [redcap]" in done.output) == (2, True), done.output
        assert not (folder / "vault.key").exists()
        assert not (folder / "ledger" / "postgres").exists()


@pytest.mark.parametrize("content", ["", "garbage\n", "# 1 subjects\n"])
def test_nothing_is_restored_by_a_damaged_journal(lost: Path, content: str) -> None:
    """An emptied one would say that nobody was forgotten."""
    erasures.journal(lost.parent / "vault.key").write_text(content)
    done = restore(lost)
    assert (done.exit_code, "delete it: whoever was forgotten" in done.output) == (2, True), done.output
    assert not (lost.parent / "ledger" / "postgres").exists()


def test_nothing_is_restored_by_another_ledgers_journal(lost: Path) -> None:
    """By it, nobody was forgotten: those who were came back without a word."""
    erasures.journal(lost.parent / "vault.key").write_text(f"# 0 subjects of ledger {UUID(int=7)}\n")
    done = restore(lost)
    assert (done.exit_code, f"found those of another one ({UUID(int=7)})" in done.output) == (2, True), done.output
    assert not (lost.parent / "ledger" / "postgres").exists()


@pytest.mark.parametrize("place", ["ledger", "ledger/postgres"])
@pytest.mark.parametrize("there", ["nothing", "a folder", "a file"])
def test_what_stands_in_the_way_of_a_restore_is_named_and_left(lost: Path, place: str, there: str) -> None:
    """A link to a disk that is not mounted was an error that nobody foresaw."""
    path, target = lost.parent / place, lost.parent / "elsewhere"
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)
    if there == "a folder":
        target.mkdir()
    if there == "a file":
        target.write_text("")
    done = restore(lost)
    if (place, there) == ("ledger", "a folder"):
        assert done.exit_code == 0, done.output
        return
    assert (done.exit_code, "ledger.data_dir: " in done.output) == (2, True), done.output
    assert (path.is_symlink(), target.is_file(), target.is_dir()) == (True, there == "a file", there == "a folder")


def test_nothing_is_restored_while_a_program_goes_on_with_what_was_moved_away(lost: Path) -> None:
    data_dir = lost.parent / "ledger"
    data_dir.mkdir()
    with (data_dir / ".postgres.users").open("w") as share:
        fcntl.flock(share, fcntl.LOCK_SH)
        done = restore(lost)
    assert (done.exit_code, "expected no program at work on the ledger" in done.output) == (2, True), done.output
    assert not (data_dir / "postgres").exists()


def test_a_ledger_that_is_there_is_never_written_over(saved: Path) -> None:
    done = restore(saved)
    data = saved.parent / "ledger" / "postgres"
    assert (done.exit_code, done.output.endswith(f"mv {data} {data}.before\n")) == (2, True)
    data.with_name("postgres.before").mkdir()
    assert restore(saved).output.endswith(f"mv {data} {data}.before1\n"), "a folder that is there would get it"


def test_with_another_key_nothing_is_restored(lost: Path) -> None:
    (lost.parent / "vault.key").unlink()
    done = restore(lost)
    assert (done.exit_code, "master key" in done.output) == (2, True)
    assert not (lost.parent / "ledger" / "postgres").exists()
    assert not (lost.parent / "vault.key").exists(), "a new one would open nothing"


def test_what_is_no_backup_is_refused(lost: Path) -> None:
    (lost.parent / "ledger.dump").write_bytes(b"hello")
    assert "expected what `fiona-ledger backup` writes" in restore(lost).output
    assert not (lost.parent / "ledger").exists()


def test_a_server_is_saved_and_restored_by_its_own_tools(lost: Path) -> None:
    lost.write_text(lost.read_text().replace('"embedded"', '"postgresql://fiona@nowhere.invalid/fiona"'))
    done = restore(lost)
    assert (done.exit_code, "docs/backup.md" in done.output) == (2, True)


def psql(config: Path, capfd: pytest.CaptureFixture[str], statement: str, *options: str) -> tuple[int, str, str]:
    more = ["--no-psqlrc", "--tuples-only", "--no-align", "--command", statement]
    done = give(config, "psql", *options, "--", *more)
    out, err = capfd.readouterr()
    return done.exit_code, out, err


def test_psql_opens_it_with_the_audit_in_front_and_changes_nothing(
    saved: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with kept_running(saved):
        code, out, _ = psql(saved, capfd, "select count(*) from audit.event; select type from event order by 1 limit 1")
        assert (code, out.splitlines()) == (0, ["3", "SeriesDiscovered"])
        code, _, err = psql(saved, capfd, "delete from ledger.lease")
        assert (code, "read-only" in err) == (1, True)
        code, out, _ = psql(saved, capfd, "delete from ledger.lease", "--write")
        assert (code, out.strip()) == (0, "DELETE 0")


def test_the_password_of_an_address_stands_on_no_command_line() -> None:
    """Everybody on the machine can read command lines."""
    database = Database("postgresql://fiona:secret@db.example:5433/fiona?options=-c%20work_mem%3D8MB")
    found = clients.environment(database, {"search_path": "audit"})
    database.close()
    assert (found["PGPASSWORD"], found["PGHOST"], found["PGPORT"]) == ("secret", "db.example", "5433")
    assert found["PGOPTIONS"] == "-c work_mem=8MB -c search_path=audit"


def test_the_commands_for_a_server_save_and_restore_a_ledger_that_verifies(
    database_url: str, empty_url: str, key_file: Path, lost: Path, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "backup.md").read_text("utf-8")
    commands = re.findall(r"^    (pg_(?:dump|restore) .*)$", page, re.MULTILINE)
    assert len(commands) == 2
    for command, url in zip(commands, (database_url, empty_url), strict=True):
        words = [url if "://" in word else word for word in shlex.split(command.replace("--dbname=", "--dbname "))]
        subprocess.run([str(max(installed()).folder / words[0]), *words[1:]], cwd=tmp_path, check=True)
    lost.write_text(
        lost.read_text().replace('"embedded"', f'"{empty_url}"').replace(str(lost.parent / "vault.key"), str(key_file))
    )
    verified = give(lost, "verify")
    assert verified.exit_code == 0, verified.output


def test_a_drill_restores_the_newest_backup_beside_the_ledger_and_status_tells_when(saved: Path) -> None:
    with kept_running(saved):
        assert "tried" not in give(saved, "status").output
        older = saved.parent / "backups" / "older.dump"
        older.parent.mkdir()
        older.write_bytes(b"PGDMP and nothing else")
        os.utime(older, (0, 0))
        shutil.copy(saved.parent / "ledger.dump", older.with_name("newer.dump"))
        done = give(saved, "drill", str(older.parent))
        assert (done.exit_code, "newer.dump" in done.output, "2 studies" in done.output) == (0, True, True), done.output
        assert "A backup was last tried on" in give(saved, "status").output
        assert not (saved.parent / "ledger" / "drill").exists()


def test_a_backup_of_another_ledger_is_told_by_a_drill(saved: Path, database_url: str, key_file: Path) -> None:
    with server_folder() as folder:
        config = configuration(folder)
        config.write_text(config.read_text().replace('"embedded"', f'"{database_url}"'))
        shutil.copy(key_file, folder / "vault.key")
        done = give(config, "drill", str(saved.parent / "ledger.dump"))
    assert (done.exit_code, "master key" in done.output) == (4, True), done.output


@pytest.mark.parametrize("command", ["drill", "restore"])
@pytest.mark.parametrize("spoilt", ["cut off", "cut off at its end", "changed", "a beginning"])
def test_a_spoilt_backup_is_told_as_one_that_cannot_be_gone_on_from(saved: Path, command: str, spoilt: str) -> None:
    content = (saved.parent / "ledger.dump").read_bytes()
    with server_folder() as folder:
        config = configuration(folder) if command == "restore" else saved
        shutil.copy(saved.parent / "vault.key", folder / "vault.key")
        (folder / "spoilt.dump").write_bytes(
            {
                "cut off": content[: len(content) // 2],
                "cut off at its end": content[:-200],
                "changed": content.replace(b"position", b"positiXX", 40),
                "a beginning": content[:10],
            }[spoilt]
        )
        done = give(config, command, str(folder / "spoilt.dump"))
        assert done.exit_code == 4, done.output
        assert "Take an older backup" in done.output
        assert not (folder / "ledger" / "postgres").exists()


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_a_file_that_is_no_backup_cannot_be_gone_on_from(saved: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ledger.dump").write_bytes(content)
    done = give(saved, "drill", str(tmp_path / "ledger.dump"))
    assert (done.exit_code, "take an older backup" in done.output) == (4, True), done.output


def test_a_dump_of_another_database_is_no_backup(lost: Path) -> None:
    """It used to be restored as an empty ledger."""
    with (
        server_folder() as folder,
        closing(open_database(EMBEDDED, folder)) as database,
        (lost.parent / "ledger.dump").open("wb") as output,
    ):
        with database.begin() as connection:
            connection.execute(text("create schema audit"))
        clients.dump(database, output)
    done = restore(lost)
    assert (done.exit_code, "found one of another database" in done.output) == (4, True), done.output
    assert not (lost.parent / "ledger" / "postgres").exists()


def test_a_folder_without_a_backup_is_refused(saved: Path) -> None:
    done = give(saved, "drill", str(saved.parent / "ledger"))
    assert (done.exit_code, "expected what `fiona-ledger backup`" in done.output) == (2, True)
