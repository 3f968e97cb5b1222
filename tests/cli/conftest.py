"""The commands as a user gives them, over a real PostgreSQL and the simulator: within the test, or as processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from processors.cli import main as entry_points
from processors.cli.main import app
from processors.demo import samples
from processors.demo.simulator import Simulator, standard_projects
from tests.flow.harness import Site as FlowSite
from tests.processes import ROOT, run_command


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@dataclass
class Site:
    """A configured gateway: its simulator, its folder of summaries, its configuration."""

    simulator: Simulator
    raw: Path
    config: Path

    def command(self, *arguments: str) -> Done:
        """The command within this process: a third of the time of one of its own."""
        return called("--config", str(self.config), *arguments)

    def process(self, *arguments: str, main: str = "main", **environment: str) -> Done:
        """The command in a process of its own, where that or its environment makes the difference."""
        return forked("--config", str(self.config), *arguments, main=main, **environment)

    def shut_out(self) -> None:
        """REDCap refuses every call from now on. At once: where it is not reached, calls are tried again for 13 s."""
        for project in self.simulator.projects.values():
            project.token = f"no longer {project.token}"

    def let_in(self) -> None:
        """REDCap takes calls again."""
        for project in self.simulator.projects.values():
            project.token = project.token.removeprefix("no longer ")

    def change(self, old: str, new: str) -> None:
        content = self.config.read_text()
        assert old in content
        self.config.write_text(content.replace(old, new))


def called(*arguments: str) -> Done:
    """Calls `fiona-ledger` within this process, with the environment and the folder that one of its own would have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        without = dict.fromkeys(os.environ)
        done = CliRunner().invoke(app, arguments, env={**without, **surroundings({})}, prog_name="fiona-ledger")
    return Done(done.exit_code, done.stdout, done.stderr)


def start(*arguments: str, main: str = "main", program: str = "fiona-ledger", **environment: str) -> Done:
    """Starts an entry point of `processors.cli.main` as `program`, imports and all, and waits for its end."""
    code = f"import sys; sys.argv[0] = {program!r}; from processors.cli.main import {main}; {main}()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=surroundings(environment),
        check=False,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def forked(*arguments: str, main: str = "main", **environment: str) -> Done:
    """The same without the imports: a process forked from one that has them."""
    entry_point = getattr(entry_points, main)
    return Done(*run_command(entry_point, arguments, program="fiona-ledger", environment=surroundings(environment)))


def surroundings(more: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8", **more}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(standard_projects()) as simulator:
        simulator.projects["routing"].set_choices("routing_dest_project", [("1", "Alpha"), ("2", "Beta, again")])
        yield simulator


def configuration(simulator: Simulator, *, raw: Path, url: str, key_file: Path) -> str:
    tokens = "\n".join(f'{name} = "{project.token}"' for name, project in simulator.projects.items())
    return f"""
[ledger]
url = "{url}"
data_dir = "{raw.with_name("data")}"
key_file = "{key_file}"
[source]
raw = "{raw}"
[redcap]
url = "{simulator.url}"
calls_per_minute = 6000
[redcap.tokens]
{tokens}
"""


def configuration_of(site: FlowSite) -> str:
    """That of a site which other tests run in process."""
    raw = site.receiver.raw
    return configuration(site.simulator, raw=raw, url=site.database_url, key_file=site.key_file)


@pytest.fixture
def site(simulator: Simulator, database_url: str, key_file: Path, tmp_path: Path) -> Site:
    raw = tmp_path / "raw"
    samples.lay_out(raw)
    config = tmp_path / "fiona-ledger.toml"
    config.write_text(configuration(simulator, raw=raw, url=database_url, key_file=key_file))
    return Site(simulator, raw, config)
