"""All benchmarks, one table: `make bench`, or `python -m tests.benchmarks NAME ...` for some.

Each module `bench_*.py` beside this one that has a function `run` measures and returns rows. They are also
written as JSON, to the file that BENCH_JSON names. BENCH_SCALE says how large: 1 is the sizes of the goals.
"""

import importlib
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from processors.cli import collector
from tests.benchmarks.rows import SCALE, Row

RESULT = Path(os.environ.get("BENCH_JSON", "bench.json"))
_WIDE = 220


def main() -> None:
    """Runs the benchmarks and prints what they say."""
    collector.relax()  # as the program does: parts of it are measured in this process
    wanted = sys.argv[1:]
    rows: list[Row] = []
    for name, module in _benchmarks():
        if not wanted or name in wanted:
            begun = perf_counter()
            rows.extend(module.run())
            print(f"{name}: measured in {perf_counter() - begun:.0f} s", file=sys.stderr)  # noqa: T201
    _print(rows)
    RESULT.write_bytes(orjson.dumps({"scale": SCALE, "rows": [row._asdict() for row in rows]}))


def _benchmarks() -> list[tuple[str, Any]]:
    names = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    modules = [(name.removeprefix("bench_"), importlib.import_module(f"tests.benchmarks.{name}")) for name in names]
    return [(name, module) for name, module in modules if hasattr(module, "run")]


def _print(rows: list[Row]) -> None:
    """Prints the table as docs/performance.md holds it."""
    table = Table(*Row._fields, box=box.MARKDOWN)
    for row in rows:
        table.add_row(*map(escape, row))
    Console(width=_WIDE).print(table)


if __name__ == "__main__":
    main()
