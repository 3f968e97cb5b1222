"""`run --dry-run`, `replay`, `retract` and `reassign`, as an operator gives them."""

import signal
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from ledger import lease
from ledger.database import Database
from processors.cli.main import app
from tests.cli.conftest import Site
from tests.conftest import Server
from tests.processes import ROOT

SENT = {"transfer_date": "2026-03-02 08:55", "transfer_mapped_uid": "9.8.7.6"}


@pytest.fixture
def requested(site: Site) -> tuple[Site, str]:
    """A site at which one study of the samples is requested for Alpha, and its UID."""
    study = min(path.name for path in site.raw.iterdir())
    row = {
        "record_id": "1",
        "cl_studyinstanceuid": study,
        "cl_accessionnumber": "",
        "cl_projectname": "Alpha",
        "cl_subjectid": "A-1",
        "cl_date": "2026-03-01 08:00",
    }
    site.simulator.projects["coupling"].put([row])
    assert site.command("run").code == 0
    return site, study


def transfers(site: Site, study: str) -> dict[int, dict[str, str]]:
    return dict(site.simulator.projects["incoming"].records[study].instances.get("transfers", {}))


def events(database: Database) -> int:
    with database.begin() as connection:
        return int(connection.execute(text("select position from ledger.head")).scalar_one())


def test_a_dry_run_tells_what_a_run_would_do_and_does_nothing(site: Site, database: Database) -> None:
    done = site.command("run", "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert "nothing was recorded" in done.out
    assert "61 discovered" in done.out
    assert events(database) == 0
    assert site.simulator.projects["incoming"].rows() == []
    report = site.command("run", "--dry-run", "--json").data
    assert (report["dry_run"], report["delivered"]["series"], report["changes"]) == (True, 61, [])


def test_a_dry_run_tells_whose_id_would_be_drawn_and_stores_none(site: Site, database: Database) -> None:
    row = {
        "record_id": "1",
        "project_name": "TEACHING",
        "project_patient_naming": "T[0-9]{3}",
        "project_use_autoid": "1",
        "project_autoid_aetitle": "FIONA",
    }
    site.simulator.projects["projects"].put([row])
    done = site.command("run", "--dry-run", "--json")
    told = {(change["project"], change["change"]) for change in done.data["changes"]}
    assert told == {("TEACHING", "request"), ("TEACHING", "hold")}
    requested = [change["study"] for change in done.data["changes"] if change["change"] == "request"]
    assert len(requested) == done.data["assigned"]["requested"]
    assert done.code == 1, "studies without a PatientID would be held"
    assert events(database) == 0
    assert site.simulator.projects["autoid"].rows() == []
    site.command("run")
    incoming = site.simulator.projects["incoming"].records
    assert {study for study, record in incoming.items() if record.instances.get("transfers")} == set(requested)


def test_a_dry_run_is_alone(site: Site, database: Database) -> None:
    with lease.held(database, "run", "main"):
        done = site.command("run", "--dry-run")
    assert done.code == 3, "as every command that a moment later would do its work"
    assert "under way" in done.err


def test_nothing_is_amended_while_a_run_is_under_way(requested: tuple[Site, str], database: Database) -> None:
    site, study = requested
    before = events(database)
    with lease.held(database, "run", "main"):
        done = site.command("retract", study, "--project", "Alpha", "--reason", "x")
    assert done.code == 3
    assert "under way" in done.err
    assert events(database) == before


@pytest.mark.parametrize(
    "arguments",
    [("retract", "--project", "Alpha"), ("withdraw", "--project", "Alpha", "--study")],
    ids=["retract", "withdraw"],
)
def test_where_redcap_is_not_configured_nothing_is_decided_that_it_could_not_be_told(
    requested: tuple[Site, str], database: Database, arguments: tuple[str, ...]
) -> None:
    site, study = requested
    before = events(database)
    sections = site.config.read_text().partition("[redcap]")
    site.config.write_text(sections[0])
    done = site.command(*arguments, study, "--reason", "x")
    assert done.code == 2
    assert "The configuration has no section [redcap]" in done.err
    assert events(database) == before


def test_a_replay_writes_everything_again(requested: tuple[Site, str]) -> None:
    site, study = requested
    site.simulator.projects["incoming"].delete(study)
    rehearsed = site.command("replay", "--dry-run", "--json").data
    # The row of its request does not come back by itself: somebody may have meant to stop it.
    assert {(change["study"], change["change"]) for change in rehearsed["changes"]} == {
        (study, "write a missing row"),
        (study, "report a missing row"),
    }
    assert study not in site.simulator.projects["incoming"].records
    done = site.command("replay", "--json")
    assert done.data["replayed"] == {"studies": 54, "written_before": 0}
    assert done.data["delivered"]["series"] == 61
    assert study in site.simulator.projects["incoming"].records
    assert transfers(site, study) == {}
    assert site.command("replay", "--project", "Alpha").code in (0, 1)
    assert [row["transfer_name"] for row in transfers(site, study).values()] == ["A-1"]


def test_populate_incoming_does_the_same_under_its_old_name(requested: tuple[Site, str]) -> None:
    site, _ = requested
    done = site.process("--importAll", "Alpha", main="populate_incoming")
    assert (done.code, done.err) == (0, "")
    assert "Replayed: 54 studies" in done.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--project", "Alhpa"), "Alpha"),
        (("--since", "yesterday"), "2026-03-31"),
        (("--until", "31.3.2026"), "2026-03-31"),
        (("--since", "0001-01-01"), "2026-03-31"),
    ],
)
def test_a_replay_of_something_unknown_is_refused(
    requested: tuple[Site, str], arguments: tuple[str, ...], told: str
) -> None:
    done = requested[0].command("replay", *arguments)
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err


def test_a_replay_that_is_interrupted_goes_on_when_it_is_given_again(
    requested: tuple[Site, str], database: Database
) -> None:
    site, _ = requested
    site.change("[redcap]", "[redcap]\nbatch_rows = 5")
    code = "from processors.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--config", str(site.config), "replay"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def interrupt(call: object) -> None:
        if getattr(call, "action", "") == "import":
            site.simulator.before_call = None
            process.send_signal(signal.SIGINT)

    site.simulator.before_call = interrupt
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert site.command("replay").code == 0
    with database.begin() as connection:
        assert connection.execute(text("select count(*) from gateway.replay")).scalar_one() == 0


def test_a_retracted_request_is_emptied(requested: tuple[Site, str]) -> None:
    site, study = requested
    done = site.command("retract", study, "--project", "Alpha", "--reason", "ticket 4711")
    assert (done.code, done.err) == (0, "")
    assert "Withdrawn" in done.out
    assert transfers(site, study) == {}


def test_of_another_site_s_study_it_tells_that_its_runs_carry_it_out_and_where_it_is_shown(
    requested: tuple[Site, str],
) -> None:
    """`status` here shows nothing of it."""
    site, study = requested
    site.config.write_text(site.config.read_text().replace("[ledger]", '[ledger]\nsite = "south"'))
    done = site.command("retract", study, "--project", "Alpha", "--reason", "ticket 4711")
    words = " ".join(done.out.split())
    assert (done.code, len(transfers(site, study))) == (1, 1)
    assert "every run of site 'main' tries to carry it out" in words
    assert "(the study is that site's). `fiona-ledger status` there shows it" in words


@pytest.mark.parametrize("noticed", [False, True])
def test_of_a_row_that_a_person_changed_it_tells_that_it_can_still_be_sent(
    requested: tuple[Site, str], *, noticed: bool
) -> None:
    """Only `status` told, and only that the row had been changed."""
    site, study = requested
    place = {"study_instance_uid": study, "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    site.simulator.projects["incoming"].put([{**place, "transfer_name": "A-7"}])
    if noticed:
        site.command("run")
    done = site.command("retract", study, "--project", "Alpha", "--reason", "ticket 4711")
    assert done.code == 1
    assert "REDCap's instance 1 was not touched" in " ".join(done.out.split())
    assert "A-7" not in done.out
    assert [row["transfer_name"] for row in transfers(site, study).values()] == ["A-7"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("retract", "STUDY", "--project", "Alpha"),
        ("reassign", "STUDY", "--project", "Alpha", "--to-subject", "A-3"),
        ("forget", "--study", "STUDY", "--yes"),
    ],
    ids=["retract", "reassign", "forget"],
)
def test_a_row_of_before_that_cannot_be_ended_yet_is_named(
    requested: tuple[Site, str], arguments: tuple[str, ...]
) -> None:
    """`forget` ended with 0 and `reassign` told of an "instance None": the request in force had never been placed."""
    site, study = requested
    site.simulator.projects["incoming"].lock(study)
    corrected = {"record_id": "1", "cl_subjectid": "A-2"}
    site.simulator.projects["coupling"].put([corrected])
    site.command("run")
    done = site.command(*(study if each == "STUDY" else each for each in arguments), "--reason", "ticket 4711")
    words = " ".join(done.out.split())
    assert done.code == 1
    assert "Not yet: study" in words
    assert "REDCap's instance 1 can be sent as it reads" in words
    assert "None" not in words


def test_of_a_request_that_was_sent_it_tells_what_to_remove_downstream(requested: tuple[Site, str]) -> None:
    site, study = requested
    place = {
        "study_instance_uid": study,
        "redcap_repeat_instrument": "transfers",
        "redcap_repeat_instance": "1",
    }
    site.simulator.projects["incoming"].put([{**place, **SENT}])
    done = site.command("retract", study, "--project", "Alpha", "--reason", "wrong patient", "--json")
    assert done.code == 1
    assert done.data["sent"] == [{"instance": 1, "sent_at": "2026-03-02 08:55", "mapped_uid": "9.8.7.6"}]


@pytest.mark.parametrize("arguments", [("retract",), ("reassign", "--to-subject", "A-2")])
def test_it_tells_so_although_somebody_has_deleted_the_row_since(
    requested: tuple[Site, str], arguments: tuple[str, ...]
) -> None:
    """It said that it might have been sent."""
    site, study = requested
    incoming = site.simulator.projects["incoming"]
    place = {"study_instance_uid": study, "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    incoming.put([{**place, **SENT}])
    site.command("run")
    incoming.delete_instance(study, "transfers", 1)
    site.command("run")
    done = site.command(*arguments, study, "--project", "Alpha", "--reason", "wrong patient")
    assert done.code == 1
    assert "study 9.8.7.6" in " ".join(done.out.split())
    assert "may have been sent" not in done.out


def test_a_reassigned_request_is_amended(requested: tuple[Site, str]) -> None:
    site, study = requested
    done = site.command("reassign", study, "--project", "Alpha", "--to-subject", "A-2", "--reason", "typing error")
    assert (done.code, done.err) == (0, "")
    assert [row["transfer_name"] for row in transfers(site, study).values()] == ["A-2"]
    assert "A-1" not in done.out


def test_a_pseudonym_that_was_withdrawn_is_held_and_the_command_says_so(requested: tuple[Site, str]) -> None:
    """It said that the study had been given it, and ended with 0."""
    site, study = requested
    withdrawal = ["--config", str(site.config), "withdraw", "--project", "Alpha", "--pseudonym-stdin", "--reason", "x"]
    assert CliRunner().invoke(app, withdrawal, input="A-2").exit_code == 0
    done = site.command("reassign", study, "--project", "Alpha", "--to-subject", "A-2", "--reason", "typing error")
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith("Withdrawn: ")
    assert "The new pseudonym is held (participant withdrew" in " ".join(done.out.split())
    assert "A-2" not in done.out
    assert transfers(site, study) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ("retract", "9.9.9", "--project", "Alpha", "--reason", "x"),
        ("retract", "STUDY", "--project", "Gamma", "--reason", "x"),
        ("retract", "STUDY", "--project", "Alpha", "--event", "e", "--reason", "x"),
        ("retract", "STUDY", "--project", "Alpha", "--reason", "  "),
        ("retract", "STUDY", "--project", "Alpha", "--reason", "two\nlines"),
        ("reassign", "STUDY", "--project", "Alpha", "--to-subject", " ", "--reason", "x"),
        ("reassign", "STUDY", "--project", "Alpha", "--to-subject", "A-1", "--reason", "x"),
    ],
)
def test_what_cannot_be_amended_is_said_and_changes_nothing(
    requested: tuple[Site, str], database: Database, arguments: tuple[str, ...]
) -> None:
    site, study = requested
    before = events(database)
    done = site.command(*(study if argument == "STUDY" else argument for argument in arguments))
    assert done.code == 2
    assert done.err.startswith("fiona-ledger: ")
    assert "Traceback" not in done.err
    assert events(database) == before


OVERRIDES = [
    (("retract",), []),
    (("reassign", "--to-subject", "A-2"), ["A-2"]),
]
RECORDED = "What you decided is recorded; the next run that gets through carries it out."


@pytest.mark.parametrize(("arguments", "names"), OVERRIDES)
def test_what_redcap_cannot_be_told_now_is_told_by_the_next_run(
    requested: tuple[Site, str], arguments: tuple[str, ...], names: list[str]
) -> None:
    site, study = requested
    site.shut_out()
    done = site.command(*arguments, study, "--project", "Alpha", "--reason", "x")
    assert done.code == 3
    assert RECORDED in done.err
    assert [row["transfer_name"] for row in transfers(site, study).values()] == ["A-1"]
    site.let_in()
    site.command("run")
    assert [row["transfer_name"] for row in transfers(site, study).values()] == names


@pytest.mark.parametrize(("arguments", "names"), OVERRIDES)
def test_a_decision_is_said_to_be_recorded_when_postgresql_goes_away_after_it(
    requested: tuple[Site, str], server: Server, database_url: str, arguments: tuple[str, ...], names: list[str]
) -> None:
    # It used to be said only where REDCap went away, so that people decided again.
    site, study = requested
    name = urlsplit(database_url).path[1:]

    def go_away(_call: object) -> None:
        site.simulator.before_call = None
        server.execute(f"alter database {name} allow_connections false")
        server.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")

    site.simulator.before_call = go_away
    done = site.command(*arguments, study, "--project", "Alpha", "--reason", "x")
    server.execute(f"alter database {name} allow_connections true")
    assert done.code == 3
    assert "PostgreSQL" in done.err
    assert done.err.endswith(f" {RECORDED}\n")
    assert site.command("run").code == 0
    assert [row["transfer_name"] for row in transfers(site, study).values()] == names
