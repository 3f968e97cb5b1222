"""`check --deep` and `redcap check` over a real PostgreSQL and the simulator."""

from itertools import permutations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from processors.configuration.file import parse
from tests.cli.conftest import Done, Site

OF_A_TEST_SERVER = {"database, role", "database, durability"}
"""The server of the tests forgets at crashes, and its role is a superuser."""


def findings(done: Done) -> dict[str, dict[str, Any]]:
    """By area and name, what is not in order."""
    assert "Traceback" not in done.err
    found = {f"{each['area']}, {each['name']}": each for each in done.data["findings"] if each["severity"] != "ok"}
    return {name: each for name, each in found.items() if name not in OF_A_TEST_SERVER}


def test_a_gateway_that_is_set_up_has_a_line_for_each_thing_and_nothing_is_written(site: Site) -> None:
    site.simulator.projects["incoming"].put([{"study_instance_uid": "1.2.3"}])
    before = site.simulator.projects["incoming"].rows()
    done = site.command("check", "--deep")
    assert (done.code, done.err) == (1, "")
    lines = done.out.splitlines()
    assert {line[:8].strip() for line in lines} == {"OK", "WARNING"}
    assert {line[10:].partition(":")[0] for line in lines if line.startswith("WARNING")} == OF_A_TEST_SERVER
    assert "OK        database, key: the key file opens this ledger" in lines
    assert "OK        redcap, time zone: its log is written in this machine's" in lines
    assert "OK        redcap, incoming: rights: as they must be, and in no data access group" in lines
    assert site.simulator.projects["incoming"].rows() == before
    calls = site.simulator.calls
    assert {(call.action, call.rows) for call in calls if call.action != "export"} == {("import", 0)}
    assert len(calls) < 45


def test_what_is_wrong_is_told_of_each_thing_and_keeps_no_other_from_being_told(
    site: Site, database_url: str, key_file: Path, tmp_path: Path
) -> None:
    projects = site.simulator.projects
    projects["incoming"].remove_field("transfer_name")
    projects["incoming"].revoke("import")
    projects["incoming"].revoke("logging")
    projects["incoming"].repeating = ("series",)
    projects["coupling"].group = "20"
    projects["coupling"].set_missing_data_codes("NA, Not available | 1, One")
    projects["routing"].longitudinal = True
    projects["projects"].token = 32 * "0"  # so that the one that is configured is nobody's
    key_file.chmod(0o644)
    site.change(database_url, "postgresql://fiona:geheim77@127.0.0.1:9/fiona")
    site.change(f'raw = "{site.raw}"', f'raw = "{tmp_path / "nowhere"}"')
    site.config.write_text(f'{site.config.read_text()}\n[sender]\ndone = "{tmp_path / "done"}"\n')
    done = site.command("check", "--deep", "--json")
    assert (done.code, done.data["state"]) == (2, "critical")
    assert "geheim77" not in done.out
    assert [project.token for project in projects.values() if project.token in done.out] == []
    assert set(findings(done)) == {
        "machine, source.raw",
        "machine, ledger.key_file",
        "machine, sender.done",
        "database, server",
        "redcap, incoming: fields",
        "redcap, incoming: repeating instruments",
        "redcap, incoming: rights",
        "redcap, coupling: rights",
        "redcap, routing",
        "redcap, projects",
    }
    assert "chmod 600" in findings(done)["machine, ledger.key_file"]["found"]
    assert "API Import/Update" in done.out
    server = findings(done)["database, server"]
    assert server["expected"] == "a server that answers, and can be used"
    assert server["found"].startswith("that PostgreSQL ")
    assert "ledger.url" in server["advice"]


def test_where_health_is_told_is_looked_at_too(site: Site, tmp_path: Path) -> None:
    """A folder was taken for a metrics file that can be written, and where the page goes was not looked at."""
    gone = tmp_path / "gone"
    site.change("[redcap]\n", f'[health]\nmetrics_file = "{tmp_path}"\npage = "{gone}"\n[redcap]\n')
    found = findings(site.command("check", "--deep", "--json"))
    assert set(found) == {"machine, health.metrics_file", "machine, health.page"}
    file = found["machine, health.metrics_file"]
    assert (file["expected"], file["found"]) == ("the name of a file", f"{tmp_path}: Is a directory")
    assert f"{gone}: No such file or directory" in found["machine, health.page"]["found"]
    gone.mkdir()
    site.change(f'"{tmp_path}"', f'"{tmp_path}/fiona-ledger.prom"')
    assert findings(site.command("check", "--deep", "--json")) == {}


def test_an_output_that_no_run_will_write_is_told(site: Site) -> None:
    """Outputs over the master key, or in PostgreSQL's data, were told as such that can be written."""
    ledger = parse(site.config.read_text(), "the test's configuration").ledger
    data = ledger.data_dir / "postgres"
    data.mkdir(parents=True)
    site.change("[redcap]\n", f'[health]\nmetrics_file = "{ledger.key_file}"\npage = "{data}"\n[redcap]\n')
    done = site.command("check", "--deep", "--json")
    found = findings(done)
    assert (done.code, set(found)) == (2, {"machine, health.metrics_file", "machine, health.page"})
    assert f"found the master key ({ledger.key_file})" in found["machine, health.metrics_file"]["found"]
    assert f"found the embedded PostgreSQL's data ({data})" in found["machine, health.page"]["found"]


def test_redcap_alone_is_looked_at_also_where_there_is_no_ledger_yet(site: Site, database_url: str) -> None:
    site.change(f'url = "{database_url}"', 'url = "embedded"')
    done = site.command("redcap", "check")
    assert (done.code, done.err) == (0, "")
    assert {line[10:16] for line in done.out.splitlines()} == {"redcap"}
    assert not site.raw.with_name("data").exists(), "an embedded ledger is not made for the asking"
    site.shut_out()
    shut_out = site.command("redcap", "check", "--json")
    assert (shut_out.code, len(findings(shut_out))) == (2, 5)
    assert findings(shut_out)["redcap, incoming"]["found"].startswith("REDCap project incoming, export of project info")


def test_a_token_that_cannot_be_read_is_told_and_the_other_projects_are_looked_at(site: Site) -> None:
    site.change(f'coupling = "{site.simulator.projects["coupling"].token}"', 'coupling = { file = "/nowhere" }')
    done = site.command("redcap", "check", "--json")
    assert set(findings(done)) == {"redcap, coupling: token"}
    assert {"routing", "incoming", "autoid"} <= {each["name"] for each in done.data["findings"]}


@pytest.mark.parametrize(
    ("own", "others"), [*permutations(("incoming", "coupling", "routing", "projects", "autoid"), 2)]
)
def test_a_token_of_another_project_is_told_as_what_it_is(site: Site, own: str, others: str) -> None:
    """Where no field was known, it was an error that nobody foresaw, about rights that are as they must be."""
    projects = site.simulator.projects
    site.change(f'{own} = "{projects[own].token}"', f'{own} = "{projects[others].token}"')
    done = site.command("redcap", "check", "--json")
    found = findings(done)
    assert (done.code, "nobody foresaw" in done.out) == (2, False)
    assert f"redcap.tokens.{own}" in found[f"redcap, {own}: fields"]["advice"]
    assert f"redcap, {own}: rights" not in found
    assert {own, others} <= set(found["redcap, tokens"]["found"].split())


def test_a_machine_without_redcap_is_looked_at_all_the_same(site: Site) -> None:
    site.config.write_text(site.config.read_text().partition("[redcap]")[0])
    assert findings(site.command("check", "--deep", "--json")) == {}
    alone = site.command("redcap", "check")
    assert (alone.code, "no section [redcap]" in alone.err) == (2, True)


def test_a_server_in_another_zone_is_told(site: Site) -> None:
    site.simulator.settings.zone = ZoneInfo("Asia/Kolkata")
    (finding,) = findings(site.command("redcap", "check", "--json")).values()
    assert (finding["name"], finding["severity"]) == ("time zone", "warning")
    assert "hours ahead of it" in finding["found"]


def test_a_copy_of_the_key_is_compared(site: Site, key_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.key"
    site.config.write_text(site.config.read_text().replace("[source]\n", f'key_copy = "{copy}"\n[source]\n'))
    assert "machine, ledger.key_copy" in findings(site.command("check", "--deep", "--json"))
    copy.write_text(key_file.read_text())
    copy.chmod(0o600)
    assert findings(site.command("check", "--deep", "--json")) == {}


@pytest.mark.parametrize("arguments", [["check", "--deep"], ["redcap", "check"]])
def test_a_configuration_that_cannot_be_used_is_one_line(site: Site, arguments: list[str]) -> None:
    token = site.simulator.projects["coupling"].token
    site.change("[redcap]\n", "[redcap]\nnonsense = 1\n")
    done = site.command(*arguments)
    assert (done.code, done.err, done.out.count("\n")) == (2, "", 1)
    assert done.out.startswith("CRITICAL  machine, configuration: ")
    assert "redcap.nonsense: this key is unknown" in done.out
    assert token not in done.out
