"""A site with auto-ID projects, and what people can see of its pseudonyms."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import text

from processors.demo.simulator import Call, Project
from processors.placeholders import USUAL
from processors.run import Report
from tests.autoid.machine import Machine
from tests.flow.harness import HEART, Killed, Site, Steps

AETITLE = "HEART"
PATTERN = "H-[0-9]{4}"

NO_PATIENT_ID = "no PatientID"
PROJECT_UNUSABLE = "its auto-ID project cannot be used"
EXHAUSTED = "all IDs of the naming pattern are in use"
CONTRADICTED = "AutoID contradicts itself about its patient"
REFUSED = "REDCap refuses its ID in AutoID"
GONE = "gone from disk"

IDLE = 4
"""The calls of a run that finds nothing to do: for rules, couplings, its look at transfers, and projects."""


class Given(NamedTuple):
    """A row of AutoID: who has which pseudonym in which project."""

    project: str
    key: str
    value: str


def key_of(patient_id: str) -> str:
    """A patient's key as the contract has it: the hex SHA-512 of the hex SHA-256 of the PatientID."""
    return hashlib.sha512(hashlib.sha256(patient_id.encode()).hexdigest().encode()).hexdigest()


class AutoidSite(Site):
    """A gateway under test whose runs do both halves of the job."""

    generator: Path | None = None
    generator_seconds: float = 20
    window_days: int = 14
    placeholders: tuple[str, ...] = USUAL
    name = "main"
    seen: frozenset[str] = frozenset()

    @property
    def machine(self) -> Machine:
        return Machine(
            database_url=self.database_url,
            key_file=self.key_file,
            raw=self.receiver.raw,
            redcap_url=self.simulator.url,
            tokens=self.tokens,
            clock=self.clock,
            site=self.name,
            generator=self.generator,
            generator_seconds=self.generator_seconds,
            window_days=self.window_days,
            placeholders=self.placeholders,
            sender=self.sender,
        )

    def run(
        self, steps: Steps | None = None, *, after: float = 60, only_autoid: bool = False, all_of: str | None = None
    ) -> Report:
        """A run `after` so many seconds."""
        self.clock.advance(after)
        self.simulator.calls.clear()
        steps = steps or Steps()
        steps.calls = self.simulator.calls
        report = self.machine.run(steps, only_autoid=only_autoid, all_of=all_of)
        assert report is not None, "expected to be alone"
        return report

    def run_after_a_while(self) -> Report:
        """A run when it is time to try again what was held for a passing reason."""
        self.clock.advance(11 * 60)
        return self.run()

    def days_go_by(self, days: float) -> None:
        """So many days in which runs got through, and nothing came of them."""
        self.clock.advance(days * 86_400)
        with self._database.begin() as connection:
            connection.execute(text("update gateway.assignment set at = :now"), {"now": self.clock.now})

    def asked(self) -> int:
        """How many calls the last run made, but for those for dictionaries: there is one for each empty list.

        Nor those by which it recognises REDCap.
        """
        return len(
            [
                call
                for call in self.simulator.calls
                if call.content not in ("metadata", "project") and not _is_look(call)
            ]
        )

    # -- what people do --------------------------------------------------------------------------------

    def study(self, study: str, patient_id: str | None = "PID-1", *, called: str = AETITLE, **fields: Any) -> None:
        """A study arrives, addressed to the auto-ID project."""
        self.series(study, called=called, PatientID=patient_id, **fields)

    def project(
        self,
        record: str = "1",
        *,
        name: str = HEART,
        pattern: str = PATTERN,
        aetitle: str = AETITLE,
        use: bool = True,
    ) -> None:
        """Makes or changes an entry of the list of projects."""
        row = {
            "record_id": record,
            "project_name": name,
            "project_patient_naming": pattern,
            "project_use_autoid": "1" if use else "0",
            "project_autoid_aetitle": aetitle,
            "project_active": "1",
        }
        self.simulator.projects["projects"].put([row])

    def remove_project(self, record: str = "1") -> None:
        self.simulator.projects["projects"].delete(record)

    @property
    def autoid(self) -> Project:
        return self.simulator.projects["autoid"]

    def give(self, record: str, patient_id: str, value: str, *, project: str = HEART) -> None:
        """Somebody else, an earlier system say, has written an entry of AutoID."""
        row = {
            "record_id": record,
            "autoid_project_name": project,
            "autoid_hash": key_of(patient_id) if patient_id else "",
            "autoid_value": value,
            "autoid_method": "1",
        }
        self.autoid.put([row])

    # -- what came of it ---------------------------------------------------------------------------------

    def autoid_rows(self) -> dict[str, Given]:
        """AutoID as REDCap has it, by record id."""
        rows = {
            name: Given(
                record.base.get("autoid_project_name", ""),
                record.base.get("autoid_hash", ""),
                record.base.get("autoid_value", ""),
            )
            for name, record in self.autoid.records.items()
        }
        self.seen |= {row.value for row in rows.values()}
        return rows

    def id_of(self, patient_id: str, *, project: str = HEART) -> str:
        """The patient's only ID, as AutoID has it."""
        (value,) = [row.value for row in self.autoid_rows().values() if row[:2] == (project, key_of(patient_id))]
        return value

    def requested(self, study: str, *, project: str = HEART) -> str:
        """The pseudonym of the study's only transfer request, which is for this project and no event."""
        ((asked_project, name, event, _sent),) = self.transfers(study).values()
        assert (asked_project, event) == (project, "")
        self.seen |= {name}
        return name

    def held(self) -> dict[str, str]:
        """Why the studies are held that everybody is told about."""
        rows = self.query("select study, details from audit.attention where kind = 'held study'")
        return {row[0]: row[1] for row in rows}

    def used(self, project: str = HEART) -> dict[str, str]:
        """The IDs in use and why, as the ledger has them; each is found by its fingerprint, once it has been seen."""
        rows = self.query(
            "select fingerprint, kind, position from gateway.used_id where project = :project", project=project
        )
        with self.machine.gateway() as gateway, gateway.begin() as work:
            told = work.identities([row[2] for row in rows]).values()
        self.seen |= {payload["value"] for _, payload in told if payload.get("value")}
        self.autoid_rows()
        self.seen |= {str(row.get("transfer_name", "")).strip() for row in self.incoming.rows()}
        prints = self.fingerprints(self.seen, project=project)
        return {prints[row[0]]: row[1] for row in rows}

    def fingerprints(self, values: Iterable[str], *, project: str = HEART) -> dict[str, str]:
        """The IDs by their fingerprints."""
        with self.machine.gateway() as gateway:
            return {gateway.id_fingerprint(project, value): value for value in values}

    def count(self, type_: str) -> int:
        """How many events of a type there are."""
        return len(self.events(type_))

    def assert_no_id_twice(self) -> None:
        """What must never happen: two patients on one ID, one patient on two, an ID stored or requested twice."""
        rows = list(self.autoid_rows().values())
        assert max(Counter((row.project, row.value) for row in rows).values(), default=1) == 1
        assert max(Counter((row.project, row.key) for row in rows).values(), default=1) == 1
        drawn = [(event["project"], event["fingerprint"]) for event in self.events("IdGenerated")]
        assert len(drawn) == len(set(drawn))
        wanted = [event["study"] for event in self.events("TransferRequested")]
        assert len(wanted) == len(set(wanted))
        orphans = """
            select position from ledger.event
             where subject is not null and subject not in (select subject from ledger.subject)
        """
        assert self.query(orphans) == []

    def assert_ids_are_recorded(self, *, project: str = HEART) -> None:
        """Each ID in AutoID is recorded under its record."""
        where = "where project = :project and record_id is not null"
        recorded = self.query(f"select record_id, fingerprint from gateway.used_id {where}", project=project)
        there = {name: row.value for name, row in self.autoid_rows().items() if row.project == project}
        prints = self.fingerprints(there.values(), project=project)
        assert {record_id: prints[fingerprint] for record_id, fingerprint in recorded} == there

    def killed_at(self, step: int, steps: type[Steps] = Steps) -> bool:
        """A run killed at that step; False where it has not so many and came to its end."""
        try:
            self.run(steps(fatal=step))
        except Killed:
            self.bury()
            return True
        return False

    def bury(self) -> None:
        """Ends what a killed process is said to be at work on.

        Of one that is gone nobody would believe it; the one that plays it lives on, and would be waited for.
        """
        with self._database.begin() as connection:
            connection.execute(text("delete from ledger.lease"))


def _is_look(call: Call) -> bool:
    return call.fields in (("study_instance_uid",), ("record_id", "autoid_value"))


def elsewhere(machine: Machine, *, site: str, raw: Path, key_file: Path) -> Machine:
    """The same ledger and REDCap, seen from another machine."""
    return replace(machine, site=site, raw=raw, key_file=key_file)
