"""`redcap build`, `redcap xml`: from nothing but a super token to a run that does its work."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from processors.cli.main import app
from processors.demo import samples
from processors.demo.simulator import Simulator
from processors.project_designs import project_designs
from tests.cli.conftest import Site, forked

NAMES = ["incoming", "coupling", "routing", "projects", "autoid"]


@pytest.fixture
def config(tmp_path: Path, database_url: str, key_file: Path, simulator: Simulator) -> Path:
    """A configuration as `init` writes it: of each token, where it will be."""
    tokens = "\n".join(f'{name} = {{ file = "{tmp_path / "tokens" / name}" }}' for name in NAMES)
    config = tmp_path / "fiona-ledger.toml"
    config.write_text(
        f'[ledger]\nurl = "{database_url}"\nkey_file = "{key_file}"\ndata_dir = "{tmp_path / "data"}"\n'
        f'[source]\nraw = "{tmp_path / "raw"}"\n'
        f'[redcap]\nurl = "{simulator.url}"\ncalls_per_minute = 6000\n[redcap.tokens]\n{tokens}\n'
    )
    return config


def build(config: Path, *options: str, token: str) -> Result:
    folder = config.parent / "tokens"
    arguments = ["--config", str(config), "redcap", "build", "--output", str(folder), "--super-token-stdin", *options]
    return CliRunner().invoke(app, arguments, input=f"{token}\n")


def test_redcap_makes_the_projects_and_a_whole_run_works_on_them(
    simulator: Simulator, config: Path, tmp_path: Path
) -> None:
    simulator.projects.clear()
    done = build(config, "--project", "SCRIPTS", "--project", "Brain, Ageing", token=simulator.super_token)
    assert (done.exit_code, len(simulator.projects)) == (0, 5)
    titles = {name: design.title for name, design in project_designs().items()}
    projects = {name: simulator.projects[title] for name, title in titles.items()}
    files = {name: tmp_path / "tokens" / name for name in NAMES}
    assert {name: file.read_text().strip() for name, file in files.items()} == {
        name: project.token for name, project in projects.items()
    }
    assert {file.stat().st_mode & 0o777 for file in files.values()} == {0o600}
    assert not re.search("[0-9A-Fa-f]{32}", done.output)
    again = build(config, "--json", token=simulator.super_token)
    assert {each["made"] for each in json.loads(again.output)["projects"].values()} == {False}
    assert len(simulator.calls) == 5
    samples.lay_out(tmp_path / "raw")
    checked = forked("--config", str(config), "redcap", "check")
    assert (checked.code, "CRITICAL" in checked.out, "WARNING" in checked.out) == (0, False, False)
    rule = {
        "record_id": "1",
        "routing_active": "1",
        "routing_dest_project": "1",
        "routing_incoming_aetitle": "FIONA",
        "routing_allowed_patientid": "SCS[A-Z]+",
        "routing_event_name": "baseline",
    }
    projects["routing"].put([rule])
    naming = {"project_patient_naming": "TEACH_[0-9]{4}", "project_use_autoid": "1", "project_autoid_aetitle": "FIONA"}
    projects["projects"].put([{"record_id": "1", "project_name": "TEACHING", **naming, "project_active": "1"}])
    ran = Site(simulator, tmp_path / "raw", config).command("run")
    assert ran.code in (0, 1)
    rows = projects["incoming"].rows()
    requested = {row["transfer_project_name"] for row in rows if row["redcap_repeat_instrument"] == "transfers"}
    assert requested == {"SCRIPTS", "TEACHING"}
    assert sum(row["redcap_repeat_instrument"] == "series" for row in rows) == 61
    assert projects["autoid"].rows()


def test_a_build_that_was_interrupted_goes_on_and_makes_no_project_twice(simulator: Simulator, config: Path) -> None:
    (config.parent / "tokens").mkdir()
    (config.parent / "tokens" / "incoming").write_text("0" * 32)
    assert build(config, token=simulator.super_token).exit_code == 0
    assert [call.content for call in simulator.calls] == ["project"] * 4


@pytest.mark.parametrize(
    ("token", "code", "said"),
    [("0" * 64, 3, "does not take the super token"), ("0" * 32, 2, "64 letters and digits"), ("", 2, "64 letters")],
)
def test_a_super_token_that_is_none_is_told_and_never_shown(
    simulator: Simulator, config: Path, token: str, code: int, said: str
) -> None:
    before = len(simulator.projects)
    done = build(config, token=token)
    assert (done.exit_code, said in done.output) == (code, True)
    assert "0000" not in done.output
    assert list((config.parent / "tokens").glob("*")) == []
    assert len(simulator.projects) == before


def test_a_file_for_each_project_is_written(tmp_path: Path) -> None:
    options = ["--output", str(tmp_path / "xml"), "--project", "Heart Study", "--transfers", "--withdrawals", "--json"]
    done = CliRunner().invoke(app, ["redcap", "xml", *options])
    assert (done.exit_code, set(json.loads(done.output)["projects"])) == (0, {*NAMES, "transfers", "withdrawals"})
    assert {path.stem for path in (tmp_path / "xml").iterdir()} == {*NAMES, "transfers", "withdrawals"}
    assert 'CodedValue="1"><Decode><TranslatedText>Heart Study<' in (tmp_path / "xml" / "routing.xml").read_text()


@pytest.mark.parametrize("name", ["", "a|b", "a\nb"])
def test_a_name_that_no_choice_can_be_is_refused(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(app, ["redcap", "xml", "--output", str(tmp_path / "xml"), "--project", name])
    assert (done.exit_code, "--project: expected a name" in done.output) == (2, True)
    assert not (tmp_path / "xml").exists()


def test_files_of_projects_are_not_written_through_links(tmp_path: Path) -> None:
    (tmp_path / "vault.key").write_text("the key")
    (tmp_path / "incoming.xml").symlink_to(tmp_path / "vault.key")
    (tmp_path / "autoid.xml").hardlink_to(tmp_path / "vault.key")
    done = CliRunner().invoke(app, ["redcap", "xml", "--output", str(tmp_path)])
    assert (done.exit_code, "expected a regular file" in done.output) == (2, True), done.output
    (tmp_path / "incoming.xml").unlink()
    assert CliRunner().invoke(app, ["redcap", "xml", "--output", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "vault.key").read_text() == "the key"
