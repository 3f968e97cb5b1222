"""A site to run the main job on: a raw folder, a REDCap simulator and a ledger, with verbs for what people do."""

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from ledger import chain, store
from ledger.batching import Progress
from ledger.database import Database
from ledger.vault import Vault
from processors.configuration.settings import (
    Configuration,
    IdentitySection,
    RedcapSection,
    RoutingSection,
    SenderSection,
    SourceSection,
)
from processors.demo.simulator import Project, Simulator, standard_projects
from processors.demo.simulator.calls import Call
from processors.events.fact import study_stream
from processors.explain.endings import endings
from processors.explain.past import stood
from processors.explain.recorded import FROM_THE_BEGINNING
from processors.gateway import Gateway
from processors.projections import PROJECTIONS
from processors.redcap import Redcap
from processors.redcap.dictionary import choices
from processors.requests import Key
from processors.routing.evidence import gather
from processors.run import Report, Rhythm, Run
from tests.conftest import SettableClock
from tests.ledger.layout import expected_hash
from tests.source.receiver import SETTLED, Receiver

ZONE = ZoneInfo("Europe/Oslo")
HEART = "Heart Study"
BRAIN = "Brain, Ageing and Memory"


class Asked(NamedTuple):
    """A row of `transfers` as people read it."""

    project: str
    name: str
    event: str = ""
    sent: bool = False


class Killed(BaseException):
    """Stands for SIGKILL where a test kills a run in its own process: nothing in the product catches it."""


class Steps:
    """Counts a run's steps, and kills the run at the one with the number `fatal`.

    Before each call to REDCap, before each commit and after it: between those, nothing can be seen from
    outside. `names` tells which steps there were, `calls` what REDCap has been asked meanwhile.
    """

    calls: Sequence[Call] = ()

    def __init__(self, fatal: int | None = None, kill: Callable[[], None] | None = None) -> None:
        self.fatal = fatal
        self.names: list[str] = []
        self.phase = "Opening"
        self._kill = kill or self._raise

    def step(self, name: str) -> None:
        self.names.append(f"{self.phase}: {name}")
        if self.fatal == len(self.names):
            self._kill()

    def before_commit(self, _connection: Connection) -> None:
        self.step("before a commit")

    def after_commit(self) -> None:
        self.step("after a commit")

    def take(self) -> None:
        """As the client's rate limit, it is asked before each call."""
        self.step("before a call")

    def pause(self) -> None:
        """Bans are not part of this."""

    def announce(self, phase: str) -> AbstractContextManager[Progress | None]:
        """As the run's `step`, it is told what the run is about to do."""
        self.phase = phase
        return nullcontext()

    @staticmethod
    def _raise() -> None:
        raise Killed

    @staticmethod
    def sigkill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class VisibleSteps(Steps):
    """Steps at which something can be seen that could not be at the one before: after commits and imports.

    A commit that has nothing to write makes no difference, nor does an export: the run killed there leaves what it
    left before.
    """

    def __init__(self, fatal: int | None = None, kill: Callable[[], None] | None = None) -> None:
        super().__init__(fatal, kill)
        self._writes = False
        self._seen: int | None = None

    def step(self, name: str) -> None:
        imports = sum(call.action == "import" for call in self.calls)
        if imports != self._seen:
            self._seen = imports
            super().step(name)

    def before_commit(self, connection: Connection) -> None:
        self._writes = has_written(connection)
        if self._writes:
            super().before_commit(connection)

    def after_commit(self) -> None:
        if self._writes:
            self._seen = None
            super().after_commit()


def has_written(connection: Connection) -> bool:
    """Whether the transaction's commit will make a difference."""
    # Asked very often, and therefore without what SQLAlchemy adds.
    driver: Any = connection.connection.driver_connection
    return bool(driver.execute("select pg_current_xact_id_if_assigned() is not null").fetchone()[0])


class _KilledBeforeImport(Steps):
    """Kills at the first call after so many exports from Incoming or the transfers' own project."""

    def __init__(self, simulator: Simulator, exports: int) -> None:
        super().__init__()
        self._simulator = simulator
        self._exports = exports

    def take(self) -> None:
        done = [
            call
            for call in self._simulator.calls
            if call.content == "record" and call.project in ("incoming", "transfers") and not is_of_every_run(call)
        ]
        if len(done) == self._exports:
            raise Killed
        super().take()


def is_poll(call: Call) -> bool:
    """Whether it is the one export by which a run polls transfers for what has changed."""
    return call.by_date and call.content == "record"


def is_of_every_run(call: Call) -> bool:
    """Whether it may be made by any run, whatever there is to do."""
    is_recognition = call.content in ("project", "generateNextRecordName") or call.fields == ("study_instance_uid",)
    return is_poll(call) or is_recognition


class TwoEvents(Project):
    """A project whose exports hold each record twice, as one with two events does."""

    def ordered_records(self, names: Iterable[str] | None = None) -> list[str]:
        return [name for name in super().ordered_records(names) for _ in range(2)]


class SteppingDatabase(Database):
    """A database whose commits are steps."""

    def __init__(self, url: str, steps: Steps) -> None:
        super().__init__(url)
        self._steps = steps

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with super().begin() as connection:
            yield connection
            self._steps.before_commit(connection)
        self._steps.after_commit()


def run_once(
    *,
    database_url: str,
    key_file: Path,
    raw: Path,
    redcap_url: str,
    tokens: dict[str, str],
    clock: SettableClock,
    steps: Steps | None = None,
    batch_rows: int = 500,
    match: str = "prefix",
    time_limit: float = 0.5,
    timeout_seconds: float = 10,
    sender: SenderSection | None = None,
    identity: IdentitySection | None = None,
    rhythm: Rhythm | None = None,
) -> Report:
    """One run of the main job with everything opened anew, as a process of its own would."""
    steps = steps or Steps()
    configuration = Configuration(
        source=SourceSection(raw=raw),
        redcap=RedcapSection(url=redcap_url, batch_rows=batch_rows, tokens=tokens),  # type: ignore[arg-type]
        routing=RoutingSection(match=match, time_limit_seconds=time_limit),  # type: ignore[arg-type]
        identity=identity or IdentitySection(),
    )
    with (
        closing(SteppingDatabase(database_url, steps)) as database,
        Redcap(
            url=redcap_url,
            tokens=tokens,
            rate_limit=steps,
            sleep=lambda _seconds: None,
            timeout_seconds=timeout_seconds,
        ) as redcap,
    ):
        return run_with(
            database, redcap, configuration, key_file=key_file, clock=clock, steps=steps, sender=sender, rhythm=rhythm
        )


def run_with(
    database: SteppingDatabase,
    redcap: Redcap,
    configuration: Configuration,
    *,
    key_file: Path,
    clock: SettableClock,
    steps: Steps,
    sender: SenderSection | None = None,
    rhythm: Rhythm | None = None,
) -> Report:
    """One run of the main job with what is opened already."""
    with database.begin() as connection:
        vault = Vault.open(connection, key_file)
    gateway = Gateway(
        database=database,
        vault=vault,
        site="main",
        clock=clock,
        run=uuid4(),
        zone=ZONE,
        sender=sender,
        raw=configuration.source.raw,
    )
    report = Report()
    gateway.catch_up()
    run = Run(gateway, redcap, configuration, report, steps.announce, rhythm)
    try:
        run.incoming()
    finally:
        report.calls = redcap.calls
    run.count_attention()
    return report


class Site:
    """A gateway under test."""

    def __init__(
        self,
        *,
        folder: Path,
        database_url: str,
        key_file: Path,
        clock: SettableClock,
        simulator: Simulator,
        batch_rows: int = 500,
        match: str = "prefix",
        time_limit: float = 0.5,
        timeout_seconds: float = 10,
    ) -> None:
        self.clock = clock
        self.simulator = simulator
        self.database_url = database_url
        self.key_file = key_file
        self.receiver = Receiver(folder / "raw", clock)
        self.batch_rows = batch_rows
        self.match = match
        self.time_limit = time_limit
        self.timeout_seconds = timeout_seconds
        self.sender: SenderSection | None = None
        self.identity = IdentitySection()
        self.rhythm: Rhythm | None = None
        self._summaries: dict[tuple[str, str], dict[str, Any]] = {}
        self._database = Database(database_url)

    def close(self) -> None:
        self._database.close()

    @property
    def database_name(self) -> str:
        return urlsplit(self.database_url).path.removeprefix("/")

    # -- what arrives -------------------------------------------------------------------------------

    def series(self, study: str, series: str = "", *, age: float = SETTLED, **fields: Any) -> None:
        """Writes a settled summary; `called` and `calling` are the AE titles, the rest are keys of it.

        Without `series`, the study's first. What is given once is kept when the summary is written again.
        """
        series = series or f"{study}.1"
        known = self._summaries.setdefault((study, series), {"PatientID": "PID-1", "PatientName": "Doe^Jane"})
        known.update(fields)
        keys = {key: value for key, value in known.items() if key not in ("called", "calling")}
        connection = {
            "AETitleCalled": known.get("called", "FIONA"),
            "AETitleCaller": known.get("calling", "CT1"),
            "CallerIP": "10.0.0.1",
        }
        self.receiver.summary(study, series, age=age, IncomingConnection=connection, **keys)

    def grow(self, study: str, series: str = "", **fields: Any) -> None:
        """More images of a series arrive, and settle."""
        series = series or f"{study}.1"
        files = int(self._summaries[study, series].get("NumFiles", "1")) + 1
        self.series(study, series, NumFiles=str(files), **fields)

    def vanish(self, study: str) -> None:
        """The study's folder is removed."""
        folder = self.receiver.raw / study
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()

    def come_back(self, study: str) -> None:
        """The study is received again, as it was."""
        for known, series in [key for key in self._summaries if key[0] == study]:
            self.series(known, series)

    # -- what people and the sender do in REDCap -------------------------------------------------------

    @property
    def incoming(self) -> Project:
        return self.simulator.projects["incoming"]

    @property
    def transfer_project(self) -> Project:
        return self.simulator.projects.get("transfers", self.incoming)

    def rule(
        self,
        record: str = "1",
        *,
        project: str = HEART,
        called: str = "FIONA",
        calling: str = "",
        patient_id: str = "",
        patient_name: str = "",
        event: str = "",
        active: bool = True,
    ) -> None:
        """Makes or changes a routing rule."""
        routing = self.simulator.projects["routing"]
        column = routing.dictionary.columns["routing_dest_project"]
        codes = {label: code for code, label in choices(column.field.select_choices_or_calculations).items()}
        row = {
            "record_id": record,
            "routing_active": "1" if active else "0",
            "routing_dest_project": codes[project] if project else "",
            "routing_incoming_aetitle": called,
            "routing_sending_aetitle": calling,
            "routing_allowed_patientid": patient_id,
            "routing_allowed_patientname": patient_name,
            "routing_event_name": event,
        }
        routing.put([row])

    def remove_rule(self, record: str = "1") -> None:
        self.simulator.projects["routing"].delete(record)

    def entry(
        self,
        record: str = "1",
        *,
        accession: str = "",
        study: str = "",
        project: str = HEART,
        subject: str = "H-001",
        event: str = "",
        date: str = "2026-03-01 08:00",
    ) -> None:
        """Makes an entry of the coupling list, or corrects the one of that record id."""
        row = {
            "record_id": record,
            "cl_accessionnumber": accession,
            "cl_studyinstanceuid": study,
            "cl_projectname": project,
            "cl_subjectid": subject,
            "cl_date": date,
            "cl_eventname": event,
        }
        self.simulator.projects["coupling"].put([row])

    def list_project(
        self, name: str = HEART, *, active: str = "", starts: str = "", ends: str = "", record: str = "1"
    ) -> None:
        """Makes or changes an entry of the list of projects, which says whether it is open."""
        row = {
            "record_id": record,
            "project_name": name,
            "project_active": active,
            "project_rec_start_date": starts,
            "project_rec_end_date": ends,
        }
        self.simulator.projects["projects"].put([row])

    def naming(self, pattern: str, *, project: str = HEART, record: str = "1") -> None:
        """Makes or changes an entry of the list of projects, without generated IDs."""
        row = {
            "record_id": record,
            "project_name": project,
            "project_patient_naming": pattern,
            "project_use_autoid": "0",
            "project_active": "1",
        }
        self.simulator.projects["projects"].put([row])

    def repeat_records(self, project: str, *, twice: bool = True) -> None:
        """The project gets a second event, or loses it again."""
        self.simulator.projects[project].__class__ = TwoEvents if twice else Project

    @contextmanager
    def left_out(self, project: str, *records: str) -> Iterator[None]:
        """Meanwhile REDCap leaves these records out of its exports of a list without a word; all, if none is named."""
        stored = self.simulator.projects[project].records
        missing = {record: stored.pop(record) for record in records or [*stored]}
        yield
        stored |= missing

    def remove_entry(self, record: str = "1") -> None:
        self.simulator.projects["coupling"].delete(record)

    def person_requests(
        self, study: str, project: str, name: str, *, event: str = "", instance: int | None = None
    ) -> int:
        """A person asks for a transfer in the next free instance, which is returned."""
        redcap = self.transfer_project
        instance = instance or redcap.record(study).next_instance("transfers")
        row = {
            **_place(study, instance),
            "transfer_requested_date": "2026-03-01 07:30",
            "transfer_project_name": project,
            "transfer_name": name,
            "transfer_event_name": event,
        }
        redcap.put([{key: value for key, value in row.items() if value}])
        return instance

    def sender_sends(self, study: str, instance: int) -> None:
        """The sender has sent the study as that row asked, and notes it there."""
        done = {"transfer_date": "2026-03-02 08:55", "transfer_mapped_uid": f"2.25.{study}"}
        self.transfer_project.put([{**_place(study, instance), **done}])

    def sender_fails(self, study: str, instance: int) -> None:
        """The sender could not pseudonymise the study as that row asked, and notes it there."""
        failed = {"transfer_date": self.clock.now.strftime("%Y-%m-%d %H:%M"), "transfer_error___1": "1"}
        self.transfer_project.put([{**_place(study, instance), **failed}])

    def person_deletes(self, study: str) -> None:
        self.incoming.delete(study)

    def person_deletes_transfer(self, study: str, instance: int) -> None:
        self.transfer_project.delete_instance(study, "transfers", instance)

    def person_deletes_series(self, study: str, instance: int) -> None:
        self.incoming.delete_instance(study, "series", instance)

    # -- running ------------------------------------------------------------------------------------

    def run(self, steps: Steps | None = None, *, after: float = 60) -> Report:
        """A run `after` so many seconds. Raises what ends it; `calls` are those it made.

        What the run before it placed stood there for a minute then, so that the sender cannot have taken it yet.
        """
        self.simulator.calls.clear()
        steps = steps or Steps()
        steps.calls = self.simulator.calls
        return self.run_at(self.simulator.url, steps, after=after)

    def run_at(
        self, url: str, steps: Steps | None = None, *, after: float = 60, tokens: dict[str, str] | None = None
    ) -> Report:
        """A run that looks for REDCap there, with these tokens if any are given."""
        self.clock.advance(after)
        return run_once(
            database_url=self.database_url,
            key_file=self.key_file,
            raw=self.receiver.raw,
            redcap_url=url,
            tokens=tokens or self.tokens,
            clock=self.clock,
            steps=steps,
            batch_rows=self.batch_rows,
            match=self.match,
            time_limit=self.time_limit,
            timeout_seconds=self.timeout_seconds,
            sender=self.sender,
            identity=self.identity,
            rhythm=self.rhythm,
        )

    def run_killed_at(self, step: int, *, after: float = 60, steps: type[Steps] = Steps) -> bool:
        """A run killed at that step; False where it has not so many and came to its end."""
        try:
            self.run(steps(fatal=step), after=after)
        except Killed:
            return True
        return False

    def run_killed_before_import(self, *, exports: int = 1, after: float = 60) -> None:
        """A run killed before it writes to REDCap, all being recorded that precedes it."""
        with contextlib.suppress(Killed):
            self.run(_KilledBeforeImport(self.simulator, exports), after=after)
            raise AssertionError("expected the run to write something")

    @property
    def tokens(self) -> dict[str, str]:
        return {name: project.token for name, project in self.simulator.projects.items()}

    @property
    def calls(self) -> list[Call]:
        """The calls of the last run."""
        return self.simulator.calls

    @property
    def calls_about_studies(self) -> list[Call]:
        """The calls of the last run to Incoming, but for its poll of transfers, and whether REDCap is the known one."""
        return [call for call in self.simulator.calls if call.project == "incoming" and not is_of_every_run(call)]

    # -- what came of it ----------------------------------------------------------------------------

    def study_row(self, study: str) -> dict[str, str]:
        """The study's own row, its blank fields left out."""
        return dict(self.incoming.records[study].base)

    def series_rows(self, study: str) -> dict[int, dict[str, str]]:
        """The study's series by instance, blank fields left out."""
        return _copied(self.incoming.records[study].instances.get("series", {}))

    def transfer_rows(self, study: str) -> dict[int, dict[str, str]]:
        """The study's transfers by instance, blank fields left out."""
        record = self.transfer_project.records.get(study)
        return _copied(record.instances.get("transfers", {})) if record is not None else {}

    def transfers(self, study: str) -> dict[int, Asked]:
        """What is asked for the study, by instance."""
        return {
            instance: Asked(
                row.get("transfer_project_name", ""),
                row.get("transfer_name", ""),
                row.get("transfer_event_name", ""),
                sent="transfer_date" in row,
            )
            for instance, row in self.transfer_rows(study).items()
        }

    def attention(self) -> Counter[str]:
        """What a person must look at, by kind."""
        return Counter(row[0] for row in self.query("select kind from audit.attention"))

    def notices(self) -> list[tuple[str, str]]:
        """What has to be acknowledged: kind and study."""
        return [(row[0], row[1]) for row in self.query("select kind, study from gateway.notice order by position")]

    def events(self, type_: str) -> list[dict[str, Any]]:
        """The data of all events of a type."""
        with self._database.begin() as connection:
            return [event.data for event in store.read(connection, types=[type_])]

    def head(self) -> int:
        """The number of events."""
        return int(self.query("select position from ledger.head")[0][0])

    def states(self, study: str) -> list[str]:
        """The states of our requests for a study, oldest first."""
        rows = self.query("select state from gateway.transfer where study = :study order by position", study=study)
        return [row[0] for row in rows]

    def query(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self._database.begin() as connection:
            return [tuple(row) for row in connection.execute(text(statement), parameters)]

    # -- what must always hold ------------------------------------------------------------------------

    def assert_sound(self) -> None:
        """The hash chain verifies, projections rebuilt are those kept, and a past day is told as they were."""
        assert self.broken_links() == []
        self.assert_past_is_told_alike()
        live = self.projections()
        self.rebuild()
        assert self.projections() == live

    def assert_past_is_told_alike(self) -> None:
        """What is told of a study on a past day, told of all that has happened, is how it stands."""
        # What contradicts the tables is not in them.
        studies = [
            study
            for (study,) in self.query("""
                select study from gateway.study
                 where not exists (select from ledger.set_apart join ledger.event using (position)
                                    where stream = 'study/' || study and mended_position is null)
                 order by study
            """)
        ]
        with self.own_gateway().begin() as work:
            for known in gather(work, studies, FROM_THE_BEGINNING, with_identities=False):
                past = stood(store.read_stream(work.connection, study_stream(known.study)))
                assert list(past.requests.values()) == endings(work, known.study)
                assert past.conflicts == known.conflicts
                holds = {key: hold._replace(pseudonym=None, name_fingerprint=None) for key, hold in known.holds.items()}
                assert past.holds == holds
                assert past.late == known.failed_rules
                assert past.by_hand == {Key(project, event_name or "") for project, event_name in known.by_hand}
                assert past.on_disk == known.on_disk
                assert tuple(past.patients) == (known.held or ())
                held = work.execute(text("select project, reason from gateway.held_study where study = :study"),
                                    {"study": known.study}).one_or_none()  # fmt: skip
                assert past.held == held

    def broken_links(self) -> list[int]:
        """The positions of events whose hash does not follow from the one before."""
        previous, broken = chain.GENESIS, []
        for row in self.query(_LINKS):
            *columns, hash_ = row
            names = ("position", "event_id", "site", "stream", "version", "type", "schema_version", "data",
                     "subject", "sealed", "recorded_at", "run")  # fmt: skip
            values = dict(zip(names, columns, strict=True))
            if expected_hash(previous, **values) != hash_:
                broken.append(values["position"])
            previous = hash_
        return broken

    def projections(self) -> dict[str, list[str]]:
        """Every row of every projected table, as text."""
        tables = [table for projection in PROJECTIONS for table in projection.tables]
        found: dict[str, list[str]] = {table: [] for table in tables}
        each = (f"select '{table}', t::text from {table} as t" for table in tables)
        for table, row in sorted(self.query(" union all ".join(each))):
            found[table].append(row)
        return found

    def own_gateway(self) -> Gateway:
        """The ledger as a run of the site would use it."""
        with self._database.begin() as connection:
            vault = Vault.open(connection, self.key_file)
        return Gateway(database=self._database, vault=vault, site="main", clock=self.clock, run=uuid4(), zone=ZONE)

    def rebuild(self) -> None:
        gateway = self.own_gateway()
        gateway._projector.rebuild(self._database.begin, *(projection.name for projection in PROJECTIONS))

    def everything_stored(self) -> str:
        """All columns of all tables of the ledger and the gateway, as text, bytes also as what they spell."""
        tables = self.query("""
            select table_schema || '.' || table_name from information_schema.tables
             where table_schema in ('ledger', 'gateway') and table_type = 'BASE TABLE'
        """)
        rows = self.query(" union all ".join(f"select t::text from {table} as t" for (table,) in tables))
        stored = [row[0] for row in rows]
        spelt = [bytes(row[0]).decode("latin-1") for row in self.query("select sealed from ledger.event") if row[0]]
        return "\n".join(stored + spelt)


_LINKS = """
    select position, event_id, site, stream, version, type, schema_version, data::text, subject, sealed,
           recorded_at, run, hash
      from ledger.event order by position
"""


def without_minutes(rows: dict[int, dict[str, str]]) -> dict[int, dict[str, str]]:
    """Rows without what depends on the minute of the run."""
    return {
        instance: {name: value for name, value in row.items() if name != "transfer_requested_date"}
        for instance, row in rows.items()
    }


def simulator_of(projects: dict[str, Project], clock: SettableClock) -> Simulator:
    """A simulator that goes by the test's clock."""
    simulator = Simulator(projects)
    simulator.settings = replace(simulator.settings, clock=clock)
    return simulator


def standard_simulator(
    clock: SettableClock, *, separate_transfers: bool = False, with_withdrawals: bool = False
) -> Simulator:
    projects = standard_projects(separate_transfers=separate_transfers, with_withdrawals=with_withdrawals)
    return simulator_of(projects, clock)


def _place(study: str, instance: int) -> dict[str, str]:
    return {
        "study_instance_uid": study,
        "redcap_repeat_instrument": "transfers",
        "redcap_repeat_instance": str(instance),
    }


def _copied(instances: dict[int, dict[str, str]]) -> dict[int, dict[str, str]]:
    return {number: dict(values) for number, values in sorted(instances.items())}
