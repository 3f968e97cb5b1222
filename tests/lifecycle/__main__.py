"""Any number of histories: `python -m tests.lifecycle HISTORIES SEED`, with figures at the end (`make soak`).

They are lived in portions, so that one violation does not end the soak. Each is shrunk and told as a story.
"""

import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.database import open_database
from ledger.migrations import migrate
from ledger.vault import initialise
from tests.conftest import a_server
from tests.lifecycle.ground import Ground
from tests.lifecycle.histories import live_through
from tests.lifecycle.invariants import Violation

PORTION = 25
FIGURES = ("histories", "steps", "runs", "kills", "sender actions", "violations")


@contextmanager
def prepared(folder: Path) -> Iterator[tuple[Ground, Path]]:
    """A ground on a server of its own, and the key file of its vault."""
    key_file = folder / "vault.key"
    with a_server() as server, server.fresh() as name:
        database = open_database(server.url_of(name), folder)
        migrate(database)
        with database.begin() as connection:
            initialise(connection, key_file)
        database.close()
        ground = Ground(server.url_of(name))
        yield ground, key_file
        ground.close()


def main(histories_wanted: int, first_seed: int) -> int:
    """Lives through them; 1 where there was a violation."""
    figures: Counter[str] = Counter()
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="fiona-soak-"))
    try:
        with prepared(folder) as (ground, key_file):
            for at, done in enumerate(range(0, histories_wanted, PORTION), start=first_seed):
                try:
                    number = min(PORTION, histories_wanted - done)
                    live_through(ground, key_file, folder, number=number, first_seed=at, figures=figures)
                except Violation as violation:
                    figures["violations"] += 1
                    _say(f"\nA violation, found with seed {at}:\n{violation}\n")
                counted = ", ".join(f"{figures[name]} {name}" for name in FIGURES)
                _say(f"{time.monotonic() - began:6.0f} s: {counted}")
    finally:
        shutil.rmtree(folder)
    return 1 if figures["violations"] else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
