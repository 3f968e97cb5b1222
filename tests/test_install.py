"""docs/install.md, command by command and what it says to each, in a folder that stands for the root of a machine.

What changes the machine itself is played: packages, accounts, systemd. The bundle is unpacked and installed as it says
there; its program is the checkout's, as `tests/test_bundle.py` has pip's part. `python -m tests.machine` gives the same
commands to a machine with systemd.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg.conninfo import conninfo_to_dict

from bundle.__main__ import assembled
from ledger.programs import installed
from processors.cli.main import main
from processors.demo.simulator import Simulator, standard_projects
from tests.conftest import Server
from tests.documented import Command, commands
from tests.processes import ROOT, run_command
from tests.test_bundle import a_quick_pip, a_wheel

TOKENS = ("incoming", "coupling", "routing", "projects", "autoid")
OF_A_TEST_SERVER = re.compile(r"^WARNING +database, durability: .*\n", re.MULTILINE)
"""It forgets at crashes."""

SYSTEMCTL = """
case "$*" in
    "start fiona-ledger.service") exec fiona-ledger-as-service run ;;
    "enable --now fiona-ledger.timer")
        units=/etc/systemd/system
        echo "Created symlink $units/timers.target.wants/fiona-ledger.timer → $units/fiona-ledger.timer." ;;
esac
"""
VARYING = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "MOMENT"),
    (r"\d+\.\d+\.\d+-[0-9a-f]{12}", "VERSION"),
    (r"^\S+/README\.md tells", "README.md tells"),
)


@dataclass(frozen=True)
class Machine:
    """A folder as a root, and what its REDCap and PostgreSQL are in truth."""

    root: Path
    simulator: Simulator
    server: Server
    role: str

    def given(self, command: Command) -> tuple[int, str]:
        """How the command ends, and what it says, in the words of the page."""
        words = shlex.split(self._here(command.line))
        if words[0] in ("fiona-ledger", "fiona-ledger-as-service") and "|" not in words:
            return self._forked(words)
        typed = "\n".join(self.simulator.projects[name].token for name in TOKENS)
        done = subprocess.run(
            ["/bin/bash", "-c", self._here(command.line)],
            cwd=self.root / "root",
            env={"PATH": f"{self.root}/played:{self.root}/usr/local/bin:/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8"},
            input=f"{typed}\n" if "read -rsp" in command.line else "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, self._there(done.stdout)

    def _forked(self, words: list[str]) -> tuple[int, str]:
        """The same as below without the second that each start takes."""
        program, *arguments = words
        etc = self.root / "etc"
        if program == "fiona-ledger-as-service":
            arguments = ["--config", str(etc / "fiona-ledger.toml"), *arguments]
        environment = {"HOME": "/", "LANG": "C.UTF-8", "CREDENTIALS_DIRECTORY": str(etc / "fiona-ledger/tokens")}
        home = partial(started_in, self.root / "root")
        code, out, err = run_command(home, arguments, program="fiona-ledger", environment=environment)
        return code, self._there(out + err)

    def _here(self, line: str) -> str:
        line = re.sub(r"(?<!\w)/(?=(etc|var/lib|opt|data|usr/local)/)", f"{self.root}/", line)
        line = line.replace("https://redcap.hospital.example/api/", self.simulator.url)
        host = conninfo_to_dict(self.server.url)["host"]
        return line.replace("fiona@/fiona?host=/var/run/postgresql", f"{self.role}@/{self.role}?host={host}")

    def _there(self, said: str) -> str:
        return said.replace(f"{self.root}/", "/").replace(self.role, "fiona")


def started_in(folder: Path) -> None:
    os.chdir(folder)
    main()


@pytest.fixture
def machine(tmp_path: Path, server: Server) -> Iterator[Machine]:
    """With the bundle in root's home and summaries in their folder; accounts, packages and systemd are played."""
    role, home = f"fiona_{uuid4().hex[:8]}", tmp_path / "root"
    for folder in (home, tmp_path / "data/site/raw", tmp_path / "etc/systemd/system", tmp_path / "usr/local/bin"):
        folder.mkdir(parents=True)
    assembled([a_wheel(tmp_path, "1.0.0"), a_quick_pip(tmp_path)], home)
    psql = max(installed()).folder / "psql"
    play(tmp_path, "apt-get", "")
    play(tmp_path, "useradd", "")
    play(tmp_path, "runuser", 'exec "${@:4}"')
    play(tmp_path, "psql", f'exec {psql} --no-psqlrc --dbname "{server.url}"')
    play(tmp_path, "install", 'while [ "$1" = -o ]; do shift 4; done; [ "$2" != -o ] || set -- "$1" "${@:6}"\n'
                              'exec /usr/bin/install "$@"')  # fmt: skip
    play(tmp_path, "systemctl", SYSTEMCTL)
    with Simulator(standard_projects()) as simulator:
        yield Machine(tmp_path, simulator, server, role)
    server.execute(f"drop database if exists {role}")
    server.execute(f"drop role if exists {role}")


def play(root: Path, name: str, script: str, folder: str = "played") -> None:
    path = root / folder / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def bring_the_checkout_s_program(root: Path) -> None:
    """In place of that in the bundle, which tells its version alone."""
    program = root / "opt/fiona-ledger/bin/fiona-ledger"
    code = f"import sys; sys.argv[0] = {str(program)!r}; from processors.cli.main import main; main()"
    play(root, "fiona-ledger", f'PYTHONPATH={ROOT} exec {sys.executable} -c "{code}" "$@"', "opt/fiona-ledger/bin")
    credentials = f"CREDENTIALS_DIRECTORY={root}/etc/fiona-ledger/tokens"
    service = f'{credentials} exec {program} --config {root}/etc/fiona-ledger.toml "$@"'
    play(root, "fiona-ledger-as-service", service, "opt/fiona-ledger/bin")


def alike(said: str) -> str:
    for pattern, word in VARYING:
        said = re.sub(pattern, word, said, flags=re.MULTILINE)
    return OF_A_TEST_SERVER.sub("", said).strip()


def test_a_server_is_installed_by_the_page_alone(machine: Machine) -> None:
    given = commands("install.md")
    assert len(given) > 15
    for command in given:
        code, said = machine.given(command)
        assert alike(said) == alike(command.output), command.line
        assert code == 0 or "| grep" in command.line, command.line
        if "install.sh" in command.line:
            bring_the_checkout_s_program(machine.root)
        if " init " in command.line:
            written = machine.root / "root/setup/fiona-ledger.toml"
            written.write_text(machine._here(written.read_text()))
    assert (machine.root / "etc/fiona-ledger/vault.key").stat().st_mode & 0o777 == 0o600
