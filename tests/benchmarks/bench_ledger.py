"""A large ledger: its chain verified, its projections rebuilt, its audit views asked.

A made-up history of three years, appended by the store and projected as a run would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from ledger.attestation import attest
from ledger.projector import BATCH
from ledger.store import Store
from ledger.vault import Vault
from processors.events.operations import SubjectForgotten
from tests.benchmarks import bench_audit
from tests.benchmarks.processes import PROGRAM, Took, taken
from tests.benchmarks.rows import REPETITIONS, Row, at_least, at_most, row, sized
from tests.benchmarks.site import running_server, site
from tests.conftest import SettableClock
from tests.facts import in_plain

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.site import Site
    from tests.conftest import Server

EVENTS = sized(1_000_000, least=50_000)
FEW = max(EVENTS // 10, 3 * BATCH)
"""A tenth; but more than the two batches that a rebuild holds at a time."""
REBUILD_MIB = 300
VERIFIED_A_SECOND = 60_000
REBUILT_A_SECOND = 60_000


def run() -> list[Row]:
    """What was measured."""
    with running_server() as (server, folder):
        few = _rebuilt_few(server, folder)
        with site(server, folder, raw=folder) as large:
            bench_audit.fill(large.database, EVENTS)
            _bury_subjects(large)
            verified = [_command(large, "verify") for _ in range(REPETITIONS)]
            rebuilt = [_command(large, "rebuild") for _ in range(REPETITIONS)]
            bench_audit.add_runs(large.database)
            with large.database.begin() as connection:
                timings = list(bench_audit.measure(connection))
    return [
        row(f"verify, {EVENTS:,} events", _rates(verified), "events/s", "goal", VERIFIED_A_SECOND, at_least(1)),
        row(
            f"rebuild of all projections, {EVENTS:,} events",
            _rates(rebuilt),
            "events/s",
            "goal",
            REBUILT_A_SECOND,
            at_least(1),
        ),
        row("its peak memory", [t.peak_mib for t in rebuilt], "MiB", "limit", REBUILD_MIB, at_most(1)),
        row("its peak memory", [t.peak_mib for t in rebuilt], "MiB", f"of {FEW:,}", [few.peak_mib], at_most(1.2)),
        *bench_audit.rows(timings, EVENTS),
    ]


def _rebuilt_few(server: Server, folder: Path) -> Took:
    with site(server, folder, raw=folder) as small:
        bench_audit.fill(small.database, FEW)
        return _command(small, "rebuild")


def _bury_subjects(on: Site) -> None:
    """The made-up events belong to subjects that nobody made: as if they had been forgotten, which verifies."""
    with on.database.begin() as connection:
        subjects = (
            connection.exec_driver_sql(
                "insert into ledger.subject (subject, kind, scope)"
                " select distinct subject, 'patient', '' from ledger.event where subject is not null returning subject"
            )
            .scalars()
            .all()
        )
        forgotten = SubjectForgotten(
            what="patient",
            name="",
            by="benchmark",
            reason="nobody made their keys",
            subjects={"patient": sorted(map(str, subjects))},
            studies=0,
        )
        Store(site="main", run=UUID(int=1), clock=SettableClock()).append(connection, [in_plain(forgotten)])
        attest(connection, Vault.open(connection, on.key_file), forgotten=len(subjects))


def _command(on: Site, name: str) -> Took:
    return taken(PROGRAM, "--config", str(on.config), name, "--json")


def _rates(took: list[Took]) -> list[float]:
    return [EVENTS / process.seconds for process in took]
