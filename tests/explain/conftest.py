"""A site with a history, and the commands that explain it."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from ledger.vault import Vault
from processors.events.fact import Fact
from processors.explain import explanation, policy, rules_check, rules_file, search, what_if
from processors.explain.explanation import Explanation
from processors.explain.near_miss import Matching
from processors.explain.rules_check import Finding
from processors.explain.what_if import Comparison
from processors.gateway import Gateway, Work
from processors.operations.forget.data_subjects import of_patients
from processors.operations.forget.forget import forget
from processors.routing.checks import Check
from processors.routing.configured_checks import LASTING
from processors.routing.fit_check import fit_check
from processors.routing.projects import listed_projects
from tests.cli.conftest import Done, forked
from tests.flow.conftest import MakeSite, make_site
from tests.flow.harness import ZONE, Site
from tests.processes import ROOT

__all__ = ["make_site"]


@dataclass
class Explained:
    """A site, and what there is to tell about it."""

    site: Site
    folder: Path

    @contextmanager
    def opened(self) -> Iterator[Work]:
        database = self.site._database
        with database.begin() as connection:
            vault = Vault.open(connection, self.site.key_file)
        gateway = Gateway(database=database, vault=vault, site="main", clock=self.site.clock, run=uuid4(), zone=ZONE)
        with gateway.begin() as work:
            yield work

    @property
    def matching(self) -> Matching:
        return Matching("full" if self.site.match == "full" else "prefix", self.site.time_limit)

    @property
    def checks(self) -> Sequence[Check]:
        return (*LASTING, fit_check(self.site.identity))

    def explain(self, name: str) -> Explanation:
        with self.opened() as work:
            return explanation.explain(
                work,
                search.find_study(work, name),
                self.matching,
                checks=self.checks,
                holds_split=self.site.identity.split == "hold",
            )

    def compare(self, *rows: dict[str, str], whole: bool = False, **options: Any) -> Comparison:
        """What rules like these would change."""
        with self.opened() as work:
            directed = policy.in_force(work)
            rules = rules_file.read_rules(self.file(rows), set())
            changed = what_if.changed_table(directed.rules.values(), rules, whole=whole)
            return what_if.compare(work, directed, changed, self.matching, checks=self.checks, **options)

    def check(self, *rows: dict[str, str]) -> list[Finding]:
        """What is wrong with the rules in force, or with these."""
        with self.opened() as work:
            others = set(rules_check.projects_named(work))
            rules = list(policy.in_force(work).rules.values())
            if rows:
                others |= {rule.project for rule in rules}
                rules = rules_file.read_rules(self.file(rows), others)
            tried = rules_check.try_rules(work, rules, self.matching, self.checks)
            return rules_check.check(
                rules,
                tried,
                others,
                self.matching,
                typed=bool(rows),
                listed=listed_projects(work),
                coupled=rules_check.projects_coupled(work),
            )

    def append(self, *facts: Fact) -> None:
        """Records facts as some part of the program would."""
        with self.opened() as work:
            work.record(facts)

    def forget(self, patient_id: str) -> None:
        """The patient is forgotten."""
        with self.opened() as work:
            forget(work.gateway, lambda c: of_patients(c, [patient_id]), reason="asked for it", by="operator")

    def file(self, rows: Sequence[dict[str, str]]) -> Path:
        """A file with these rules."""
        path = self.folder / f"{uuid4().hex}.json"
        path.write_bytes(orjson.dumps(rows))
        return path

    def command(self, *arguments: str) -> Done:
        """The command as a user starts it, to its end."""
        return forked("--config", str(self.configuration()), *arguments)

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """The command under way."""
        code = "from processors.cli.main import main; main()"
        command = [sys.executable, "-c", code, "--config", str(self.configuration()), *arguments]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.kill()

    def configuration(self) -> Path:
        """The site's configuration; REDCap's address in it leads nowhere."""
        config = self.folder / "fiona-ledger.toml"
        config.write_text(f"""
[ledger]
url = "{self.site.database_url}"
key_file = "{self.site.key_file}"
[redcap]
url = "http://127.0.0.1:9/api/"
[redcap.tokens]
incoming = "x"
coupling = "x"
routing = "x"
[routing]
match = "{self.site.match}"
time_limit_seconds = {self.site.time_limit}
""")
        return config


@pytest.fixture
def explained(make_site: MakeSite, tmp_path: Path) -> Explained:
    return Explained(make_site(), tmp_path)


@pytest.fixture
def explained_whole(make_site: MakeSite, tmp_path: Path) -> Explained:
    """A site whose patterns must match the whole text."""
    return Explained(make_site(match="full"), tmp_path)


def row(record: str = "1", **fields: str) -> dict[str, str]:
    """A rule as a file has it: active, to the Heart Study, for what is addressed to FIONA, unless said otherwise."""
    return {
        "record_id": record,
        "routing_active": "1",
        "routing_dest_project": "Heart Study",
        "routing_incoming_aetitle": "FIONA",
        "routing_sending_aetitle": "",
        "routing_allowed_patientid": "",
        "routing_allowed_patientname": "",
        "routing_event_name": "",
        **{f"routing_{name}": value for name, value in fields.items()},
    }
