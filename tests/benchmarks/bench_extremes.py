"""Single items of a size that none should have, and a project that takes nothing: what they cost."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import orjson

from tests.benchmarks import tree
from tests.benchmarks.rows import Row, at_most, row, sized
from tests.benchmarks.site import Site, redcap, running_server, site

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Server

SERIES = sized(5_000, least=2_000)
FILES = sized(50_000, least=5_000)
LONG = 65_536
USUAL = 800
SECONDS_EACH = 0.02
"""For reading, recording and writing one series, HTTP included."""
MEMORY_MIB = 400
REFUSED = sized(45_000, least=4_500)
"""Rows of a first run: each study's and those of its series."""

CALLS = 35
"""Of a first run into a project that is not set up, however many rows wait for it."""


def run() -> list[Row]:
    """What was measured."""
    with running_server() as (server, folder):
        rows: list[Row] = []
        for name, what, number in (
            ("series", f"a study of {SERIES:,} series, whole run", SERIES),
            ("files", f"{FILES:,} files in one folder, whole run", FILES),
            ("long", f"a study whose texts have {LONG:,} characters, whole run", 1),
        ):
            raw = folder / f"raw-{name}"
            tree.lay_out(raw, USUAL)
            with redcap() as simulator, site(server, folder, raw=raw, redcap=simulator) as made:
                made.run()
                _LAY_OUT[name](raw)
                rows += _measured(made, what, number)
        return rows + _refused(server, folder)


def _refused(server: Server, folder: Path) -> list[Row]:
    """A first run into a project that takes no rows at all."""
    raw = folder / "raw-refused"
    series = REFUSED * tree.SERIES_A_STUDY // (tree.SERIES_A_STUDY + 1)
    tree.lay_out(raw, series)
    with redcap(status="analysis") as closed, site(server, folder, raw=raw, redcap=closed) as made:
        took = made.run()
        with made.database.begin() as connection:
            told = connection.exec_driver_sql(
                "select count(*) from ledger.event where type like '%%Refused'"
            ).scalar_one()
    what = f"first run, {REFUSED:,} rows into a project that is not set up"
    return [
        row(what, [took.seconds], "s", "limit", 3 + series * SECONDS_EACH, at_most(1)),
        row(f"{what}: calls", [took.data["calls"]], "calls", "limit", CALLS, at_most(1)),
        row(f"{what}: events that tell of it", [told], "events", "limit", 1, at_most(1)),
    ]


def _measured(made: Site, what: str, number: int) -> list[Row]:
    took = made.run()
    limit = 3 + number * SECONDS_EACH
    return [
        row(what, [took.seconds], "s", "limit", limit, at_most(1)),
        row(f"{what}: peak memory", [took.peak_mib], "MiB", "limit", MEMORY_MIB, at_most(1)),
    ]


def _study(raw: Path, names: int, **values: str) -> None:
    """One study of so many series, settled."""
    then = time.time() - 3_600
    folder = raw / "9.9.9"
    folder.mkdir()
    for number in range(names):
        document = {"StudyInstanceUID": "9.9.9", "SeriesInstanceUID": f"9.9.9.{number}", "PatientID": "P"} | values
        file = folder / f"9.9.9.{number}.json"
        file.write_bytes(orjson.dumps(document))
        os.utime(file, (then, then))
    os.utime(folder, (then, then))


_LAY_OUT = {
    "series": lambda raw: _study(raw, SERIES),
    "files": lambda raw: _study(raw, FILES),
    "long": lambda raw: _study(raw, 1, StudyDescription="x" * LONG, SeriesDescription="\U0001f9e0" * LONG),
}
