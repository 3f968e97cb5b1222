"""A site with a bit of everything to do, made again for each crash, and what must be the same after it.

What a killed run leaves is what it had committed and what REDCap holds; all else dies with it. So one run
that nobody kills can tell what a kill at each of its steps would leave (`swept`), and steps that leave the
same need one run after them.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from processors.demo.simulator import Project, standard_projects
from processors.demo.simulator.state import read_state, write_state
from tests.autoid.sites import AETITLE, PATTERN, AutoidSite
from tests.conftest import Server, SettableClock
from tests.databases import Contents
from tests.flow.harness import BRAIN, HEART, Steps, has_written, simulator_of, without_minutes

TEACHING = "Teaching"
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
    "autoid_project": "record_id, project, pattern, removed",
    "used_id": "project, kind, record_id",
    "held_study": "study, project, reason",
}
SAME = "same end state"
_NO_PROCESS = 2**22 + 1
"""A number that Linux gives to no process."""


class Left(NamedTuple):
    """What can be seen from outside: the rows that are committed, and REDCap's state."""

    rows: Contents
    redcap: bytes


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A site before the run that is to be disturbed: its database to be copied, REDCap's state, its time."""

    server: Server
    key_file: Path
    database: str
    clock: SettableClock
    folder: Path
    redcap: bytes
    separate_transfers: bool

    def projects(self) -> dict[str, Project]:
        return standard_projects(separate_transfers=self.separate_transfers)


class Undisturbed(NamedTuple):
    """What the run comes to if it is left alone; `writing` are the numbers of commits that have something to write.

    `left` is what could be seen at those commits and at calls, where somebody looked, by the step's number.
    """

    steps: list[str]
    writing: set[int]
    calls: list[str]
    end: dict[str, Any]
    left: dict[int, Left]


class NotingWrites(Steps):
    """Notes the numbers of the steps before and after a commit that makes a difference."""

    def __init__(self) -> None:
        super().__init__()
        self.writing: set[int] = set()

    def before_commit(self, connection: Connection) -> None:
        super().before_commit(connection)
        if has_written(connection):
            self.writing |= {len(self.names), len(self.names) + 1}


class Sweep(NotingWrites):
    """Notes as well what a run would leave if it were killed at a step at which that can make a difference."""

    def __init__(self, prepared: Prepared, site: AutoidSite) -> None:
        super().__init__()
        self.left: dict[int, Left] = {}
        self._prepared = prepared
        self._site = site
        self._redcap_after: dict[int, bytes] = {}

    def take(self) -> None:
        super().take()
        self._look()

    def before_commit(self, connection: Connection) -> None:
        super().before_commit(connection)
        self._look_where_it_writes()

    def after_commit(self) -> None:
        super().after_commit()
        self._look_where_it_writes()

    def _look_where_it_writes(self) -> None:
        if len(self.names) in self.writing:
            self._look()

    def _look(self) -> None:
        calls = len(self._site.calls)
        if calls not in self._redcap_after:  # between two calls it stays as it is
            self._redcap_after[calls] = state_of(self._site.simulator.projects.values(), self._prepared.folder)
        rows = self._prepared.server.contents(self._site.database_name)
        self.left[len(self.names)] = Left(rows, self._redcap_after[calls])


def state_of(projects: Iterable[Project], folder: Path) -> bytes:
    """All that REDCap's projects hold, but for what their logs say of exports: no run asks for that."""
    file = folder / "redcap.json"
    write_state(file, projects)
    state = json.loads(file.read_bytes())
    for project in state.values():
        project["log"] = [entry for entry in project["log"] if entry["kind"] not in ("export", "manage")]
    return json.dumps(state).encode()


def comparable(left: Left) -> tuple[dict[str, int], bytes]:
    """How many rows there are, and REDCap's state but for IDs: what a run draws is different each time."""
    rows = {table: rows.count(b"\n") for table, rows in left.rows.items()}
    return rows, re.sub(PATTERN.encode(), b"an ID", left.redcap)


def lay_out(site: AutoidSite) -> None:
    """Leaves to the next run: new studies, late series, amendments, a retraction, a contest, a vanished study;
    and for auto-ID a known patient's second study, two new patients, and one without a PatientID.
    """
    site.project(name=TEACHING)
    site.study("2.1", "PID-A")
    site.rule("1", patient_id="PID-7")
    for number in range(1, 7):
        site.series(f"1.2.{number}", PatientID=f"PAT-{number}", AccessionNumber=f"ACC-{number}")
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
    site.series("1.2.1", "1.2.1.2", PatientID="PAT-1", AccessionNumber="ACC-1")
    site.grow("1.2.6")
    site.series("1.2.7", "1.2.7.1", PatientID="PID-7 Smith")
    site.series("1.2.7", "1.2.7.2", PatientID="PID-7 Smith")
    site.series("1.2.8", PatientID="PAT-2", AccessionNumber="ACC-8")
    site.receiver.file("1.2.9/1.2.9.1.json", b"{")
    site.vanish("1.2.5")
    for study, patient in (("2.2", "PID-A"), ("2.3", "PID-B"), ("2.4", ""), ("2.5", "PID-C")):
        site.study(study, patient, called=AETITLE)


@contextmanager
def prepared_site(
    server: Server, template: str, key_file: Path, folder: Path, *, separate_transfers: bool = False
) -> Iterator[Prepared]:
    """The site before the run, in a database to be copied."""
    clock = SettableClock()
    projects = standard_projects(separate_transfers=separate_transfers)
    with server.fresh(template=template) as name, simulator_of(projects, clock) as simulator:
        site = AutoidSite(
            folder=folder, database_url=server.url_of(name), key_file=key_file, clock=clock, simulator=simulator
        )
        lay_out(site)
        site.close()
        yield Prepared(
            server=server,
            key_file=key_file,
            database=name,
            clock=clock,
            folder=folder,
            redcap=state_of(projects.values(), folder),
            separate_transfers=separate_transfers,
        )


@contextmanager
def restored(prepared: Prepared, left: Left | None = None) -> Iterator[AutoidSite]:
    """The prepared site, once more; or as the run has left it that was killed a minute later."""
    clock = SettableClock()
    clock.now = prepared.clock.now
    projects = prepared.projects()
    state = prepared.folder / "redcap.json"
    state.write_bytes(prepared.redcap if left is None else left.redcap)
    read_state(state, projects)
    rows = None if left is None else left.rows
    template = prepared.database
    with (
        prepared.server.fresh(template=template, contents=rows) as name,
        simulator_of(projects, clock) as simulator,
    ):
        site = AutoidSite(
            folder=prepared.folder,
            database_url=prepared.server.url_of(name),
            key_file=prepared.key_file,
            clock=clock,
            simulator=simulator,
        )
        if left is not None:
            site.clock.advance(60)
            with site._database.begin() as connection:
                connection.execute(text("update ledger.lease set process = :none"), {"none": _NO_PROCESS})
        try:
            yield site
        finally:
            site.close()


def swept(prepared: Prepared) -> Undisturbed:
    """The run without a crash, and what one would have left at each step."""
    with restored(prepared) as site:
        steps = Sweep(prepared, site)
        site.run(steps)
        calls = [f"{call.action} of {call.content} {call.project}" for call in site.calls]
        return Undisturbed(steps.names, steps.writing, calls, end_state(site), steps.left)


def end_state(site: AutoidSite) -> dict[str, Any]:
    """REDCap's rows without minutes and chance, and what the projections mean, without positions and times."""
    drawn = {row.value: f"the ID in record {record}" for record, row in site.autoid_rows().items()}
    assert len(drawn) == len(site.autoid_rows()), "no ID twice"
    redcap = {
        study: (
            {name: value for name, value in site.study_row(study).items() if name != "study_arrival_date"},
            site.series_rows(study),
            {
                instance: {name: drawn.get(value, value) for name, value in row.items()}
                for instance, row in without_minutes(site.transfer_rows(study)).items()
            },
        )
        for study in sorted(site.incoming.records)
    }
    autoid = {record: (row.project, row.key) for record, row in site.autoid_rows().items()}
    projections = {
        name: sorted(site.query(f"select {columns} from gateway.{name}"), key=repr)
        for name, columns in SEMANTIC.items()
    }
    return {"redcap": redcap, "autoid": autoid, **projections}


def completed(site: AutoidSite, undisturbed: Undisturbed, number: int) -> str:
    """What a normal run in the same minute as the disturbed one comes to. `number` tells the cases apart.

    In every third, which is a matter of time, another run must find nothing left to do, and the chain,
    the projections and the IDs are looked through.
    """
    site.run(after=0)
    end = end_state(site)
    wrong = [part for part in end if end[part] != undisturbed.end[part]]
    if number % 3 == 0:
        head = site.head()
        site.run()
        if site.head() != head:
            wrong.append("a second run found more to do")
        site.assert_sound()
        site.assert_ids_are_recorded(project=TEACHING)
    return ", ".join(wrong) or SAME


def named(undisturbed: Undisturbed) -> list[str]:
    """The steps, those before a call with the call's name."""
    calls = iter(undisturbed.calls)
    return [
        name.replace("before a call", f"before {next(calls)}") if name.endswith("a call") else name
        for name in undisturbed.steps
    ]
