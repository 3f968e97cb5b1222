"""What `init` writes: it is loaded by the program, executed by psql, and never written over anything."""

import json
import os
import pty
import re
import stat
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from typer.testing import CliRunner, Result

from ledger.programs import installed
from processors import shipped
from processors.cli.main import app
from processors.configuration.file import load
from tests.conftest import Server
from tests.processes import ROOT

REDCAP = "https://redcap.elsewhere.example/api/"


def init(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["init", "--output", str(folder), "--redcap", REDCAP, *options])


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_program_takes_the_configuration_as_it_was_answered(tmp_path: Path) -> None:
    assert init(tmp_path, "--ledger", "postgresql://anna@pg/led", "--raw", "/data/x", "--site", "north").exit_code == 0
    found = load(tmp_path / "fiona-ledger.toml")
    assert found.ledger.url == "postgresql://anna@pg/led"
    assert (found.ledger.site, found.redcap.url, str(found.source.raw)) == ("north", REDCAP, "/data/x")
    assert found.redcap.tokens.autoid is not None
    assert found.redcap.ca_bundle is None
    assert stat.S_IMODE((tmp_path / "fiona-ledger.toml").stat().st_mode) == 0o600, "it may hold a password"


def test_without_auto_ids_and_with_a_bundle_of_certificates(tmp_path: Path) -> None:
    assert init(tmp_path, "--no-autoid", "--ca-bundle", "/etc/ssl/x.pem").exit_code == 0
    found = load(tmp_path / "fiona-ledger.toml")
    assert (found.ledger.url, found.redcap.tokens.autoid, found.redcap.tokens.projects) == ("embedded", None, None)
    assert str(found.redcap.ca_bundle) == "/etc/ssl/x.pem"
    service = (tmp_path / "fiona-ledger.service").read_text()
    assert re.findall(r"^LoadCredential=(\w+)", service, re.MULTILINE) == ["incoming", "coupling", "routing"]


def test_the_unit_starts_this_program_as_that_user_on_those_summaries(tmp_path: Path) -> None:
    assert init(tmp_path, "--user", "anna", "--raw", "/data/x").exit_code == 0
    service = (tmp_path / "fiona-ledger.service").read_text()
    program = Path(sys.prefix, "bin", "fiona-ledger")
    assert f"\nExecStart={program} --config /etc/fiona-ledger.toml run\n" in service
    assert "\nUser=anna\n" in service
    assert "\nReadOnlyPaths=-/data/x\n" in service
    resident = (tmp_path / "fiona-ledger-resident.service").read_text()
    assert f"\nExecStart={program} --config /etc/fiona-ledger.toml run --every 10\n" in resident
    assert "\nUser=anna\n" in resident
    assert "\nReadOnlyPaths=-/data/x\n" in resident


def test_the_unit_starts_the_program_that_a_link_on_the_path_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "fiona-ledger"
    link.symlink_to("/opt/fiona-ledger/bin/fiona-ledger")
    monkeypatch.setattr(sys, "argv", [str(link), "init"])
    init(tmp_path / "setup")
    service = (tmp_path / "setup" / "fiona-ledger.service").read_text()
    assert "\nExecStart=/opt/fiona-ledger/bin/fiona-ledger --config" in service


def test_the_unit_of_the_page_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    done = init(tmp_path, "--page", "--no-autoid", "--user", "anna")
    assert done.exit_code == 0
    unit = (tmp_path / "fiona-ledger-page.service").read_text()
    assert f"\nExecStart={Path(sys.prefix, 'bin', 'fiona-ledger')} --config /etc/fiona-ledger.toml serve\n" in unit
    assert "\nUser=anna\n" in unit
    (installing,) = [line for line in done.output.splitlines() if line.strip().startswith("install -m 0644")]
    assert f"{tmp_path}/fiona-ledger-page.service" in installing


def test_given_again_it_leaves_every_file_as_it_is(tmp_path: Path) -> None:
    init(tmp_path, "--ledger", "postgresql://anna@pg/led")
    (tmp_path / "fiona-ledger.toml").write_text("# mine\n")
    before = contents(tmp_path)
    again = init(tmp_path, "--ledger", "postgresql://berta@pg/led")
    assert again.exit_code == 0
    assert contents(tmp_path) == before
    assert again.output.count("Left as it was: ") == len(before) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--redcap", "http://redcap.example/api/"], "redcap"),
        (["--ledger", "postgresql://pg/"], "expected 'embedded' or postgresql://USER@HOST/DATABASE"),
        (["--raw", "/data/my raw"], "--raw: expected letters"),
        (["--user", "an%a"], "--user: expected letters"),
    ],
)
def test_what_cannot_be_used_is_told_and_nothing_is_written(tmp_path: Path, options: list[str], said: str) -> None:
    done = init(tmp_path, *options)
    assert (done.exit_code, said in done.output) == (2, True)
    assert contents(tmp_path) == {}


def test_without_a_terminal_what_has_no_default_must_be_given(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["init", "--output", str(tmp_path)])
    assert (done.exit_code, contents(tmp_path)) == (2, {})
    assert "--redcap: expected" in done.output


def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    person, terminal = pty.openpty()
    os.write(person, f"{REDCAP}\npostgresql://anna@pg/led\n\nn\n".encode())
    code = "from processors.cli.main import main; main()"
    command = [sys.executable, "-c", code, "init", "--output", str(tmp_path), "--json"]
    done = subprocess.run(command, cwd=ROOT, stdin=terminal, capture_output=True, text=True, check=True, timeout=60)
    os.close(terminal)
    os.close(person)
    assert "Are pseudonyms to be drawn" in done.stdout
    found = load(tmp_path / "fiona-ledger.toml")
    assert (found.redcap.url, found.ledger.url) == (REDCAP, "postgresql://anna@pg/led")
    assert (str(found.source.raw), found.redcap.tokens.autoid) == ("/data/site/raw", None)


def test_the_statements_make_role_and_database_and_do_no_harm_again(tmp_path: Path, server: Server) -> None:
    name = f"o'neill-{uuid4().hex[:8]}"
    init(tmp_path, "--ledger", f"postgresql://{name}@pg/{name}")
    psql = [str(max(installed()).folder / "psql"), "--no-psqlrc", "--quiet", "--dbname", server.url]
    for _ in range(2):
        subprocess.run([*psql, "--file", str(tmp_path / "database.sql")], check=True, capture_output=True)
    try:
        with psycopg.connect(server.url_of(name.replace("'", "%27"))) as connection:
            found = connection.execute(
                "select pg_get_userbyid(datdba), pg_encoding_to_char(encoding) from pg_database"
                " where datname = current_database()"
            ).fetchall()
        assert found == [(name, "UTF8")]
    finally:
        server.execute(f'drop database "{name}"')
        server.execute(f'drop role "{name}"')


def test_the_page_on_upgrading_shows_what_is_new_in_the_units_and_puts_it_in_place(tmp_path: Path) -> None:
    """Given as it stood there, `init` left the files of the installation as they were, and had them installed again."""
    units = tmp_path / "units"
    page = (ROOT / "docs" / "upgrading.md").read_text("utf-8")
    step = page.partition("\n2. ")[2].partition("\n3. ")[0].replace("/etc/systemd/system", str(units))
    empty, written, shown, installed_by, _ = re.findall(r"^ {7}(?!/)(.+)$", step, re.MULTILINE)

    def shell(line: str) -> str:
        done = subprocess.run(["/bin/bash", "-c", line], cwd=tmp_path, check=False, capture_output=True, text=True)
        return done.stdout

    init(units, "--ledger", "embedded")
    (units / "fiona-ledger.toml").unlink()
    unit = units / "fiona-ledger.service"
    present = unit.read_text()
    unit.write_text(present.replace("[Service]", "[Service]\nNice=7"))
    (units / "another.service").touch()
    (tmp_path / "setup-new").mkdir()
    (tmp_path / "setup-new" / unit.name).write_text("of the upgrade before")
    shell(empty)
    program, *arguments = written.split()
    done = CliRunner().invoke(app, [str(tmp_path / each) if each == "setup-new" else each for each in arguments])
    assert (program, done.exit_code, "Left as it was" in done.output) == ("fiona-ledger", 0, False)
    assert [line for line in shell(shown).splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        "-Nice=7"
    ]
    shell(installed_by)
    assert unit.read_text() == present
    assert "fiona-ledger.toml" not in installed_by


def test_the_readme_shows_the_configuration_and_the_commands_that_it_gives(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?) *```\n", readme, re.DOTALL)
    assert textwrap.dedent(block) == shipped.deployed("fiona-ledger.toml")
    assert tomllib.loads(block)["redcap"]["url"] == "https://redcap.hospital.example/api/"
    done = init(tmp_path, "--ledger", "postgresql://fiona@pg/fiona", "--json")
    steps = [step.replace(str(tmp_path), "setup") for step in json.loads(done.output)["next"]]
    assert len(steps) == 6
    assert [step for step in steps if f"\n   {step}\n" not in readme] == []
