"""What `status` takes for health, and its screen, with the clock in the test's hands."""

import json
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from ledger.database import Database
from ledger.vault import Vault
from processors.cli.commands.status import as_data
from processors.configuration.settings import SenderSection
from processors.gateway import Gateway
from processors.operations.health import Severity
from processors.operations.limits import Limits
from processors.operations.status import Status, Totals
from processors.operations.status import status as status_of
from processors.run import Report, recorded_run
from tests.cli.conftest import Site
from tests.conftest import SettableClock
from tests.processes import ROOT

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def gateway_of(database: Database, vault: Vault, clock: SettableClock, site: str = "main") -> Gateway:
    return Gateway(database=database, vault=vault, site=site, clock=clock, run=uuid4())


@pytest.fixture
def status_after(database: Database, vault: Vault, clock: SettableClock) -> "StatusAfter":
    return StatusAfter(database, vault, clock)


class StatusAfter:
    """The status after runs that ended so, each at so many minutes from the start."""

    def __init__(self, database: Database, vault: Vault, clock: SettableClock) -> None:
        self._database, self._vault, self._clock = database, vault, clock
        self.start = clock.now

    def __call__(
        self, *runs: tuple[int, bool], minutes: int, site: str = "main", silent_after: timedelta = 10 * MINUTE
    ) -> Status:
        for minute, got_through in runs:
            self._clock.now = self.start + timedelta(minutes=minute)
            gateway = gateway_of(self._database, self._vault, self._clock, site)
            with suppress(ConnectionError), recorded_run(gateway, "run", Report(), ending=lambda _error: (3, "down")):
                if not got_through:
                    raise ConnectionError
        self._clock.now = self.start + timedelta(minutes=minutes)
        limits = Limits(silent_after=silent_after, clock_tolerance=timedelta(days=36_500))
        found = status_of(gateway_of(self._database, self._vault, self._clock), limits)
        # The test's clock is not the database's.
        return replace(found, health=[finding for finding in found.health if finding.kind != "clock"])


def told(found: Status) -> dict[str, datetime | None]:
    """Since when each kind of finding is so."""
    return {finding.kind: finding.since for finding in found.health if finding.severity > Severity.OK}


def test_runs_that_fail_need_attention_at_once_and_are_critical_after_ten_minutes(status_after: StatusAfter) -> None:
    """They used to be told after an hour, and the error not at all."""
    found = status_after((0, True), (5, False), (7, False), minutes=9)
    assert (found.needs_attention, found.severity) == (True, Severity.WARNING)
    (error,) = found.health
    assert (error.since, error.words) == (status_after.start + 5 * MINUTE, "`run` ended with an error: down")
    found = status_after(minutes=10)
    assert found.severity is Severity.CRITICAL
    assert told(found) == {"silent": status_after.start, "error": status_after.start + 5 * MINUTE}


def test_the_minutes_of_silence_are_configured(status_after: StatusAfter) -> None:
    assert told(status_after((0, True), minutes=29, silent_after=30 * MINUTE)) == {}
    assert told(status_after(minutes=30, silent_after=30 * MINUTE)) == {"silent": status_after.start}


def test_a_gateway_whose_runs_never_got_through_needs_attention(status_after: StatusAfter) -> None:
    start = status_after.start
    assert told(status_after((0, False), (60, False), minutes=61)) == {"silent": start, "error": start}


def test_a_run_that_gets_through_ends_the_outage(status_after: StatusAfter) -> None:
    assert told(status_after((0, False), (90, False), (100, True), minutes=105)) == {}


def test_a_gateway_that_was_switched_off_is_silent_until_a_run_gets_through(status_after: StatusAfter) -> None:
    assert told(status_after((0, True), minutes=31 * 60)) == {"silent": status_after.start}
    assert told(status_after((31 * 60 + 1, True), minutes=31 * 60 + 2)) == {}


def test_no_run_at_all_is_told(status_after: StatusAfter) -> None:
    assert told(status_after(minutes=5000)) == {"silent": None}


def test_the_outage_of_another_site_is_its_own(status_after: StatusAfter) -> None:
    status_after((0, True), minutes=1)
    assert told(status_after((2, False), minutes=5, site="north")) == {}


def test_a_run_whose_clock_was_weeks_ahead_mutes_nothing(status_after: StatusAfter) -> None:
    status_after((0, True), (20 * 24 * 60, True), minutes=0)
    assert told(status_after((5, False), minutes=20)) == {
        "silent": status_after.start,
        "error": status_after.start + 5 * MINUTE,
    }


def test_an_outage_of_redcap_is_told_and_after_an_hour_so_are_the_rows_that_wait(
    site: Site, database: Database, vault: Vault
) -> None:
    to_come = site.raw.rename(site.raw.with_name("to come"))
    site.raw.mkdir()
    site.command("run")
    site.raw.rmdir()
    to_come.rename(site.raw)
    site.shut_out()
    assert site.command("run").code == 3
    (refused,) = site.command("status", "--json").data["health"]["findings"]
    assert (refused["kind"], refused["severity"]) == ("refused", "critical")
    clock = SettableClock()
    clock.now = datetime.now().astimezone() + HOUR
    found = status_of(gateway_of(database, vault, clock))
    assert {waiting.kind for waiting in found.pending} == {"study", "series"}
    assert told(found)["rows wait"] == min(waiting.oldest for waiting in found.pending if waiting.oldest)
    assert {"silent", "refused"} < told(found).keys()


def test_an_outage_is_on_the_screen_with_what_to_do(site: Site, database: Database) -> None:
    site.shut_out()
    site.command("run")
    with database.begin() as connection:
        connection.execute(text("update gateway.run set started_at = started_at - interval '2 hours'"))
    shown = site.command("status")
    assert shown.code == 1
    for words in (
        "CRITICAL since ",
        "(2 hours)",
        "Runs are started and none gets through.",
        "-> Start `fiona-ledger run --verbose` by hand: it says what stops it.",
        "`run` ended with an error: ",
    ):
        assert words in shown.out


def test_a_disk_that_is_gone_is_told_and_goes_on_being_told(site: Site) -> None:
    """One screen used to say that something needs attention and that nothing does."""
    site.command("run", "--only", "incoming")
    mounted = site.raw.rename(site.raw.with_name("mounted"))
    site.raw.mkdir()
    assert site.command("run", "--only", "incoming").code == 1
    first = site.command("status")
    assert (first.code, "This looks like an unmounted disk" in first.out) == (1, True)
    assert "the gateway does its work" not in first.out
    study = next(mounted.iterdir())
    shutil.copytree(study, site.raw / "2.25.1")
    for file in (site.raw / "2.25.1").iterdir():
        document = json.loads(file.read_bytes()) | {"StudyInstanceUID": "2.25.1"}
        file.write_text(json.dumps(document))
        os.utime(file, (time.time() - 300, time.time() - 300))
    os.utime(site.raw / "2.25.1", (time.time() - 300, time.time() - 300))
    report = site.command("run", "--only", "incoming", "--json").data
    assert (report["discovery"]["discovered"] > 0, report["discovery"]["vanished"]) == (True, 0)
    (disk,) = site.command("status", "--json").data["health"]["findings"]
    assert (disk["kind"], disk["severity"]) == ("disk", "critical")
    shutil.rmtree(site.raw)
    mounted.rename(site.raw)
    site.command("run", "--only", "incoming")
    assert site.command("status").code == 0


def test_a_folder_of_the_sender_s_that_cannot_be_used_is_told(
    database: Database, vault: Vault, clock: SettableClock, tmp_path: Path
) -> None:
    (tmp_path / "queue").mkdir()
    (tmp_path / "fail").write_text("no folder")
    gateway = gateway_of(database, vault, clock)
    gateway.sender = SenderSection(
        queue=tmp_path / "queue", withdrawn=tmp_path, done=tmp_path / "done", fail=tmp_path / "fail"
    )
    found = status_of(gateway)
    assert [(notice.subject, notice.details) for notice in found.attention] == [
        ("sender.done", f"{tmp_path / 'done'}: No such file or directory"),
        ("sender.fail", f"{tmp_path / 'fail'}: Not a directory"),
    ]
    assert (found.kinds, found.needs_attention) == ({"unusable folder of the sender": 2}, True)


def test_folders_of_the_sender_s_that_are_as_they_should_be_or_not_configured_are_nothing_to_tell(
    database: Database, vault: Vault, clock: SettableClock, tmp_path: Path
) -> None:
    gateway = gateway_of(database, vault, clock)
    assert status_of(gateway).attention == []
    gateway.sender = SenderSection(queue=tmp_path, withdrawn=tmp_path)
    assert status_of(gateway).attention == []


def test_only_the_sites_own_studies_are_counted(
    site: Site, database: Database, vault: Vault, clock: SettableClock
) -> None:
    site.simulator.projects["routing"].put(
        [
            {
                "record_id": "1",
                "routing_active": "1",
                "routing_dest_project": "1",
                "routing_incoming_aetitle": "FIONA",
                "routing_allowed_patientid": "SCS[A-Z]+",
            }
        ]
    )
    site.command("run", "--only", "incoming")
    own = status_of(gateway_of(database, vault, clock))
    assert (own.totals.studies, own.totals.series, own.totals.studies_on_disk) == (54, 61, 54)
    assert own.totals.transfers["placed"] > 0
    other = status_of(gateway_of(database, vault, clock, "north"))
    assert other.totals == Totals(studies=0, studies_on_disk=0, series=0, transfers={}, sent=0)


def test_what_redcap_left_out_once_is_told_and_needs_nobody(site: Site) -> None:
    routing = site.simulator.projects["routing"]
    routing.put([{"record_id": "7", "routing_active": "0", "routing_dest_project": "1"}])
    site.command("run", "--only", "incoming")
    stored = routing.records.pop("7")
    site.command("run", "--only", "incoming")
    told = "Missing from REDCap's latest export of routing rules: 1 (7), since "
    shown = site.command("status")
    assert told in shown.out
    assert "Nothing is decided by them before the next run sees the same." in " ".join(shown.out.split())
    assert site.command("status", "--json").data["doubts"][0]["records"] == ["7"]
    assert "missing from the export" in site.command("rules", "check").out
    routing.records["7"] = stored
    site.command("run", "--only", "incoming")
    assert "Missing from" not in site.command("status").out


DOCUMENTED = (ROOT / "docs" / "health.md").read_text("utf-8").partition("## For a program")[2]


def test_the_data_for_programs_are_what_the_documentation_says_without_a_repr(site: Site) -> None:
    (site.raw / "1.2.3").mkdir()
    (site.raw / "1.2.3" / "1.2.3.4.json").write_text("{")
    for path in (site.raw / "1.2.3" / "1.2.3.4.json", site.raw / "1.2.3"):
        os.utime(path, (time.time() - 300, time.time() - 300))
    site.command("run")
    site.shut_out()
    site.command("run")
    data = site.command("status", "--json").data
    rows = [row.split(" | ") for row in re.findall(r"^\| (`.*) \|$", DOCUMENTED, re.MULTILINE)]
    keys = {name for names, _ in rows for name in re.findall(r"`(\w+)`", names)}
    assert data.keys() == keys
    assert data["version"] == 1
    assert data["health"]["state"] == "critical"
    documented = {names: set(re.findall(r"`(\w+)`", holds)) for names, holds in rows}
    assert data["attention"][0].keys() == documented["`attention`"]
    assert data["groups"][0].keys() == documented["`groups`"]
    assert data["last_run"].keys() == documented["`last_run`"]
    assert data["sending"].keys() == documented["`sending`"] | {"sent", "unsent", "failed", "oldest"}
    assert data["health"]["findings"][0].keys() <= documented["`health`"]
    assert "(" not in json.dumps([data[name] for name in ("pending", "approvals", "autoid", "doubts", "under_way")])
    assert datetime.fromisoformat(data["at"]).utcoffset() == datetime.now().astimezone().utcoffset()


def test_a_moment_is_given_in_the_machines_zone(status_after: StatusAfter) -> None:
    found = as_data(status_after((0, True), minutes=1))
    zones = {found[name].utcoffset() for name in ("at", "last_success")}
    assert zones == {datetime.now().astimezone().utcoffset()}


def test_the_records_of_a_project_that_is_listed_twice_are_told_apart(site: Site) -> None:
    """Two lines said different things of it, and nothing which was which."""
    for record, title, pattern in (("2", "ONE", "K-[0-1]"), ("9", "OTHER", "Z-[0-9]{4}")):
        row = {
            "record_id": record,
            "project_name": "Brain",
            "project_patient_naming": pattern,
            "project_use_autoid": "1",
            "project_autoid_aetitle": title,
        }
        site.simulator.projects["projects"].put([row])
    site.command("run")
    told = site.command("status").out
    assert "IDs of Brain (record 2): 0 in use, 2 left." in told
    assert "IDs of Brain (record 9): 0 in use, 10000 left." in told
