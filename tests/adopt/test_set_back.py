"""A machine that is set back as a whole, its key files with it, within minutes of its last run."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from ledger import heads
from tests.adopt.restoring import RestoredSite
from tests.autoid.sites import IDLE
from tests.conftest import Server
from tests.flow.harness import BRAIN


@pytest.fixture
def site(server: Server, migrated: tuple[str, Path], tmp_path: Path) -> Iterator[RestoredSite]:
    """A site that has made its first run, just now."""
    with ExitStack() as stack:
        site = RestoredSite.made(stack, server, migrated, tmp_path)
        site.rule("1", project=BRAIN, patient_id="B-[0-9]+")
        site.series("1.1", PatientID="B-1", PatientName="Anon^1")
        site.gets_through("run")
        yield site


def was_run_by(site: RestoredSite, machine: str) -> None:
    """All runs of before were on a machine, or a start of it, that told itself so."""
    with psycopg.connect(site.database_url) as connection:
        connection.execute(
            "update gateway.run set machine = replace(%(machine)s, '...', substring(machine from '[^(]*$'))",
            {"machine": machine},
        )


def test_its_start_is_noticed_and_what_was_retracted_since_is_not_placed_again(site: RestoredSite) -> None:
    backup, head = site.saved(), heads.head_file(site.key_file).read_bytes()
    site.series("1.2", PatientID="B-2", PatientName="Anon^2")
    site.gets_through("run")
    site.gets_through("retract", "1.2", "--project", BRAIN, "--reason", "withdrew consent")
    site.gets_through("run")
    before = site.in_redcap()
    site.restore(backup)
    heads.head_file(site.key_file).write_bytes(head)
    was_run_by(site, "gateway (00000000)")
    assert site.command("run").exit_code == 4
    assert len(site.events("LedgerDoubted")) == 1
    site.gets_through("adopt", "--after-restore", "--yes")
    site.gets_through("run")
    assert site.in_redcap() == before


def test_what_another_gateway_appended_is_missed_by_one_that_only_saw_it(site: RestoredSite, tmp_path: Path) -> None:
    """It kept where it had appended last itself: restored to a later event, it requested who had withdrawn."""
    backup, own = site.saved(), site.key_file
    site.key_file = tmp_path / "south" / own.name
    site.key_file.parent.mkdir()
    shutil.copy2(own, site.key_file)
    site.gets_through("withdraw", "--project", BRAIN, "--patient-id-stdin", "--reason", "letter", stdin="B-1")
    site.gets_through("run")
    withdrawn, site.key_file = site.head(), own
    site.gets_through("run")
    kept = heads.kept(own)
    assert kept is not None
    assert (site.head(), kept.position, site.asked()) == (withdrawn, withdrawn, IDLE)
    written = heads.head_file(own).stat().st_mtime_ns
    site.gets_through("run")
    assert heads.head_file(own).stat().st_mtime_ns == written, "an idle run writes nothing"
    site.restore(backup)
    site.series("1.2", PatientID="B-1", PatientName="Anon^1")
    before = site.in_redcap()
    assert site.command("run").exit_code == 4
    assert site.in_redcap() == before


def test_a_start_after_which_nothing_is_missing_costs_two_calls_once(site: RestoredSite) -> None:
    was_run_by(site, "gateway (00000000)")
    site.gets_through("run")
    assert site.asked() == IDLE + 2
    site.gets_through("run")
    assert site.asked() == IDLE


def test_a_container_of_another_name_on_the_same_start_is_no_pause(site: RestoredSite) -> None:
    was_run_by(site, "5f1c77ab0d3e (...")
    site.gets_through("run")
    assert site.asked() == IDLE
