"""How fast the audit's views answer over a large ledger, with the plans by which they do.

A made-up history of three years is appended by the store and projected by the projector, as a run would.
Each view is then asked for one study, for one day, for its newest rows, and for how many it has in all.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import Connection, text

from ledger.projector import Projector
from ledger.store import Store
from processors.events.deliveries import RowAccepted, RowRefused, StudyDelivered
from processors.events.fact import Cause, Fact
from processors.events.pseudonyms import AutoidProjectChanged, IdGenerated, StudyHeld, StudyReleased
from processors.events.rules import ConflictFound, ConflictResolved, RoutingRuleDoubted, RoutingRuleReturned
from processors.events.series import FileRejected, RejectionResolved
from processors.events.transfers import TransferAmended, TransferPlaced
from processors.projections import PROJECTIONS
from tests.benchmarks.rows import Row, at_most, row
from tests.conftest import SettableClock
from tests.facts import a_request, a_rule, a_series, an_entry, in_plain, revised

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ledger.database import Database
    from ledger.events import NewEvent

DAYS = 1_000
BATCHES_A_DAY = 4
REPETITIONS = 5
LIMITS_MS = {"one study": 50, "one day": 100, "newest": 5_000, "count": 5_000}
"""The issue sets the first; the others are for a person who waits."""

_KEPT: dict[str, Any] = {
    "StudyDescription": "MR Caput",
    "StudyDate": "20260302",
    "StudyTime": "101010",
    "InstitutionName": "University hospital",
    "SeriesDescription": "t1_mprage_sag_p2_iso",
    "SeriesDate": "20260302",
    "SeriesTime": "101011",
    "SequenceName": "*tfl3d1_16ns",
    "NumFiles": 176,
    "ClassifyType": ("T1", "sagittal"),
    "fingerprint": "0" * 64,
}


class Timing(NamedTuple):
    """One question to one view: its plan's root lines, and the median of its times in milliseconds."""

    view: str
    question: str
    milliseconds: float
    rows: int
    plan: str


class History:
    """Events of studies that arrive, grow, are requested and delivered, with problems here and there."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._position = 0
        self._number = 0

    def _event(self, fact: Fact, subject: UUID | None = None) -> NewEvent:
        self._position += 1
        return in_plain(fact, subject=subject)

    def events(self) -> Iterator[NewEvent]:
        """Without an end."""
        for record in range(1, 21):
            yield self._event(a_rule(str(record), f"P{record}", patient_id_pattern="X[0-9]+"))
        while True:
            self._number += 1
            if self._number % 4 == 1:
                yield from self._directives()
            yield from self._study(f"1.2.826.0.1.3680043.8.498.{self._chance.randrange(10**24)}.{self._number}")

    def _directives(self) -> Iterator[NewEvent]:
        """A rule and a project are changed."""
        record = str(self._chance.randint(1, 20))
        yield self._event(a_rule(record, f"P{record}", patient_id_pattern=f"X[0-9]{{{self._number}}}"))
        project: dict[str, Any] = {"record_id": record, "project": f"P{record}", "pattern": f"P{record}_[0-9]+"}
        yield self._event(
            AutoidProjectChanged(**project, aetitle="", wanted=False, problems=(), fingerprint=str(self._number))
        )

    def _study(self, study: str) -> Iterator[NewEvent]:
        uids = [f"{study}.{number}" for number in range(self._chance.randint(1, 9))]
        first = self._position + 1
        scanner, accession = f"CT{self._number % 9}", str(self._number)
        arrived = [a_series(study, uid, AccessionNumber=accession, AETitleCaller=scanner, **_KEPT) for uid in uids]
        yield from map(self._event, arrived)
        yield from map(self._event, map(revised, arrived))
        placed = {uid: {"instance": n, "position": first + n} for n, uid in enumerate(uids)}
        yield self._event(StudyDelivered(study=study, row=first, series=placed))
        if self._chance.random() < 0.8:
            yield from self._requests(study)
        if self._chance.random() < 0.1:
            yield from self._problems(study)

    def _requests(self, study: str) -> Iterator[NewEvent]:
        record = self._chance.randint(1, 20)
        yield self._event(an_entry(str(self._number), f"P{record}", study=study))
        requested = a_request(study, f"P{record}", Cause("rule", str(record), record))
        yield self._event(requested)
        old = self._position
        yield self._event(TransferPlaced(study=study, request=old, instance=1, found=False))
        if self._chance.random() < 0.1:
            yield self._event(replace(requested, replaces=(old,)))
            yield self._event(TransferAmended(study=study, request=self._position, instance=1, replaced=old))

    def _problems(self, study: str) -> Iterator[NewEvent]:
        conflict: dict[str, Any] = {"study": study, "project": "P1", "event_name": ""}
        yield self._event(ConflictFound(**conflict, kind="equals", causes=(Cause("rule", "1", 1),)))
        yield self._event(ConflictResolved(**conflict))
        held = {"study": study, "project": "P2", "reason": "no PatientID"}
        yield self._event(StudyHeld(**held))
        yield self._event(StudyReleased(**held))
        yield self._event(RoutingRuleDoubted(record_id="1"))
        yield self._event(RoutingRuleReturned(record_id="1"))
        row: dict[str, Any] = {"study": study, "kind": "study", "key": ""}
        yield self._event(RowRefused(**row, row_position=1, field="study_date", message="not a date"))
        yield self._event(RowAccepted(**row))
        path = f"{study}/{study}.0.json"
        yield self._event(FileRejected(path=path, reason="an empty file", digest="d"))
        yield self._event(RejectionResolved(path=path, how="readable"))
        drawn = IdGenerated(
            project="P2",
            fingerprint=f"{self._number:032}",
            name_fingerprint=f"{self._number:032}",
            pattern="P2_[0-9]+",
            project_position=1,
        )
        yield self._event(drawn, UUID(int=self._number))


def fill(database: Database, events: int, *, days: int = DAYS) -> None:
    """Appends so many events, spread over so many days from the beginning of 2023, and projects them."""
    clock = SettableClock()
    clock.now = datetime(2023, 1, 1, tzinfo=UTC)
    store = Store(site="main", run=UUID(int=1), clock=clock)
    history = History(Random(1)).events()
    portion = max(1, events // (days * BATCHES_A_DAY))
    appended = 0
    while appended < events:
        batch = list(islice(history, min(portion, events - appended)))
        with database.begin() as connection:
            store.append(connection, batch)
        appended += len(batch)
        clock.now += timedelta(days=1) / BATCHES_A_DAY
    Projector(PROJECTIONS).catch_up(database.begin)
    vacuum(database)


def vacuum(database: Database) -> None:
    """Does what autovacuum does in time; no transaction may stand around it."""
    with closing(database.engine.raw_connection()) as connection:
        connection.cursor().execute("vacuum analyze")


def add_runs(database: Database) -> None:
    """As many as are kept where a run is started every ten minutes and each records something. None has a code."""
    with database.begin() as connection:
        connection.execute(
            text("""
                insert into gateway.run (run, site, command, started_at, finished_at, exit_code, changed, summary)
                select case when number = 1 then cast(:run as uuid) else gen_random_uuid() end, 'main', 'run',
                       last - number * interval '10 minutes', last, 0, true, '{"events": 1, "calls": 1}'
                  from (select max(recorded_at) as last from ledger.event) as told,
                       generate_series(1, 144 * 1000) as number
            """),
            {"run": UUID(int=1)},
        )
    vacuum(database)


TIMES = {
    "event": "recorded_at",
    "study": "arrived_at",
    "transfer": "requested_at",
    "generated_id": "drawn_at",
    "rule": "valid_from",
    "coupling_entry": "valid_from",
    "project": "valid_from",
    "rule_hit": "day",
    "rejected_file": "rejected_at",
    "held_study": "held_at",
    "doubt": "doubted_at",
    "conflict": "found_at",
    "refused_row": "refused_at",
    "run": "started_at",
    "daily_volume": "day",
}
"""The column of each view by which a day is asked for."""
OF_STUDIES = (
    "event", "study", "transfer", "coupling_entry", "rejected_file", "held_study", "conflict", "refused_row",
    "attention",
)  # fmt: skip


def questions() -> Iterator[tuple[str, str, str]]:
    """View, question, and the SQL that asks it."""
    for view in OF_STUDIES:
        yield view, "one study", f"select * from audit.{view} where study = :study"
    for view, column in TIMES.items():
        condition = f"{column} = :day" if column == "day" else f"{column} >= :day and {column} < cast(:day as date) + 1"
        yield view, "one day", f"select * from audit.{view} where {condition}"
    for view, column in TIMES.items():
        # As `fiona-ledger audit` asks without options.
        newest = f"{column} desc" if column == "day" or view in ("study", "run") else "position desc"
        yield view, "newest", f"select * from audit.{view} order by {newest} limit 101"
    for view in (*TIMES, "attention"):
        yield view, "count", f"select count(*) from audit.{view}"


# A study with something of everything, and its day, from the middle of the history.
_TROUBLED = text("""
    select data ->> 'study', recorded_at::date from ledger.event
     where type = 'RowRefused'
       and position > (select position / 2 from ledger.head)
       and exists (select from gateway.transfer where transfer.study = event.data ->> 'study')
     order by position limit 1
""")


def measure(connection: Connection) -> Iterator[Timing]:
    """Asks everything of the database, several times each."""
    study, day = connection.execute(_TROUBLED).one()
    for view, question, sql in questions():
        # As a person types it, with values in it.
        statement = text(sql.replace(":study", f"'{study}'").replace(":day", f"date '{day}'"))
        times = []
        rows: Sequence[Any] = ()
        for _ in range(REPETITIONS):
            begun = perf_counter()
            rows = connection.execute(statement).all()
            times.append(perf_counter() - begun)
        plan = connection.execute(text(f"explain (costs off) {statement.text}")).scalars()
        yield Timing(view, question, 1000 * median(times), len(rows), "\n".join(plan))


def rows(timings: Sequence[Timing], events: int) -> list[Row]:
    """The slowest answer of each kind of question, in the table; every view's own is printed with its plan."""
    for timing in timings:
        plan = timing.plan.replace("\n", "\n    ")
        print(f"audit.{timing.view}, {timing.question}: {timing.milliseconds:.1f} ms\n    {plan}")  # noqa: T201
    found = []
    for question, limit in LIMITS_MS.items():
        slowest = max((t for t in timings if t.question == question), key=lambda timing: timing.milliseconds)
        what = f"audit views, {question}, {events:,} events; slowest: audit.{slowest.view}"
        found.append(row(what, [slowest.milliseconds], "ms", "limit", limit, at_most(1)))
    return found
