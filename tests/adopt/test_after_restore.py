"""The ledger is restored from a backup while REDCap went on: nothing is placed, drawn, sent or ended a second time."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from ledger import erasures, heads
from processors.demo.simulator.project import Rights
from processors.events.operations import StartedFresh
from tests.adopt.restoring import RestoredSite, Rows
from tests.autoid.sites import IDLE
from tests.conftest import Server
from tests.databases import Contents
from tests.flow.harness import BRAIN, HEART, Asked, Killed, Steps

REASON = ("--reason", "ticket 17")


def by_rule(site: RestoredSite, *numbers: int) -> None:
    """Studies arrive that the rule sends to BRAIN under their PatientID."""
    for number in numbers:
        site.series(f"1.{number}", PatientID=f"B-{number}", PatientName=f"Anon^{number}")


def by_id(site: RestoredSite, *numbers: int) -> None:
    """Studies arrive whose patients get an ID of HEART."""
    for number in numbers:
        site.study(f"1.{number}", f"PID-{number}", PatientName=f"Anon^{number}")


def coupled(site: RestoredSite, number: int, subject: str) -> None:
    """An entry of the coupling list names a study."""
    site.entry(str(number), study=f"1.{number}", project=BRAIN, subject=subject)


def lives(site: RestoredSite) -> Contents:
    """A site with some studies, saved."""
    site.rule("1", project=BRAIN, patient_id="B-[0-9]+")
    site.project()
    by_rule(site, 1, 4, 5, 7)
    by_id(site, 2)
    for number in (3, 6):
        site.series(f"1.{number}", PatientID=f"X-{number}", PatientName=f"Anon^{number}")
        coupled(site, number, f"B-{number}")
    site.gets_through("run")
    return site.saved()


def goes_on(site: RestoredSite) -> None:
    """What happens after the backup."""
    by_rule(site, 11, 13, 14, 15, 16, 18)
    by_id(site, 12, 17)
    site.series("1.1", "1.1.2", PatientID="B-1", PatientName="Anon^1")
    coupled(site, 6, "B-66")
    site.gets_through("run")
    for study, project in (("1.13", BRAIN), ("1.5", BRAIN), ("1.17", HEART)):
        site.gets_through("retract", study, "--project", project, *REASON)
    site.sender_sends("1.18", 1)
    site.gets_through("retract", "1.18", "--project", BRAIN, *REASON)
    site.person_deletes("1.4")
    site.person_deletes("1.14")
    site.person_deletes_transfer("1.15", 1)
    for patient in ("B-7", "B-16"):
        site.gets_through("forget", "--patient-id-stdin", "--yes", *REASON, stdin=patient)


@dataclass(frozen=True, kw_only=True)
class Story:
    """What was seen on the way."""

    site: RestoredSite
    before: tuple[Rows, Rows]
    refused: list[str]
    codes: list[int]
    is_kept: bool
    check: str
    preview: dict[str, Any]
    shown: str
    events: int
    accepted: tuple[Rows, Rows]
    after: tuple[Rows, Rows]


@pytest.fixture(scope="module")
def story(server: Server, migrated: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Saved, gone on, restored, refused, shown, accepted, and run again, with one study that is really new."""
    with ExitStack() as stack:
        site = RestoredSite.made(stack, server, migrated, tmp_path_factory.mktemp("restored"))
        backup = lives(site)
        goes_on(site)
        lost = heads.kept(site.key_file)
        site.restore(backup)
        for study in ("1.11", "1.12"):  # the others are of this very minute
            site.incoming.records[study].instances["transfers"][1]["transfer_requested_date"] = "2026-03-01 07:30"
        before = site.in_redcap()
        by_rule(site, 20)
        refused = [site.command("run"), site.command("run"), site.command("replay", "--project", BRAIN)]
        refused.append(site.command("retract", "1.1", "--project", BRAIN, *REASON))
        is_kept = heads.kept(site.key_file) == lost
        check = site.command("check").output
        preview = site.preview()
        events = site.head()
        shown = site.gets_through("adopt", "--after-restore", "--yes")
        accepted = site.in_redcap()
        site.gets_through("run")
        yield Story(
            site=site,
            before=before,
            refused=[done.stderr for done in refused],
            codes=[done.exit_code for done in refused],
            is_kept=is_kept,
            check=check,
            preview=preview,
            shown=shown,
            events=events,
            accepted=accepted,
            after=site.in_redcap(),
        )


def named(transfers: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(each["study"], each["project"]) for each in transfers}


def test_runs_refuse_before_anything_is_done_and_say_what_to_do(story: Story) -> None:
    assert story.codes == [4, 4, 4, 4]
    assert all(
        "adopt --after-restore" in words and "vault.key.head" in words for words in (story.refused[0], story.refused[2])
    )
    assert len(story.site.events("LedgerDoubted")) == 1
    assert "CRITICAL" in story.check


def test_what_stands_in_redcap_is_ours_again(story: Story) -> None:
    assert named(story.preview["transfers"]) == {("1.11", BRAIN), ("1.12", HEART), ("1.6", BRAIN)}
    states = "select study, state, found from gateway.transfer where study = any(:studies) order by 1"
    rows = story.site.query(states, studies=["1.11", "1.12"])
    assert [tuple(row) for row in rows] == [("1.11", "placed", False), ("1.12", "placed", False)]


def test_what_was_retracted_deleted_or_forgotten_since_is_not_placed_again(story: Story) -> None:
    ended = {*named(story.preview["ended"]), *((study, BRAIN) for study in story.preview["deleted"])}
    assert {study for study, _ in ended} == {"1.13", "1.14", "1.15", "1.16", "1.17", "1.18", "1.4", "1.5"}
    for study in ("1.13", "1.16", "1.17", "1.5"):
        assert story.site.transfers(study) == {}
    assert not {"1.4", "1.14"} & story.site.incoming.records.keys()


def test_what_would_be_placed_is_shown_and_it_alone_is_placed(story: Story) -> None:
    assert named(story.preview["would_place"]) == {("1.20", BRAIN)}
    assert story.preview["would_draw"] == 0
    assert "1.20" in story.shown
    assert story.before == story.accepted
    incoming, autoid = story.after
    old = {"1.1", "1.20"}  # retracted while runs refused, and come since
    assert [row for row in incoming if row["study_instance_uid"] not in old] == [
        row for row in story.before[0] if row["study_instance_uid"] not in old
    ]
    assert autoid == story.before[1]
    assert story.site.transfers("1.20") == {1: Asked(BRAIN, "B-20")}


def test_who_was_forgotten_since_is_forgotten_again(story: Story) -> None:
    living = "select count(*) from ledger.subject where wrapped_key is not null and subject = any(:forgotten)"
    kept = erasures.kept(story.site.key_file)
    assert kept is not None
    forgotten = list(kept.subjects)
    assert len(forgotten) >= 2
    assert story.site.query(living.replace(":forgotten", "cast(:forgotten as uuid[])"), forgotten=forgotten) == [(0,)]


def test_what_tells_of_the_loss_is_not_written_over_meanwhile(story: Story) -> None:
    assert story.is_kept
    assert story.site.transfers("1.1") == {}, "retracted since, and carried out by the first run that may"


def test_a_preview_changes_nothing(story: Story) -> None:
    (accepted,) = story.site.query("select position from ledger.event where type = 'LedgerAccepted'")
    assert accepted[0] > story.events


def test_a_correction_after_it_reaches_what_was_taken_back(story: Story) -> None:
    """It counts as ours: amended, or closed, as any request of ours."""
    site = story.site
    coupled(site, 11, "B-111")
    site.gets_through("run")
    assert sorted(asked.name for asked in site.transfers("1.11").values()) in (["", "B-111"], ["B-111"])
    site.assert_sound()


# Each on a small site


@pytest.fixture
def site(server: Server, migrated: tuple[str, Path], tmp_path: Path) -> Iterator[RestoredSite]:
    with ExitStack() as stack:
        yield RestoredSite.made(stack, server, migrated, tmp_path)


def saved_yesterday(site: RestoredSite) -> Contents:
    """A ledger that was saved two hours ago, with the key file's folder: what is kept there knows no more than it."""
    site.rule("1", project=BRAIN, patient_id="B-[0-9]+")
    by_rule(site, 1)
    site.gets_through("run")
    site.is_moved_back(hours=2)
    return site.saved()


def test_a_machine_that_was_restored_with_its_key_file_is_noticed_by_what_redcap_knows(site: RestoredSite) -> None:
    backup, head = saved_yesterday(site), heads.head_file(site.key_file).read_bytes()
    by_rule(site, 2)
    site.gets_through("run")
    site.restore(backup)
    heads.head_file(site.key_file).write_bytes(head)
    before = site.in_redcap()
    assert site.command("run").exit_code == 4
    (doubted,) = site.events("LedgerDoubted")
    assert doubted["reason"].startswith("REDCap's Incoming holds series of 1 studies, such as 1.2, ")
    assert site.events("TransferRequested")[1:] == []
    assert site.in_redcap() == before
    assert "1.2" in site.gets_through("adopt", "--after-restore", "--yes")
    site.gets_through("run")
    assert site.in_redcap() == before
    site.assert_sound()


def test_a_restored_ledger_is_told_before_anything_has_worked_with_it(site: RestoredSite) -> None:
    """All screens said that the gateway does its work, until a run began."""
    backup = saved_yesterday(site)
    by_rule(site, 2)
    site.gets_through("run")
    site.restore(backup)
    check = site.command("check")
    assert (check.exit_code, "CRITICAL" in check.output) == (2, True)
    status = site.command("status")
    assert status.exit_code == 1
    assert "adopt --after-restore" in " ".join(status.output.split())
    assert site.events("LedgerDoubted") == []


def test_an_id_that_autoid_alone_knows_is_noticed(site: RestoredSite) -> None:
    site.project()
    by_id(site, 1)
    backup = saved_yesterday(site)
    site.gets_through("run")
    head = heads.head_file(site.key_file).read_bytes()
    by_id(site, 2)
    site.gets_through("run")
    drawn = site.in_redcap()
    del site.incoming.records["1.2"]
    site.restore(backup)
    heads.head_file(site.key_file).write_bytes(head)
    assert site.command("run").exit_code == 4
    assert "AutoID" in site.events("LedgerDoubted")[0]["reason"]
    assert site.in_redcap()[1] == drawn[1]


class _KilledAfterImport(Steps):
    """Kills a run once REDCap holds study 1.2, before that can be recorded."""

    def __init__(self, site: RestoredSite) -> None:
        super().__init__()
        self._records = site.incoming.records

    def before_commit(self, connection: Connection) -> None:
        super().before_commit(connection)
        if "1.2" in self._records:
            raise Killed


def test_an_outage_in_which_people_went_on_is_no_loss(site: RestoredSite) -> None:
    """Nor what a run left that was killed between its import and its record."""
    saved_yesterday(site)
    by_rule(site, 2)
    with pytest.raises(Killed):
        site.machine.run(_KilledAfterImport(site))
    site.bury()
    assert "1.2" in site.incoming.records
    site.person_requests("1.1", HEART, "H-0001")
    site.person_requests("1.9", HEART, "H-0002")
    site.command("run")
    assert site.events("LedgerDoubted") == []
    assert site.query("select count(*) from gateway.pause") == [(0,)]
    site.command("run")
    assert site.asked() == IDLE, "an idle run asks nothing more"


@pytest.mark.parametrize("how", ["retracted", "deleted"])
def test_what_has_ended_stays_so_though_its_files_were_away_when_the_ledger_was_accepted(
    site: RestoredSite, how: str
) -> None:
    """Nothing asked for it by then, so that nothing was ended, and its files brought it back."""
    backup = saved_yesterday(site)
    by_rule(site, 2)
    site.gets_through("run")
    if how == "retracted":
        site.gets_through("retract", "1.2", "--project", BRAIN, *REASON)
    else:
        site.person_deletes_transfer("1.2", 1)
        site.gets_through("run")
    site.vanish("1.2")
    site.restore(backup)
    assert named(site.preview()["ended"]) == {("1.2", BRAIN)}
    site.gets_through("adopt", "--after-restore", "--yes")
    before = site.transfers("1.2")
    site.come_back("1.2")
    site.gets_through("run")
    assert site.transfers("1.2") == before
    site.assert_sound()


def test_an_entry_that_the_export_leaves_out_is_told_before_anybody_says_yes(site: RestoredSite) -> None:
    """What it asks for had been retracted, and would come back with it."""
    backup = saved_yesterday(site)
    site.series("1.2", PatientID="X-2", PatientName="Anon^2")
    coupled(site, 2, "B-2")
    site.gets_through("run")
    site.gets_through("retract", "1.2", "--project", BRAIN, *REASON)
    site.restore(backup)
    with site.left_out("coupling", "2"):
        (warning,) = site.preview()["warnings"]
    assert "export of coupling lacks 1 records" in warning
    assert "such as 2:" in warning
    assert site.preview()["warnings"] == []


def test_what_an_export_leaves_out_is_neither_ended_nor_placed(site: RestoredSite) -> None:
    """REDCap's log tells that the record was written to, and not that anybody deleted it."""
    backup = saved_yesterday(site)
    site.sender_sends("1.1", 1)
    by_rule(site, 2)
    site.gets_through("run")
    before = site.in_redcap()
    site.restore(backup)
    with site.left_out("incoming", "1.1", "1.2"):
        site.gets_through("adopt", "--after-restore", "--yes")
        shown = site.query("select study, state from gateway.transfer order by study")
    assert [tuple(row) for row in shown] == [("1.1", "placed"), ("1.2", "ending")]
    site.gets_through("run")
    assert site.in_redcap()[0][0] == before[0][0]
    assert site.transfers("1.1") == {1: Asked(BRAIN, "B-1", sent=True)}


def test_without_redcaps_log_it_says_what_it_cannot_know(site: RestoredSite) -> None:
    backup = saved_yesterday(site)
    by_rule(site, 2, 3)
    site.gets_through("run")
    site.person_deletes_transfer("1.2", 1)
    site.gets_through("retract", "1.3", "--project", BRAIN, *REASON)
    site.restore(backup)
    site.incoming.rights = Rights(logging=False)
    shown = site.preview()
    assert "it needs the right Logging" in shown["warnings"][0]
    assert named(shown["would_place"]) | named(shown["ended"]) == {("1.2", BRAIN), ("1.3", BRAIN)}


def test_what_was_appended_is_kept_though_the_database_is_away_by_then(site: RestoredSite) -> None:
    """A standby takes over in the midst of a run, and lacks its last seconds."""
    saved_yesterday(site)
    before = heads.kept(site.key_file)
    with site.machine.gateway() as gateway:
        with gateway.begin() as work:
            work.record([StartedFresh(site="main", by="a test", records=0)])
        gateway.database.close()
        gateway.keep_head(site.key_file)
    after = heads.kept(site.key_file)
    assert before is not None
    assert after is not None
    assert after.position == before.position + 1
