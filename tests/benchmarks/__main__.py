"""All benchmarks, one table: `make bench`, or `python -m tests.benchmarks NAME ...` for some.

Each module `bench_*.py` beside this one has a function `run` that measures and returns rows. The rows
are also written as JSON to the file that BENCH_JSON names.
"""

import importlib
import os
import sys
from pathlib import Path

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.benchmarks.rows import Row


def main() -> None:
    """Runs the benchmarks and prints what they say."""
    wanted = sys.argv[1:]
    names = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    rows: list[Row] = []
    for name in names:
        if not wanted or name.removeprefix("bench_") in wanted:
            rows.extend(importlib.import_module(f"tests.benchmarks.{name}").run())
    table = Table(*Row._fields)
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
    if os.environ.get("BENCH_JSON"):
        Path(os.environ["BENCH_JSON"]).write_bytes(orjson.dumps([row._asdict() for row in rows]))


if __name__ == "__main__":
    main()
