"""Commands by hand as the unit would give them: systemd is played by scripts; `make machine` has a real one."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from processors import shipped
from processors.cli.commands.as_service import command_line, require_credentials
from processors.errors import ConfigurationError
from tests.cli.conftest import Site
from tests.processes import ROOT

UNIT = shipped.deployed("fiona-ledger.service")
PROGRAM = "/opt/fiona-ledger/bin/fiona-ledger"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "fiona-ledger.toml"
    path.write_text(shipped.deployed("fiona-ledger.toml"))
    return path


def line(config: Path, *arguments: str, unit: str = UNIT, terminal: bool = False, **environment: str) -> list[str]:
    unit = unit.replace("/etc/fiona-ledger.toml", str(config))
    return command_line(unit, arguments, terminal=terminal, environment=environment)


def test_a_command_gets_the_tokens_user_and_fences_of_the_unit(config: Path) -> None:
    started = line(config, "replay", "--project", "Heart Study")
    assert started[: started.index("--")][0] == "systemd-run"
    assert started[started.index("--") + 1 :] == [
        PROGRAM,
        "--config",
        str(config),
        "replay",
        "--project",
        "Heart Study",
    ]
    properties = {part.removeprefix("--property=") for part in started if part.startswith("--property=")}
    written = set(re.findall(r"^(?!Exec|Type|Success|Timeout)(\w+=.*)$", UNIT.partition("[Service]")[2], re.MULTILINE))
    assert properties == written | {"ReadWritePaths=-/etc/fiona-ledger"}, "where migrate and rekey write the key"
    assert "LoadCredential=autoid:/etc/fiona-ledger/tokens/autoid" in properties


def test_what_a_site_has_added_to_the_unit_holds_too(config: Path) -> None:
    drop_in = (
        "\n# /etc/systemd/system/fiona-ledger.service.d/more.conf\n[Service]\nReadWritePaths=/srv/a \\\n  /srv/b\n"
    )
    (added,) = (part for part in line(config, "status", unit=UNIT + drop_in) if "/srv/a" in part)
    assert added.split() == ["--property=ReadWritePaths=/srv/a", "/srv/b"]


def test_the_names_of_old_are_programs_of_their_own(config: Path) -> None:
    started = line(config, "populateAutoID", "--importAll", "TEACHING")
    assert started[-5:] == [
        "/opt/fiona-ledger/bin/populateAutoID",
        "--config",
        str(config),
        "--importAll",
        "TEACHING",
    ]


@pytest.mark.parametrize(("terminal", "way"), [(True, "--pty"), (False, "--pipe")])
def test_a_person_gets_a_terminal_and_a_program_a_pipe(config: Path, terminal: bool, way: str) -> None:  # noqa: FBT001
    assert way in line(config, "status", terminal=terminal)


def test_the_ledger_learns_who_gave_it(config: Path) -> None:
    assert "--setenv=SUDO_USER=anna" in line(config, "status", SUDO_USER="anna")
    assert not any("SUDO_USER" in part for part in line(config, "status"))


def test_a_unit_that_starts_something_else_is_not_guessed_at(config: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"expected ExecStart=.*run, found another"):
        line(config, "status", unit="[Service]\nExecStart=/bin/true\n")


def test_a_token_s_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """systemd ends with 243 where one is, and says so in its journal alone."""
    (tmp_path / "incoming").touch()
    there, missing = (f"LoadCredential={name}:{tmp_path}/{name}\n" for name in ("incoming", "routing"))
    require_credentials(f"[Service]\n{there}LoadCredential=of-the-store\n")
    with pytest.raises(ConfigurationError, match=rf"found no {tmp_path}/routing\. Put each token"):
        require_credentials(f"[Service]\n{there}{missing}")


def given(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from processors.cli.commands.as_service import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={"PATH": str(folder), "HOME": "/"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def script(path: Path, text: str) -> None:
    path.write_text(f"#!{sys.executable}\nimport json, os, subprocess, sys\n{text}\n")
    path.chmod(0o755)


def test_a_run_by_hand_reaches_redcap_with_tokens_that_only_systemd_has(site: Site, tmp_path: Path) -> None:
    """The stand-in for systemd-run hands credentials over, drops the fences, and starts the command."""
    programs, credentials = tmp_path / "bin", tmp_path / "credentials"
    programs.mkdir()
    credentials.mkdir()
    for name, project in site.simulator.projects.items():
        (credentials / name).write_text(project.token)
        (credentials / name).chmod(0o600)
        site.change(f'"{project.token}"', f'{{ credential = "{name}" }}')
    program = shutil.which("fiona-ledger", path=str(Path(sys.executable).parent))
    unit = UNIT.replace(PROGRAM, str(program)).replace("/etc/fiona-ledger.toml", str(site.config))
    unit = unit.replace("/etc/fiona-ledger/tokens", str(credentials))
    script(programs / "systemctl", f"assert sys.argv[1:] == ['cat', 'fiona-ledger.service']; print({unit!r})")
    environment = {"CREDENTIALS_DIRECTORY": str(credentials), "PATH": os.environ["PATH"], "HOME": "/"}
    script(
        programs / "systemd-run",
        f"sys.exit(subprocess.run(sys.argv[sys.argv.index('--') + 1:], env={environment!r}).returncode)",
    )
    done = given(programs, "run", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)
    assert len(site.simulator.projects["incoming"].rows()) == 54 + 61


def test_where_there_is_no_systemd_it_says_so(tmp_path: Path) -> None:
    done = given(tmp_path, "status")
    assert done.returncode == 2
    assert "found no program systemctl" in done.stderr
