"""What `status` takes for an outage, with the clock in the test's hands."""

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from ledger.database import Database
from ledger.vault import Vault
from processors.configuration import SenderSection
from processors.gateway import Gateway
from processors.operations.status import Status
from processors.operations.status import status as status_of
from processors.run import Report, recorded_run
from tests.cli.conftest import Site
from tests.conftest import SettableClock

HOUR = timedelta(hours=1)


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

    def __call__(self, *runs: tuple[int, bool], minutes: int, site: str = "main") -> Status:
        for minute, got_through in runs:
            self._clock.now = self.start + timedelta(minutes=minute)
            gateway = gateway_of(self._database, self._vault, self._clock, site)
            with suppress(ConnectionError), recorded_run(gateway, "run", Report(), ending=lambda _error: (3, "down")):
                if not got_through:
                    raise ConnectionError
        self._clock.now = self.start + timedelta(minutes=minutes)
        return status_of(gateway_of(self._database, self._vault, self._clock))


def test_runs_that_fail_for_more_than_an_hour_need_attention(status_after: StatusAfter) -> None:
    found = status_after((0, True), (10, False), (40, False), minutes=70)
    assert not found.needs_attention
    found = status_after(minutes=71)
    assert found.needs_attention
    assert found.stalled_since == status_after.start + timedelta(minutes=10)


def test_a_gateway_whose_runs_never_got_through_needs_attention(status_after: StatusAfter) -> None:
    assert status_after((0, False), minutes=61).stalled_since == status_after.start


def test_a_run_that_gets_through_ends_the_outage(status_after: StatusAfter) -> None:
    assert status_after((0, False), (90, False), (100, True), minutes=400).stalled_since is None


def test_a_gateway_that_was_switched_off_has_nothing_to_tell_at_its_first_run(status_after: StatusAfter) -> None:
    assert status_after((0, True), (5000, False), minutes=5001).stalled_since is None


def test_no_runs_at_all_are_no_outage(status_after: StatusAfter) -> None:
    assert status_after(minutes=5000).stalled_since is None


def test_the_outage_of_another_site_is_its_own(status_after: StatusAfter) -> None:
    assert status_after((0, False), minutes=5000, site="north").stalled_since is None


def test_an_outage_of_redcap_shows_after_an_hour_and_not_before(site: Site, database: Database, vault: Vault) -> None:
    to_come = site.raw.rename(site.raw.with_name("to come"))
    site.raw.mkdir()
    site.command("run")
    site.raw.rmdir()
    to_come.rename(site.raw)
    site.shut_out()
    assert site.command("run").code == 3
    assert site.command("status").code == 0
    clock = SettableClock()
    clock.now = datetime.now().astimezone() + HOUR
    found = status_of(gateway_of(database, vault, clock))
    assert {waiting.kind for waiting in found.pending} == {"study", "series"}
    assert found.overdue_since == min(waiting.oldest for waiting in found.pending if waiting.oldest)
    assert found.stalled_since is not None
    assert found.needs_attention


def test_an_outage_is_on_the_screen_with_what_to_do(site: Site, database: Database) -> None:
    site.shut_out()
    site.command("run")
    with database.begin() as connection:
        connection.execute(text("update gateway.run set started_at = started_at - interval '2 hours'"))
    shown = site.command("status")
    assert shown.code == 1
    assert "runs are started and none gets through. Start `fiona-ledger run` by hand" in shown.out
    told = site.command("status", "--json").data
    assert (told["needs_attention"], told["overdue_since"]) == (True, None)
    assert told["stalled_since"] is not None


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
    assert [(row["subject"], row["details"]) for row in found.attention] == [
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
    assert (own.studies, own.series, own.studies_on_disk) == (54, 61, 54)
    assert own.transfers["placed"] > 0
    other = status_of(gateway_of(database, vault, clock, "north"))
    assert (other.studies, other.series, other.studies_on_disk, other.transfers) == (0, 0, 0, {})


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
