"""An idle run on a ledger of ten years, against the same one at the end of its first: it must cost the same.

Ten years of a large hospital: two million runs that changed something (of which a year's have rows of their own),
780,000 coupling entries made and removed, a million studies sent.
"""

from __future__ import annotations

from statistics import median

from processors.run import RUNS_KEPT
from tests.benchmarks import tree
from tests.benchmarks.rows import Row, at_most, row, sized
from tests.benchmarks.site import redcap, running_server, site
from tests.benchmarks.years import age

SERIES = 800
YEARS = 10
STUDIES = sized(100_000, least=1_000)
ENTRIES = sized(78_000, least=1_000)
RUNS = sized(200_000, least=1_000)
"""All of one year."""

TIMES = 1.3
_ATTEMPTS = 7


def run() -> list[Row]:
    """What was measured."""
    with running_server() as (server, folder), redcap() as simulator:
        raw = folder / "raw-years"
        tree.lay_out(raw, SERIES)
        with site(server, folder, raw=raw, redcap=simulator) as made:
            made.run()
            seconds = {}
            for years in (1, YEARS):
                number = 1 if years == 1 else YEARS - 1
                with made.database.begin() as connection:
                    age(
                        connection,
                        studies=number * STUDIES,
                        entries=number * ENTRIES,
                        runs=min(number * RUNS, RUNS_KEPT.days * 24 * 60) if years == 1 else 0,
                        called="FIONA",
                        project="TEACHING",
                        first=0 if years == 1 else STUDIES + ENTRIES,
                    )
                seconds[years] = [made.run().seconds for _ in range(_ATTEMPTS)]
    what = f"idle run on a ledger of {YEARS} years, whole process"
    return [row(what, seconds[YEARS], "s", "of its first year", [median(seconds[1])], at_most(TIMES))]
