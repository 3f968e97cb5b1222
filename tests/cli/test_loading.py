"""What a run loads in which nothing has happened: cron starts one each minute, and most of its time is loading."""

import subprocess
import sys

from tests.cli.conftest import Site, surroundings
from tests.processes import ROOT

FOR_OTHERS = {
    "alembic",
    "jinja2",
    "processors.autoid.assign",
    "processors.cli.dry_run",
    "processors.cli.health_files",
    "processors.cli.replays",
    "processors.cli.resident",
    "processors.demo",
    "processors.explain.sentences",
    "processors.naming",
    "processors.operations.health",
    "processors.operations.status",
    "processors.project_designs",
    "processors.redcap.dry_run",
    "processors.routing.redecide",
    "processors.web",
    "rich",
}
"""What another command needs, a run that shows or makes something, or one that draws pseudonyms."""


def test_a_run_in_which_nothing_happens_loads_nothing_that_only_others_need(site: Site) -> None:
    assert site.command("run", "--only", "incoming", "--quiet").code == 0
    command = ["-X", "importtime", "-m", "processors.cli.main", "--config", str(site.config)]
    done = subprocess.run(
        [sys.executable, *command, "run", "--only", "incoming"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=surroundings({}),
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.stdout == "", "something has happened"
    assert {"processors.run", "sqlalchemy.dialects.postgresql.psycopg"} <= loaded
    assert loaded & FOR_OTHERS == set()
