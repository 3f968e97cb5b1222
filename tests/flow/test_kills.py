"""A run is killed at every step; the next one ends in the state of a run that nobody disturbed."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from processors.simulator import standard_projects
from processors.simulator.calls import Call
from processors.simulator.state import read_state, write_state
from tests.conftest import Server, SettableClock
from tests.flow import child, table
from tests.flow.harness import BRAIN, HEART, Site, Steps, simulator_of, standard_simulator, without_minutes

STUDIES = [f"1.2.{number}" for number in range(1, 9)]
SEMANTIC = {
    "study": "study, on_disk, row_position = delivered_position",
    "series": "study, series, instance, position = delivered_position",
    "transfer": "study, project, event_name, cause_kind, cause_record, state, instance",
    "conflict": "study, project, event_name, kind",
    "notice": "kind, study, project",
    "rule": "record_id, problems::text, removed",
    "coupling_entry": "record_id, problems::text, removed",
    "missing_row": "study, kind, key",
    "refused_row": "study, kind, key",
    "rejected_file": "path, reason",
    "rule_failure": "record_id, study",
}


class Prepared(NamedTuple):
    """A site before the run that is to be killed: its database to be copied, REDCap's state, its time."""

    database: str
    redcap: Path
    clock: SettableClock
    folder: Path


def prepare(site: Site) -> None:
    """Leaves to the next run: new studies, late series, amendments, a retraction, a contest, a vanished study."""
    site.rule("1", patient_id="PID-7")
    for number in range(1, 7):
        site.series(f"1.2.{number}", AccessionNumber=f"ACC-{number}")
        site.entry(str(number), accession=f"ACC-{number}", subject=f"H-00{number}", event="baseline")
    site.run()
    site.sender_sends("1.2.3", 1)
    site.person_requests("1.2.4", HEART, "H-777", event="baseline")
    site.person_deletes("1.2.6")
    # Amended, with an event name that becomes blank; withdrawn; superseded; contested; moved and kept.
    site.entry("1", accession="ACC-1", subject="H-101")
    site.entry("2", accession="ACC-8", subject="H-002", event="baseline")
    site.entry("3", accession="ACC-3", subject="H-103", event="baseline")
    site.entry("4", accession="ACC-4", subject="H-104", event="baseline")
    site.entry("5", accession="ACC-5", project=BRAIN, subject="B-005")
    site.series("1.2.1", "1.2.1.2", AccessionNumber="ACC-1")
    site.grow("1.2.6")
    site.series("1.2.7", "1.2.7.1", PatientID="PID-7 Smith")
    site.series("1.2.7", "1.2.7.2", PatientID="PID-7 Smith")
    site.series("1.2.8", AccessionNumber="ACC-8")
    site.receiver.file("1.2.9/1.2.9.1.json", b"{")
    site.vanish("1.2.5")


@pytest.fixture(scope="module")
def prepared(
    server: Server, migrated: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("kills")
    clock = SettableClock()
    with server.fresh(template=migrated[0]) as name, standard_simulator(clock) as simulator:
        site = Site(
            folder=folder, database_url=server.url_of(name), key_file=migrated[1], clock=clock, simulator=simulator
        )
        prepare(site)
        write_state(folder / "redcap.json", simulator.projects.values())
        site.close()
        yield Prepared(name, folder / "redcap.json", clock, folder)


@contextmanager
def restored(server: Server, key_file: Path, prepared: Prepared) -> Iterator[Site]:
    """The prepared site, once more."""
    clock = SettableClock()
    clock.now = prepared.clock.now
    projects = standard_projects()
    read_state(prepared.redcap, projects)
    with server.fresh(template=prepared.database) as name, simulator_of(projects, clock) as simulator:
        site = Site(
            folder=prepared.folder,
            database_url=server.url_of(name),
            key_file=key_file,
            clock=clock,
            simulator=simulator,
        )
        try:
            yield site
        finally:
            site.close()


def end_state(site: Site) -> dict[str, Any]:
    """REDCap's rows without minutes, and what the projections mean, without positions and times."""
    redcap = {
        study: (
            {name: value for name, value in site.study_row(study).items() if name != "study_arrival_date"},
            site.series_rows(study),
            without_minutes(site.transfer_rows(study)),
        )
        for study in STUDIES
        if study in site.incoming.records
    }
    projections = {
        name: sorted(site.query(f"select {columns} from gateway.{name}"), key=repr)
        for name, columns in SEMANTIC.items()
    }
    return {"redcap": redcap, **projections}


class Undisturbed(NamedTuple):
    steps: list[str]
    calls: list[str]
    end: dict[str, Any]


@pytest.fixture(scope="module")
def undisturbed(server: Server, migrated: tuple[str, Path], prepared: Prepared) -> Undisturbed:
    with restored(server, migrated[1], prepared) as site:
        steps = Steps()
        site.run(steps)
        calls = [f"{call.action} of {call.content} {call.project}" for call in site.calls]
        return Undisturbed(steps.names, calls, end_state(site))


def test_the_run_that_is_killed_does_a_bit_of_everything(undisturbed: Undisturbed) -> None:
    states = {(row[0], row[5]) for row in undisturbed.end["transfer"]}
    assert {("1.2.1", "placed"), ("1.2.2", "retracted"), ("1.2.3", "replaced"), ("1.2.4", "contested")} <= states
    assert {row[0] for row in undisturbed.end["notice"]} == {
        "replaced after it was sent",
        "pattern matched the start only",
    }
    assert [row[3] for row in undisturbed.end["conflict"]] == ["person"]
    assert undisturbed.end["missing_row"] == [("1.2.6", "study", "")]
    assert len(undisturbed.end["rejected_file"]) == 1
    assert "import of record incoming" in undisturbed.calls


def test_killed_at_any_step_the_next_run_ends_in_the_same_state(
    server: Server, migrated: tuple[str, Path], prepared: Prepared, undisturbed: Undisturbed
) -> None:
    calls = iter(undisturbed.calls)
    different = []
    for number, name in enumerate(undisturbed.steps, start=1):
        place = name.replace("before a call", f"before {next(calls)}") if name.endswith("a call") else name
        with restored(server, migrated[1], prepared) as site:
            process = child.start(site, fatal=number)
            process.join(60)
            assert process.exitcode == -signal.SIGKILL
            outcome = completed(site, undisturbed)
        table.CASES.append((f"step {number:2}", place, outcome))
        if outcome != "same end state":
            different.append((number, place, outcome))
    assert different == []


def test_killed_while_redcap_carries_a_call_out_the_next_run_ends_in_the_same_state(
    server: Server, migrated: tuple[str, Path], prepared: Prepared, undisturbed: Undisturbed
) -> None:
    different = []
    for number, name in enumerate(undisturbed.calls):
        with restored(server, migrated[1], prepared) as site:
            hold = child.Hold()
            process = child.start(site, hold=hold)
            killer = Killer(site, number, process)
            site.simulator.before_call = killer
            hold.release()
            process.join(60)
            assert process.exitcode == -signal.SIGKILL
            killer.await_end_of_call()
            site.simulator.before_call = None
            outcome = completed(site, undisturbed)
        table.CASES.append((f"call {number + 1:2}", f"during {name}", outcome))
        if outcome != "same end state":
            different.append((number, name, outcome))
    assert different == []


class Killer:
    """Kills a child when its call of that number (from 0) has reached REDCap, which carries it out."""

    def __init__(self, site: Site, number: int, process: ForkServerProcess) -> None:
        self._site = site
        self._number = number
        self._process = process

    def __call__(self, _call: Call) -> None:
        if len(self._site.calls) == self._number:
            # It waits for the answer, and never sees it.
            self._process.kill()

    def await_end_of_call(self) -> None:
        """Waits until REDCap has dealt with the call."""
        deadline = time.monotonic() + 10
        while len(self._site.calls) <= self._number:
            assert time.monotonic() < deadline
            time.sleep(0.002)


def completed(site: Site, undisturbed: Undisturbed) -> str:
    """What a normal run after the killed one comes to."""
    site.run()
    end = end_state(site)
    wrong = [part for part in end if end[part] != undisturbed.end[part]]
    head = site.head()
    site.run()
    if site.head() != head:
        wrong.append("a second run found more to do")
    site.assert_sound()
    return ", ".join(wrong) or "same end state"
