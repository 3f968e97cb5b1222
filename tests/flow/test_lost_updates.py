"""A person's row that ours was written over is found in REDCap's log and reported; nothing else is."""

import contextlib
import math
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from processors.cli.console import print_report
from processors.delivery.lost_updates import Checked, Placement, fate, find_clashes
from processors.demo.simulator import Fault
from processors.gateway import Gateway
from processors.redcap import Banned, LogLine, NoRateLimit, Redcap
from processors.run import Report
from tests.flow.conftest import MakeSite
from tests.flow.harness import BRAIN, HEART, Asked, Killed, Site, Steps
from tests.flow.meanwhile import meanwhile

LOST_UPDATE = "written over by this system"


@pytest.fixture
def coupled(site: Site) -> Site:
    return with_coupled_study(site)


def with_coupled_study(site: Site) -> Site:
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    return site


def client_of(site: Site) -> Redcap:
    return Redcap(url=site.simulator.url, tokens=site.tokens, rate_limit=NoRateLimit())


def log_calls(site: Site) -> list[str]:
    return [call.project for call in site.calls if call.content == "log"]


# -- found ---------------------------------------------------------------------------------------------------


def test_the_ledger_says_where_and_for_which_request_but_not_what_either_said(coupled: Site) -> None:
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900"))
    report = coupled.run()
    ((request,),) = coupled.query("select position from gateway.transfer")
    told = {"study": "1.2.3", "project": HEART, "kind": "transfer", "request": request, "instance": 1}
    assert coupled.events("LostUpdateFound") == [told | {"series": None}]
    assert (report.checked.clashes, report.checked.warnings) == (1, [])
    assert report.attention == {LOST_UPDATE: 1}
    assert "B-900" not in coupled.everything_stored()
    coupled.assert_sound()


def test_it_is_told_once(coupled: Site) -> None:
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900"))
    coupled.run()
    coupled.series("1.2.4")
    coupled.run()
    coupled.run()
    assert coupled.notices() == [(LOST_UPDATE, "1.2.3")]


def test_the_same_project_under_another_pseudonym_is_a_lost_update(coupled: Site) -> None:
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", HEART, "H-900"))
    assert coupled.run().attention == {LOST_UPDATE: 1}


def test_the_same_pseudonym_for_another_event_is_a_lost_update(coupled: Site) -> None:
    """Our event name is blank, and a blank one is left out: theirs still stands there, in our row."""
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", HEART, "H-001", event="followup"))
    assert coupled.run().attention == {LOST_UPDATE: 1}


def test_in_a_record_that_existed_before_it_is_found_too(coupled: Site) -> None:
    coupled.person_requests("1.2.3", "Other", "O-1")
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900"))
    assert coupled.run().attention == {LOST_UPDATE: 1}
    assert [event["instance"] for event in coupled.events("LostUpdateFound")] == [2]


def test_it_is_found_among_other_records(coupled: Site) -> None:
    coupled.series("1.2.4")
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900"))
    assert coupled.run().attention == {LOST_UPDATE: 1}


def test_a_series_row_of_another_program_is_a_lost_update(coupled: Site) -> None:
    row = {"study_instance_uid": "1.2.3", "redcap_repeat_instrument": "series", "redcap_repeat_instance": "1"}
    meanwhile(coupled, lambda: coupled.incoming.put([{**row, "series_instance_uid": "9.9.9"}]))
    assert coupled.run().attention == {LOST_UPDATE: 1}
    told = {"study": "1.2.3", "project": "", "kind": "series", "series": "1.2.3.1", "instance": 1}
    assert coupled.events("LostUpdateFound") == [told | {"request": None}]


def test_where_transfers_have_a_project_of_their_own_its_log_is_asked(make_site: MakeSite) -> None:
    site = with_coupled_study(make_site(separate_transfers=True))
    meanwhile(site, lambda: site.person_requests("1.2.3", BRAIN, "B-900"), project="transfers")
    assert site.run().attention == {LOST_UPDATE: 1}
    assert log_calls(site) == ["incoming", "transfers"]


class KilledOnceImported(Steps):
    """Kills at the first step of this name after REDCap has stored an import into Incoming."""

    def __init__(self, site: Site, name: str) -> None:
        super().__init__()
        self._site = site
        self._name = name

    def step(self, name: str) -> None:
        imported = any(call.action == "import" and call.project == "incoming" for call in self._site.calls)
        if imported and name == self._name:
            raise Killed
        super().step(name)


@pytest.mark.parametrize("step", ["before a commit", "after a commit", "before a call"])
def test_a_run_killed_before_it_could_look_is_made_up_for_by_the_next(coupled: Site, step: str) -> None:
    """Before the row was recorded, after that, and before the log was asked."""
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900"))
    with contextlib.suppress(Killed):
        coupled.run(KilledOnceImported(coupled, step))
        raise AssertionError("expected the run to be killed")
    assert coupled.notices() == []
    assert coupled.run().attention == {LOST_UPDATE: 1}
    coupled.run()
    assert coupled.notices() == [(LOST_UPDATE, "1.2.3")]


# -- no false alarm --------------------------------------------------------------------------------------------


def test_a_person_who_writes_to_another_instance_is_no_lost_update(coupled: Site) -> None:
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900", instance=4))
    assert not coupled.run().needs_attention


def test_a_person_who_writes_elsewhere_in_the_record_is_no_lost_update(coupled: Site) -> None:
    meanwhile(coupled, lambda: coupled.incoming.put([{"study_instance_uid": "1.2.3", "study_description": "Kari's"}]))
    assert not coupled.run().needs_attention


def test_the_same_instance_of_another_instrument_is_no_lost_update(coupled: Site) -> None:
    row = {"study_instance_uid": "1.2.3", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    meanwhile(coupled, lambda: coupled.incoming.put([{**row, "transfer_error_message": "seen by Kari"}]))
    assert not coupled.run().needs_attention


def test_a_person_who_asks_for_the_very_same_is_no_lost_update(coupled: Site) -> None:
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", HEART, "H-001"))
    assert not coupled.run().needs_attention


def test_a_person_who_corrects_our_row_later_is_no_lost_update(coupled: Site) -> None:
    def correct(_call: object) -> None:
        coupled.simulator.after_commit = None
        coupled.person_requests("1.2.3", BRAIN, "B-900", instance=1)

    coupled.simulator.after_commit = correct
    coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(BRAIN, "B-900")}
    assert coupled.notices() == []


def test_a_row_that_was_deleted_before_we_read_is_no_lost_update(coupled: Site) -> None:
    coupled.person_requests("1.2.3", BRAIN, "B-900")
    coupled.person_deletes_transfer("1.2.3", 1)
    assert not coupled.run().needs_attention


def test_a_record_that_was_deleted_before_we_read_is_no_lost_update(coupled: Site) -> None:
    coupled.person_requests("1.2.3", BRAIN, "B-900")
    coupled.person_deletes("1.2.3")
    assert not coupled.run().needs_attention


def test_a_request_that_a_person_corrected_before_we_found_it_is_no_lost_update(coupled: Site) -> None:
    coupled.person_requests("1.2.3", HEART, "H-900")
    coupled.person_requests("1.2.3", HEART, "H-001", instance=1)
    assert not coupled.run().needs_attention
    assert [event["found"] for event in coupled.events("TransferPlaced")] == [True]


def test_our_own_imports_are_no_lost_updates(coupled: Site) -> None:
    coupled.run()
    coupled.entry(accession="ACC-1", subject="H-002")
    coupled.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    coupled.grow("1.2.3")
    coupled.run()
    coupled.entry("2", accession="ACC-1", project=BRAIN, subject="B-001")
    assert not coupled.run().needs_attention


def test_an_amendment_by_a_run_that_was_killed_before_recording_it_is_no_lost_update(coupled: Site) -> None:
    """It used to be one: the next run finds the request in an instance where another of ours stood."""
    coupled.run()
    coupled.entry(accession="ACC-1", subject="H-002")
    with contextlib.suppress(Killed):
        coupled.run(KilledOnceImported(coupled, "before a commit"), after=30)
        raise AssertionError("expected the run to be killed")
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-002")}
    assert not coupled.run(after=30).needs_attention
    assert coupled.notices() == []


# -- what it costs ---------------------------------------------------------------------------------------------


def test_the_log_is_asked_once_and_only_by_runs_that_placed_something(coupled: Site) -> None:
    coupled.run()
    assert log_calls(coupled) == ["incoming"]
    coupled.run()
    assert log_calls(coupled) == []
    coupled.grow("1.2.3")
    coupled.run()
    assert "1.2.3" in coupled.incoming.records
    assert log_calls(coupled) == []


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("batch_rows", [2, 500])
def test_new_rows_stay_within_the_calls_allowed(make_site: MakeSite, batch_rows: int, *, separate: bool) -> None:
    site = make_site(batch_rows=batch_rows, separate_transfers=separate)
    with_coupled_study(site).run()  # which also looks at the dictionaries
    idle = site.run().calls
    for study in ("1.2.4", "1.2.5"):
        site.series(study, AccessionNumber="ACC-1")
    rows = {"incoming": 4, "transfers": 2} if separate else {"incoming": 6}
    allowed = sum(2 + 2 * math.ceil(count / batch_rows) for count in rows.values())
    assert site.run().calls <= idle + allowed


@pytest.mark.parametrize(("largest", "calls"), [(1, []), (2, ["incoming"])])
def test_rows_too_many_for_the_log_are_not_looked_up_and_that_is_said(
    coupled: Site, gateway: Gateway, largest: int, calls: list[str]
) -> None:
    coupled.run()  # a series and a transfer
    coupled.query("delete from gateway.clash_check returning site")
    coupled.calls.clear()
    with client_of(coupled) as redcap:
        checked = find_clashes(gateway, redcap, largest=largest)
        assert find_clashes(gateway, redcap, largest=largest) == Checked()
    assert log_calls(coupled) == calls
    assert [warning.partition(" are new")[0] for warning in checked.warnings] == (
        [] if calls else ["incoming: more than 1 rows"]
    )


# -- a log that does not tell ----------------------------------------------------------------------------------


def test_without_the_right_the_run_goes_on_and_says_so_once_a_day(
    coupled: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    coupled.incoming.revoke("logging")
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900"))
    report = coupled.run()
    assert not report.needs_attention
    print_report(report)
    line = "(give the user of redcap.tokens.incoming the right Logging): rows of others that were written over"
    assert line in capsys.readouterr().out
    coupled.series("1.2.4")
    assert coupled.run().checked.warnings == []
    coupled.clock.advance(24 * 3600)
    coupled.series("1.2.5")
    assert len(coupled.run().checked.warnings) == 1


@pytest.mark.parametrize("east", [-11, -3, 3, 13])
def test_a_log_in_another_zone_is_read_all_the_same(coupled: Site, east: int) -> None:
    coupled.incoming.clock = lambda: coupled.clock() + timedelta(hours=east)
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900"))
    assert coupled.run().attention == {LOST_UPDATE: 1}


def test_a_log_whose_time_is_no_zones_gives_no_alarm_and_is_told(coupled: Site) -> None:
    coupled.incoming.clock = lambda: coupled.clock() - timedelta(hours=30)
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900"))
    report = coupled.run()
    assert not report.needs_attention
    (warning,) = report.checked.warnings
    assert warning.startswith("incoming: REDCap's log does not show what was just written")


@pytest.mark.parametrize("kind", ["status", "reset", "truncated_json", "offline", "empty"])
def test_a_log_that_does_not_answer_is_asked_again_in_an_hour(coupled: Site, kind: str) -> None:
    coupled.simulator.inject(Fault(kind=kind, status=504, content="log", times=None))
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900"))
    report = coupled.run()
    assert "is asked again in an hour" in report.checked.warnings[0]
    assert log_calls(coupled) == ["incoming"]
    coupled.simulator.clear_faults()
    assert (coupled.run().attention, log_calls(coupled)) == ({}, [])
    coupled.clock.advance(3600)
    assert coupled.run().attention == {LOST_UPDATE: 1}


def test_a_ban_ends_the_run_as_ever_and_the_next_one_looks(coupled: Site) -> None:
    coupled.simulator.inject(Fault(kind="banned", content="log"))
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900"))
    with pytest.raises(Banned):
        coupled.run()
    assert coupled.run().attention == {LOST_UPDATE: 1}


def test_what_was_placed_more_than_a_day_ago_is_not_looked_up(coupled: Site) -> None:
    """An upgraded ledger may hold a million placements that nobody has compared."""
    coupled.run()
    coupled.query("delete from gateway.clash_check returning site")
    coupled.clock.advance(25 * 3600)
    coupled.run()
    assert log_calls(coupled) == []


def test_a_request_whose_pseudonym_was_forgotten_is_passed_over(coupled: Site, gateway: Gateway) -> None:
    coupled.run()
    coupled.query("delete from gateway.clash_check returning site")
    with gateway.begin() as work:
        gateway.vault.forget(work.connection, list(work.execute(text("select subject from ledger.subject")).scalars()))
    with client_of(coupled) as redcap:
        assert find_clashes(gateway, redcap) == Checked()


# -- the rule itself -------------------------------------------------------------------------------------------

OURS = {"transfer_project_name": HEART, "transfer_name": "H-001", "transfer_event_name": ""}


def placed(*, instance: int = 1, found: bool = False) -> Placement:
    moment = datetime.fromisoformat("2026-03-02T09:00:00+01:00")
    return Placement(
        study="1.2.3",
        kind="transfer",
        key="7",
        instance=instance,
        found=found,
        placed_at=moment,
        project=HEART,
        requested="2026-03-02 09:00",
        wrote=OURS,
    )


def line(instance: int | None = 1, *, deleted: bool = False, **values: str) -> LogLine:
    return LogLine(record="1.2.3", instance=instance, deleted=deleted, values=values)


WRITTEN = line(transfer_project_name=HEART, transfer_name="H-001", transfer_requested_date="2026-03-02 09:00")
THEIRS = line(transfer_project_name=BRAIN, transfer_name="B-900")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "not in the log"),
        ([THEIRS], "not in the log"),
        ([WRITTEN], "alone"),
        ([THEIRS, WRITTEN], "clash"),
        ([WRITTEN, THEIRS], "alone"),
        ([WRITTEN, THEIRS, WRITTEN], "alone"),
        ([line(2, transfer_project_name=BRAIN, transfer_name="B-900"), WRITTEN], "alone"),
        ([THEIRS, line(transfer_project_name="", transfer_name=""), WRITTEN], "alone"),
        ([THEIRS, line(deleted=True), WRITTEN], "alone"),
        ([THEIRS, line(None, deleted=True), WRITTEN], "alone"),
        ([THEIRS, line(2, deleted=True), WRITTEN], "clash"),
        ([line(transfer_project_name=HEART, transfer_name="H-9"), line(transfer_name="H-001")], "clash"),
        ([line(transfer_project_name=HEART), line(transfer_name="H-001")], "alone"),
    ],
)
def test_only_what_stood_there_right_before_ours_counts(lines: list[LogLine], expected: str) -> None:
    assert fate(placed(), lines) == expected


def test_a_row_found_there_is_ours_only_if_it_tells_the_minute_of_our_request() -> None:
    corrected = line(transfer_project_name=HEART, transfer_name="H-001", transfer_requested_date="2026-03-01 07:30")
    assert fate(placed(found=True), [THEIRS, corrected]) == "not in the log"
    assert fate(placed(found=True), [THEIRS, WRITTEN]) == "clash"


def test_a_report_without_a_check_has_nothing_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(Report())
    assert capsys.readouterr().out == ""
