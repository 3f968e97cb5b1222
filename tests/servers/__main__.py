"""`make test-servers`: the tests of the ledger and the audit on each PostgreSQL that is installed, and which are not.

15 comes from the system's packages, 16 and 18 from the extra `embedded`; others where somebody has installed them.
"""

import os
import subprocess
import sys

from tests.conftest import TEST_URL
from tests.servers.cluster import INSTALLED, cluster

_SUPPORTED = range(15, 19)
_EVERYWHERE = ["tests/ledger", "tests/audit"]
_PYTEST = [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "worksteal"]


def main() -> int:
    """The number of versions that failed."""
    failed = []
    for programs in INSTALLED:
        print(f"PostgreSQL {programs}", flush=True)  # noqa: T201 - a report
        with cluster(programs) as server:
            server.initialise()
            server.start(fsync="off", synchronous_commit="off", full_page_writes="off", autovacuum="off")
            environment = {**os.environ, TEST_URL: server.url}
            done = subprocess.run([*_PYTEST, *_EVERYWHERE], env=environment, check=False)
        failed += [programs.version] * bool(done.returncode)
    print("Failover, poolers and the store on all of them", flush=True)  # noqa: T201 - a report
    environment = {**os.environ, "FIONA_LEDGER_TEST_SERVERS": "all"}
    more = subprocess.run([*_PYTEST, "tests/servers"], env=environment, check=False)
    tried = {programs.version for programs in INSTALLED}
    missing = [version for version in _SUPPORTED if version not in tried]
    print(f"Tried: {sorted(tried)}; failed: {failed or 'none'}; not installed here: {missing or 'none'}.")  # noqa: T201
    return len(failed) + bool(more.returncode)


if __name__ == "__main__":
    sys.exit(main())
