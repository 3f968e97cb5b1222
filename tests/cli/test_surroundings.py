"""What a process finds around it, and what of that used to stop it: streams, limits, umask, marks in files."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from processors.cli import surroundings
from processors.configuration.file import load, resolve
from processors.errors import ConfigurationError
from tests.cli.conftest import Site
from tests.processes import ROOT

PROGRAM = f"{sys.executable} -c 'from processors.cli.main import main; main()' --config"


def shell(site: Site, command: str) -> subprocess.CompletedProcess[str]:
    """A command line of a shell, in which PROGRAM is the program with its configuration."""
    return subprocess.run(
        ["/bin/bash", "-c", command.replace("PROGRAM", f"{PROGRAM} {site.config}")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": "/"},
    )


def test_closed_streams_hold_no_command_up(site: Site) -> None:
    """The first file opened would be standard output then; that there was none used to be exit code 70."""
    done = shell(site, "PROGRAM run >&- 2>&- <&-; echo $?; PROGRAM status >&-; echo $?")
    assert (done.stdout.split(), done.stderr) == (["0", "0"], "")


def test_a_full_disk_behind_standard_output_is_told_and_undoes_nothing(site: Site) -> None:
    done = shell(site, "PROGRAM run >/dev/full; echo $?; PROGRAM status | grep -c '54 studies'")
    assert done.stdout.split() == ["3", "1"]
    assert "[fiona-ledger] Something could not be written" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("asked", ["-h", "--version", "run -h"])
def test_so_it_is_where_only_help_was_asked_for(site: Site, asked: str) -> None:
    done = shell(site, f"PROGRAM {asked} >/dev/full; echo $?")
    assert done.stdout == "3\n"
    assert done.stderr.startswith("fiona-ledger: Something could not be written")
    assert done.stderr.count("\n") == 1


def test_a_run_needs_room_on_no_disk_but_the_databases(site: Site) -> None:
    done = shell(site, "ulimit -f 0; PROGRAM run; PROGRAM status | grep -c '54 studies'")
    assert (done.stdout.splitlines()[-1], done.stderr) == ("1", "")


def test_whoever_reads_the_output_may_leave(site: Site) -> None:
    done = shell(site, "PROGRAM run | head -c 0; PROGRAM status | head -c 9")
    assert (done.stdout, done.stderr) == ("Site main", "")


def test_sixteen_open_files_are_enough_for_a_run(site: Site) -> None:
    done = shell(site, "ulimit -n 16; PROGRAM run")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_made_is_nobody_elses_to_write() -> None:
    before = os.umask(0)
    try:
        surroundings.settle()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


@pytest.fixture
def folder() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="fs-", dir="/var/tmp"))
    parent.chmod(0o777)
    yield parent
    shutil.rmtree(parent)


AS_NOBODY = """
import os, sys
import encodings.utf_8_sig, platformdirs.unix
from pathlib import Path
from ledger import embedded
from processors.configuration.file import load
os.setgroups([]); os.setgid(54321); os.setuid(54321)
os.environ.pop("HOME", None)
for attempt in (lambda: load(Path(sys.argv[1], "c.toml")), lambda: embedded.start(Path(sys.argv[1], "ledger"))):
    try:
        attempt()
    except Exception as exc:
        print(type(exc).__name__, exc)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without account")
def test_a_user_without_account_and_home_is_told_what_to_name(folder: Path) -> None:
    folder.chmod(0o1777)
    (folder / "c.toml").write_text(MINIMAL)
    command = [sys.executable, "-W", "ignore", "-c", AS_NOBODY, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    home, server = done.stdout.splitlines()
    assert home.startswith("ConfigurationError The user 54321 has no home folder")
    assert "could not look up effective user ID 54321" in server


MINIMAL = """
[redcap]
url = "http://localhost/api/"
[redcap.tokens]
incoming = { file = "token" }
coupling = "b"
routing = "c"
"""


def test_a_byte_order_mark_or_blanks_that_nobody_sees_are_no_part_of_what_is_configured(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbf" + "ABC\u200b\u00a0\r\n".encode())
    (tmp_path / "token").chmod(0o600)
    config.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace('"token"', f'"{tmp_path / "token"}"').encode())
    assert resolve(load(config).redcap.tokens.incoming, "incoming") == "ABC"


def test_utf_16_is_called_by_its_name(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(MINIMAL, "utf-16")
    with pytest.raises(ConfigurationError, match="expected UTF-8, found UTF-16"):
        load(config)
