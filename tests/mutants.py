"""Do the tests notice it when the code that decides does something else? `make mutants` changes it, a bit at a time.

mutmut makes the mutants (`[tool.mutmut]` in pyproject.toml says of what, and which tests are to kill them); this
gives all of them one PostgreSQL, because a server for each would take most of the time.
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.conftest import TEST_URL, a_server

MUTMUT = Path(sys.executable).with_name("mutmut")
WANTED = 0.95


def main() -> int:
    """Prints the survivors and how many were killed; 1 where too few were."""
    with a_server() as server:
        # Its progress is one line that is written over a thousand times.
        subprocess.run(
            [MUTMUT, "run", *sys.argv[1:]],
            env=os.environ | {TEST_URL: server.url},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    listed = subprocess.run([MUTMUT, "results", "--all", "true"], capture_output=True, text=True, check=True).stdout
    fates = dict(line.strip().rsplit(": ", 1) for line in listed.splitlines() if ": " in line)
    counted = Counter(fates.values())
    killed = counted["killed"] + counted["timeout"]
    tried = killed + counted["survived"] + counted["no tests"]
    for name, fate in sorted(fates.items()):
        if fate not in ("killed", "timeout", "not checked"):
            print(f"{fate}: {name}")  # noqa: T201
    print(f"{killed} of {tried} mutants killed ({killed / max(tried, 1):.1%}); {counted['not checked']} not tried.")  # noqa: T201
    return int(killed < WANTED * tried)


if __name__ == "__main__":
    sys.exit(main())
