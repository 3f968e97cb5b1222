"""Tokens, the embedded PostgreSQL, and who gives the command."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from processors.cli.bootstrap import operator
from tests.cli.conftest import Site
from tests.processes import ROOT

# Prints the environments of the ledger's PostgreSQL and of a program started as a generator would be.
WATCHER = """
import subprocess, sys
from pathlib import Path
from processors.cli.bootstrap import opened_gateway

def is_of(server, process):
    lines = (process / "status").read_text().splitlines()
    return f"PPid:\\t{server}" in lines or process.name == server

with opened_gateway(Path(sys.argv[1])):
    server = Path(sys.argv[2], "postgres", "postmaster.pid").read_text().split()[0]
    for process in [path for path in Path("/proc").iterdir() if path.name.isdigit()]:
        try:
            if is_of(server, process):
                print("POSTGRES", (process / "environ").read_text())
        except OSError:
            pass
    print("CHILD", subprocess.run(["env"], capture_output=True, text=True, check=True).stdout)
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Short enough for a socket, and below folders that PostgreSQL's own user may pass."""
    parent = Path(tempfile.mkdtemp(prefix="fo-", dir="/var/tmp"))
    parent.chmod(0o711)
    yield parent / "ledger"
    shutil.rmtree(parent)


def name_the_token(site: Site) -> str:
    """Has the configuration find a token in the environment; gives the token."""
    token = site.simulator.projects["incoming"].token
    site.change(f'incoming = "{token}"', 'incoming = { env = "TOKEN_OF_INCOMING" }')
    return token


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
def test_a_token_of_the_environment_is_not_inherited_by_what_is_started(
    site: Site, data_dir: Path, database_url: str
) -> None:
    token = name_the_token(site)
    site.change(f'url = "{database_url}"', 'url = "embedded"\nidle_minutes = 0')
    site.change(str(site.raw.with_name("data")), str(data_dir))
    site.change("vault.key", "another.key")
    done = subprocess.run(
        [sys.executable, "-c", WATCHER, str(site.config), str(data_dir)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/", "LANG": "C.UTF-8", "TOKEN_OF_INCOMING": token},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.count("POSTGRES") > 3
    assert "CHILD" in done.stdout
    assert "LANG=C.UTF-8" in done.stdout
    assert token not in done.stdout
    assert "TOKEN_OF_INCOMING" not in done.stdout


UNTIL_TOLD_TO_END = """
import sys, time
from pathlib import Path
from ledger.database import open_database
from processors.cli.exit_codes import end_in_order_on_sigterm, exit_codes

end_in_order_on_sigterm()
with exit_codes():
    database = open_database("embedded", Path(sys.argv[1]))
    try:
        print("open", flush=True)
        time.sleep(60)
    finally:
        database.close()
"""


def test_sigterm_leaves_no_embedded_server_behind(data_dir: Path) -> None:
    """It used to go on until the next command ended."""
    with subprocess.Popen(
        [sys.executable, "-c", UNTIL_TOLD_TO_END, str(data_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        assert (data_dir / "postgres" / "postmaster.pid").exists()
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (
        143,
        "fiona-ledger: Ended by SIGTERM. Nothing is lost: the next run goes on from here.\n",
    )
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


def test_a_token_of_the_environment_reaches_redcap(site: Site) -> None:
    token = name_the_token(site)
    assert site.process("run", TOKEN_OF_INCOMING=token).code == 0
    assert len(site.simulator.projects["incoming"].rows()) == 54 + 61


def test_the_operator_is_the_account_and_not_what_the_environment_says() -> None:
    # LOGNAME used to be believed.
    account = pwd.getpwuid(os.getuid()).pw_name
    assert operator({"LOGNAME": "boss", "USER": "boss"}) == account
    assert operator({"SUDO_USER": "anna"}) == f"{account} ($SUDO_USER says: anna)"
    assert operator({"SUDO_USER": "anna\x1b[2J"}) == account
