"""A run in which nothing has changed, from its start to its exit, against `find` over the same tree."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ledger.batching import batches
from ledger.projector import BATCH
from processors.events.deliveries import StudyDelivered
from processors.source.discover import discover
from tests.benchmarks import resident, tree
from tests.benchmarks.processes import Took, taken
from tests.benchmarks.rows import Row, at_most, in_turn, row, sized
from tests.benchmarks.site import Site, redcap, running_server, site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from processors.gateway import Gateway
    from tests.conftest import Server

SERIES = 100_000
MANY = sized(1_000_000, least=2 * SERIES)
CALLS = 5
CPU_SECONDS = 0.45
ROUND_CPU_SECONDS = 0.12
MEMORY_MIB = 250
EMBEDDED_DATABASE = "postgres"


def run() -> list[Row]:
    """What was measured."""
    with running_server() as (server, folder):
        with _settled(server, folder, SERIES, database_name=EMBEDDED_DATABASE) as usual:
            taken_each: list[Took] = []
            embedded = usual.embedded()
            find, ours, staying = in_turn(
                lambda: _find(usual.raw), lambda: _seconds(usual, taken_each), lambda: embedded.run().seconds
            )
            told = usual.run().data
            stayed = resident.measured(usual, folder)
        with _settled(server, folder, MANY) as large:
            many = [large.run() for _ in ours]
    what = f"idle run, {SERIES:,} series, whole process"
    more = f"idle run, {MANY:,} series"
    times = MANY / SERIES
    return [
        row(what, ours, "s", "find -printf", find, at_most(2)),
        row(f"{what}, with an embedded PostgreSQL that stays", staying, "s", "find -printf", find, at_most(3)),
        row(f"{what}: CPU", [t.cpu_seconds for t in taken_each], "s", "limit", CPU_SECONDS, at_most(1)),
        row(f"{what}: calls to REDCap", [told["calls"]], "calls", "limit", CALLS, at_most(1)),
        row(f"{what}: summaries opened", [told["discovery"]["read"]], "files", "limit", 1, at_most(0)),
        row(f"{more}, whole process", [t.seconds for t in many], "s", f"of {SERIES:,}", ours, at_most(times)),
        row(f"{more}: peak memory", [t.peak_mib for t in many], "MiB", "limit", MEMORY_MIB, at_most(1)),
        row(
            f"idle round of one that stays, {SERIES:,} series: CPU, with PostgreSQL's",
            [stayed.cpu_seconds],
            "s",
            "limit",
            ROUND_CPU_SECONDS,
            at_most(1),
        ),
        row(
            f"memory of one that stays, after {stayed.rounds} more rounds",
            [stayed.mib],
            "MiB",
            "before them",
            stayed.mib_before,
            at_most(1.05),
        ),
    ]


def _seconds(site: Site, taken_each: list[Took]) -> float:
    taken_each.append(site.run())
    return taken_each[-1].seconds


def _find(raw: Path) -> float:
    return taken("find", str(raw), "-name", "*.json", "-printf", "%T@ %s\n").seconds


@contextmanager
def _settled(server: Server, folder: Path, series: int, *, database_name: str | None = None) -> Iterator[Site]:
    """A site for which everything on disk has been recorded, decided upon and delivered."""
    raw = folder / f"raw-{series}"
    tree.lay_out(raw, series)
    with redcap() as simulator, site(server, folder, raw=raw, redcap=simulator, database_name=database_name) as made:
        gateway = made.gateway()
        gateway.catch_up()
        discover(gateway, raw=raw, settle_seconds=60)
        _deliver(gateway)
        made.recognise()  # or runs would look for studies that were never written
        # The first decides about them; of those that are requested, later ones find that REDCap has no record.
        while made.run().data["events"]:
            pass
        yield made


def _deliver(gateway: Gateway) -> None:
    """Records that REDCap holds all of it, without the HTTP that takes longest: an idle run does not ask."""
    with gateway.begin() as work:
        rows = work.connection.exec_driver_sql(
            "select study, series, position from gateway.series order by position"
        ).all()
    placed: dict[str, dict[str, dict[str, int]]] = {}
    for study, series, position in rows:
        of_study = placed.setdefault(study, {})
        of_study[series] = {"instance": len(of_study) + 1, "position": position}
    for studies in batches(placed.items(), BATCH):
        with gateway.begin() as work:
            work.record([_delivered(study, series) for study, series in studies])


def _delivered(study: str, series: dict[str, dict[str, int]]) -> StudyDelivered:
    return StudyDelivered(study=study, row=min(told["position"] for told in series.values()), series=series)
