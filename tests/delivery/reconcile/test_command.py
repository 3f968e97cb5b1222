"""`fiona-ledger reconcile` and the sender's part of `status`, as an operator starts them."""

import csv
import io
import signal
import subprocess
import sys

import pytest

from ledger import lease
from ledger.database import Database
from processors.demo.simulator import Project
from processors.demo.simulator.calls import Call
from tests.cli.conftest import Site, simulator, site
from tests.processes import ROOT

__all__ = ["simulator", "site"]

STUDY = "1.3.6.1.4.1.5962.1.2.8.20040826185059.5457"


@pytest.fixture
def delivered(site: Site) -> None:
    rule = {
        "record_id": "1",
        "routing_active": "1",
        "routing_dest_project": "1",
        "routing_incoming_aetitle": "FIONA",
        "routing_allowed_patientid": ".+",
    }
    site.simulator.projects["routing"].put([rule])
    site.command("run", "--only", "incoming")


@pytest.fixture
def incoming(site: Site) -> Project:
    return site.simulator.projects["incoming"]


@pytest.fixture
def requested(delivered: None, incoming: Project) -> str:  # noqa: ARG001 - whose rows are looked at
    """A study with a request of ours."""
    return next(name for name, record in incoming.records.items() if record.instances.get("transfers"))


@pytest.mark.usefixtures("delivered")
def test_a_difference_is_told_in_every_format_and_ends_with_1(site: Site, incoming: Project, requested: str) -> None:
    incoming.put([{"study_instance_uid": requested, "study_description": "SECRET"}])
    table, json, rows = (site.command("reconcile", "--format", name) for name in ("table", "json", "csv"))
    assert {done.code for done in (table, json, rows)} == {1}
    assert "study_description" in table.out
    expected = {"study": requested, "kind": "study", "key": "", "instance": None, "what": "changed"}
    assert json.data["differences"] == [expected | {"fields": ["study_description"], "note": ""}]
    (row,) = csv.DictReader(io.StringIO(rows.out))
    assert (row["study"], row["what"], row["fields"]) == (requested, "changed", "study_description")
    assert "SECRET" not in table.out + json.out + rows.out
    assert site.command("reconcile", "--json").data == json.data


@pytest.mark.usefixtures("delivered")
def test_restoring_says_what_was_written_and_what_is_left(site: Site, incoming: Project, requested: str) -> None:
    incoming.delete(requested)
    incoming.put([{"study_instance_uid": "[/red]x", "study_description": "by hand"}])
    done = site.command("reconcile", "--restore")
    assert done.code == 1
    assert "1 studies" in done.out
    assert "1 differences are left" in done.out
    assert "[/red]x" in done.out  # it looks like markup to who prints tables
    assert requested in incoming.records
    accepted = site.command("reconcile", "--accept", "--reason", "made by hand on purpose", "--json")
    assert (accepted.code, accepted.data["accepted"]) == (0, 1)
    assert site.command("reconcile").code == 0


NOT_TO_BE_MEANT = [
    (["--study", "9.9.9"], "expected the StudyInstanceUID of a study that has arrived"),
    (["--project", "Alfa"], "found 'Alfa'"),
    (["--since", "yesterday"], "--since: expected a day"),
    (["--accept"], "--reason: expected a few words"),
    (["--accept", "--reason", " "], "--reason: expected a few words"),
    (["--restore", "--accept", "--reason", "x"], "Expected --restore or --accept"),
    (["--reason", "x"], "together with --accept"),
]


def test_what_cannot_be_meant_is_refused_with_a_sentence(site: Site) -> None:
    for arguments, words in NOT_TO_BE_MEANT:
        done = site.command("reconcile", *arguments)
        assert (done.code, words in done.err, "Traceback" in done.err) == (2, True, False), arguments


def test_a_redcap_that_refuses_us_ends_with_3(site: Site) -> None:
    site.shut_out()
    assert site.command("reconcile").code == 3


@pytest.mark.usefixtures("delivered")
def test_while_a_run_is_under_way_nothing_is_restored_but_all_is_compared(site: Site, database: Database) -> None:
    with lease.held(database, "run", "main"):
        said = site.command("reconcile", "--restore", "--json").data
        assert (said["busy"], said["site"]) == (True, "main")
        done = site.command("reconcile")
    assert (done.code, done.err) == (0, "")
    assert "Compared 54 studies with REDCap: no differences." in done.out


@pytest.mark.usefixtures("delivered")
def test_interrupted_while_redcap_takes_its_time_it_ends_with_130_and_goes_on_the_next_time(
    site: Site, incoming: Project, requested: str
) -> None:
    incoming.delete(requested)
    command = [sys.executable, "-m", "processors.cli.main", "--config", str(site.config), "reconcile", "--restore"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:

        def interrupt(call: Call) -> None:
            if call.action == "import":
                site.simulator.before_call = None
                process.send_signal(signal.SIGINT)
                # It waits for the answer, and never sees it.
                process.wait(30)

        site.simulator.before_call = interrupt
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted. Nothing is lost" in err
    assert site.command("reconcile", "--restore").code == 0
    assert requested in incoming.records


@pytest.mark.usefixtures("delivered")
def test_status_tells_what_the_sender_makes_of_requests(site: Site, incoming: Project, requested: str) -> None:
    place = {
        "study_instance_uid": requested,
        "redcap_repeat_instrument": "transfers",
        "redcap_repeat_instance": "1",
    }
    incoming.put([place | {"transfer_error___2": "1", "transfer_error_message": "connection refused by SECRET"}])
    site.command("run", "--only", "incoming")
    status = site.command("status", "--json")
    assert status.code == 1
    sending = status.data["sending"]
    assert (sending["sent"], sending["failed"]) == (0, 1)
    assert sending["unsent"] == status.data["transfers"]["placed"] - 1
    assert sending["oldest"] is not None
    assert status.data["kinds"]["transfer failed"] == 1
    assert status.data["silent_seconds"] < 60
    shown = site.command("status").out
    assert "0 are reported sent" in shown
    assert "no connection, errors 2" in shown
    assert "SECRET" not in shown + status.out
    (failed,) = [row for row in status.data["attention"] if row["kind"] == "transfer failed"]
    assert site.command("acknowledge", str(failed["position"]), "--reason", "the archive was down").code == 0
    assert "transfer failed" not in site.command("status", "--json").data["kinds"]
