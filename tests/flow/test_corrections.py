"""What a corrected coupling entry does to the request it has led to."""

from datetime import datetime

import pytest

from processors.demo.simulator import Fault
from processors.errors import ServiceError
from processors.operations.replay import Scope
from tests.flow.conftest import MakeSite
from tests.flow.harness import BRAIN, HEART, Asked, Site
from tests.operations.operator import replay_all

SUPERSEDED = [("replaced after it was sent", "1.2.3")]
POSSIBLY_SENT = {"may have been sent": 1}
HOUR = 3_600
ARRIVAL = datetime.fromisoformat("2026-03-02T12:00:00+01:00")


@pytest.fixture
def coupled(site: Site) -> Site:
    """A study that an entry has sent to the heart study."""
    site.entry(accession="ACC-1", subject="H-001", event="baseline")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001", "baseline")}
    return site


def closed(row: dict[str, str]) -> dict[str, str]:
    """The row as it is once it cannot be sent any more: without its name, all else as it was."""
    return {name: value for name, value in row.items() if name != "transfer_name"}


def asked(site: Site) -> list[Asked]:
    """What can be sent of the study."""
    return [each for each in site.transfers("1.2.3").values() if each.name]


def test_a_corrected_subject_amends_what_the_sender_cannot_have_taken(coupled: Site) -> None:
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    report = coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-002", "baseline")}
    assert not report.needs_attention


def test_an_event_name_that_becomes_blank_is_erased(coupled: Site) -> None:
    coupled.entry(accession="ACC-1", subject="H-001", event="")
    coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_a_corrected_project_amends_the_same_row(coupled: Site) -> None:
    coupled.entry(accession="ACC-1", project=BRAIN, subject="B-001")
    coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(BRAIN, "B-001")}


@pytest.mark.parametrize("is_deleted", [False, True], ids=["their row stands", "their row is deleted"])
@pytest.mark.parametrize("corrected", [{"subject": "H-002"}, {"subject": "B-001", "project": BRAIN}])
def test_what_was_sent_by_a_person_s_row_that_says_the_same_is_listed_when_the_entry_is_corrected(
    site: Site, corrected: dict[str, str], *, is_deleted: bool
) -> None:
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_requests("1.2.3", HEART, "H-001", instance=1)
    site.entry(accession="ACC-1", subject="H-001")
    site.run()
    site.sender_sends("1.2.3", 1)
    site.run()
    if is_deleted:
        site.person_deletes_transfer("1.2.3", 1)
    site.entry(accession="ACC-1", **corrected)
    site.run()
    assert site.notices() == SUPERSEDED
    site.assert_sound()


def test_an_amended_row_says_when_it_was_amended(coupled: Site) -> None:
    coupled.entry(accession="ACC-1", subject="H-002")
    coupled.run()
    assert coupled.transfer_rows("1.2.3")[1]["transfer_requested_date"] == "2026-03-02 09:02"


@pytest.mark.parametrize("corrected", [{"subject": "H-002"}, {"subject": "B-001", "project": BRAIN}])
def test_a_row_that_the_sender_may_have_taken_is_closed_and_another_placed(
    coupled: Site, corrected: dict[str, str]
) -> None:
    before = coupled.transfer_rows("1.2.3")
    coupled.entry(accession="ACC-1", **corrected)
    report = coupled.run(after=61)
    assert coupled.transfer_rows("1.2.3")[1] == closed(before[1])
    assert coupled.transfers("1.2.3")[2] == Asked(corrected.get("project", HEART), corrected["subject"])
    assert report.attention == POSSIBLY_SENT
    coupled.assert_sound()


def test_what_the_sender_writes_into_a_closed_row_settles_what_became_of_it(coupled: Site) -> None:
    coupled.entry(accession="ACC-1", subject="H-002")
    coupled.run(after=61)
    coupled.sender_sends("1.2.3", 1)
    assert coupled.run().attention == {"sent after it was ended": 1}
    asked = coupled.query("select state, sent, mapped_uids from audit.transfer order by position")
    assert asked == [("closed", True, ["2.25.1.2.3"]), ("placed", False, None)]
    coupled.assert_sound()


def test_a_row_that_failed_is_amended_however_long_it_stood(coupled: Site) -> None:
    place = {"study_instance_uid": "1.2.3", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    coupled.incoming.put([{**place, "transfer_error___2": "1", "transfer_date": "2026-03-02 09:02"}])
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    report = coupled.run(after=HOUR)
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-002", "baseline")}
    assert not report.needs_attention


def test_a_correction_after_sending_places_a_new_row_and_lists_the_old_one(coupled: Site) -> None:
    coupled.sender_sends("1.2.3", 1)
    before = coupled.transfer_rows("1.2.3")
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    coupled.run()
    assert coupled.transfer_rows("1.2.3")[1] == closed(before[1])
    assert coupled.transfers("1.2.3") == {
        1: Asked(HEART, "", "baseline", sent=True),
        2: Asked(HEART, "H-002", "baseline"),
    }
    assert coupled.notices() == SUPERSEDED


def test_a_superseded_row_is_listed_once_although_the_import_was_cut_off(coupled: Site) -> None:
    coupled.sender_sends("1.2.3", 1)
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    coupled.run_killed_before_import()
    coupled.run()
    assert coupled.transfers("1.2.3")[2] == Asked(HEART, "H-002", "baseline")
    assert coupled.notices() == SUPERSEDED


def test_corrected_twice_before_delivery_the_last_word_counts(coupled: Site) -> None:
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    coupled.run_killed_before_import(after=30)
    coupled.entry(accession="ACC-1", subject="H-003", event="baseline")
    coupled.run(after=30)
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-003", "baseline")}


def test_corrected_twice_before_delivery_after_sending_the_old_row_is_listed_once(coupled: Site) -> None:
    coupled.sender_sends("1.2.3", 1)
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    coupled.run_killed_before_import()
    coupled.entry(accession="ACC-1", subject="H-003", event="baseline")
    coupled.run()
    assert coupled.transfers("1.2.3") == {
        1: Asked(HEART, "", "baseline", sent=True),
        2: Asked(HEART, "H-003", "baseline"),
    }
    assert coupled.notices() == SUPERSEDED


def test_corrected_before_the_first_delivery_only_the_last_word_is_placed(site: Site) -> None:
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run_killed_before_import()
    site.entry(accession="ACC-1", subject="H-002")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-002")}


def test_corrected_back_the_row_says_again_what_it_said(coupled: Site) -> None:
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    coupled.run()
    coupled.entry(accession="ACC-1", subject="H-001", event="baseline")
    coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001", "baseline")}


def test_corrected_back_before_delivery_nothing_changes(coupled: Site) -> None:
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    coupled.run_killed_before_import()
    coupled.entry(accession="ACC-1", subject="H-001", event="baseline")
    coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001", "baseline")}


def test_corrected_back_before_delivery_what_was_sent_is_not_sent_again(coupled: Site) -> None:
    coupled.sender_sends("1.2.3", 1)
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    coupled.run_killed_before_import()
    coupled.entry(accession="ACC-1", subject="H-001", event="baseline")
    report = coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001", "baseline", sent=True)}
    assert not report.needs_attention


def test_corrected_back_after_both_were_sent_both_are_closed_and_it_is_placed_anew(coupled: Site) -> None:
    coupled.sender_sends("1.2.3", 1)
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    coupled.run()
    coupled.sender_sends("1.2.3", 2)
    before = coupled.transfer_rows("1.2.3")
    coupled.entry(accession="ACC-1", subject="H-001", event="baseline")
    coupled.run()
    rows = coupled.transfer_rows("1.2.3")
    assert (rows[1], rows[2]) == (before[1], closed(before[2]))
    assert coupled.transfers("1.2.3")[3] == Asked(HEART, "H-001", "baseline")
    assert coupled.notices() == SUPERSEDED * 2


def test_corrected_back_after_the_first_was_sent_the_second_is_amended(coupled: Site) -> None:
    coupled.sender_sends("1.2.3", 1)
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    coupled.run()
    coupled.entry(accession="ACC-1", subject="H-001", event="baseline")
    coupled.run()
    assert coupled.transfers("1.2.3") == {
        1: Asked(HEART, "", "baseline", sent=True),
        2: Asked(HEART, "H-001", "baseline"),
    }
    assert coupled.notices() == SUPERSEDED


def test_what_the_sender_wrote_of_the_old_request_is_cleared_from_an_amended_row(coupled: Site) -> None:
    place = {"study_instance_uid": "1.2.3", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    coupled.incoming.put([{**place, "transfer_error___2": "1", "transfer_error_message": "no route to host"}])
    coupled.entry(accession="ACC-1", subject="H-002")
    coupled.run()
    assert coupled.transfer_rows("1.2.3")[1] == {
        "transfer_requested_date": "2026-03-02 09:02",
        "transfer_project_name": HEART,
        "transfer_name": "H-002",
    }


def test_a_row_that_a_person_has_changed_is_not_amended(coupled: Site) -> None:
    coupled.person_requests("1.2.3", HEART, "H-777", event="baseline", instance=1)
    before = coupled.transfer_rows("1.2.3")
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    report = coupled.run()
    assert coupled.transfer_rows("1.2.3") == before
    assert report.attention == {
        "contested by a person": 1,
        "one patient, two pseudonyms": 1,
        "row deleted or changed in REDCap": 1,
    }


def test_a_corrected_accession_number_withdraws_the_request_and_places_it_where_it_belongs(coupled: Site) -> None:
    coupled.series("1.2.4", AccessionNumber="ACC-2")
    coupled.entry(accession="ACC-2", subject="H-001", event="baseline")
    report = coupled.run()
    assert coupled.transfers("1.2.3") == {}
    assert coupled.transfers("1.2.4") == {1: Asked(HEART, "H-001", "baseline")}
    assert not report.needs_attention


def test_a_corrected_accession_number_closes_what_was_sent_and_lists_it(coupled: Site) -> None:
    coupled.sender_sends("1.2.3", 1)
    before = coupled.transfer_rows("1.2.3")
    coupled.entry(accession="ACC-2", subject="H-001", event="baseline")
    coupled.run()
    assert coupled.transfer_rows("1.2.3") == {1: closed(before[1])}
    assert coupled.notices() == [("retracted after it was sent", "1.2.3")]


def test_a_corrected_accession_number_closes_what_the_sender_may_have_taken(coupled: Site) -> None:
    before = coupled.transfer_rows("1.2.3")
    coupled.entry(accession="ACC-2", subject="H-001", event="baseline")
    report = coupled.run(after=61)
    assert coupled.transfer_rows("1.2.3") == {1: closed(before[1])}
    assert report.attention == POSSIBLY_SENT


def test_a_withdrawn_request_is_placed_again_when_the_entry_is_corrected_back(coupled: Site) -> None:
    coupled.entry(accession="ACC-2", subject="H-001", event="baseline")
    coupled.run()
    coupled.entry(accession="ACC-1", subject="H-001", event="baseline")
    coupled.run()
    assert list(coupled.transfers("1.2.3").values()) == [Asked(HEART, "H-001", "baseline")]


def test_a_record_id_that_was_given_to_a_new_entry_unseen_counts_as_corrected(coupled: Site) -> None:
    """Nobody can tell the two apart: what is not asked for any more is not sent."""
    coupled.remove_entry()
    coupled.entry(accession="ACC-9", project=BRAIN, subject="B-005")
    coupled.run()
    assert coupled.transfers("1.2.3") == {}


def test_a_record_id_given_away_after_its_removal_was_seen_withdraws_nothing(coupled: Site) -> None:
    coupled.remove_entry()
    coupled.run()
    coupled.run()
    coupled.entry(accession="ACC-9", subject="H-001", event="baseline")
    coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001", "baseline")}


def test_an_entry_that_loses_its_subject_withdraws_nothing(coupled: Site) -> None:
    coupled.entry(accession="ACC-1", subject="", event="baseline")
    report = coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001", "baseline")}
    assert report.attention == {"unusable coupling entry": 1}


def test_a_moved_entry_leaves_what_another_entry_still_asks_for(coupled: Site) -> None:
    coupled.entry("2", accession="ACC-1", subject="H-001", event="baseline")
    coupled.run()
    coupled.entry("1", accession="ACC-1", project=BRAIN, subject="B-001")
    coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001", "baseline"), 2: Asked(BRAIN, "B-001")}


def test_an_entry_corrected_while_its_study_is_gone_withdraws_at_once_and_asks_when_it_returns(coupled: Site) -> None:
    """The old pseudonym used to stand until then: a sender that saw the study return first sent it."""
    coupled.vanish("1.2.3")
    coupled.run()
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "", "baseline")}
    coupled.come_back("1.2.3")
    report = coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "", "baseline"), 2: Asked(HEART, "H-002", "baseline")}
    assert report.attention == POSSIBLY_SENT


def test_a_rule_that_gives_another_name_to_a_late_series_amends_its_own_request(site: Site) -> None:
    site.rule(patient_id="PID-1")
    site.series("1.2.3")
    site.run()
    site.rule(patient_name="Doe", patient_id="")
    site.series("1.2.3", "1.2.3.2", PatientName="Doe")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "Doe")}


def test_with_transfers_in_a_project_of_their_own_corrections_work_alike(make_site: MakeSite) -> None:
    site = make_site(separate_transfers=True)
    site.entry("1", accession="ACC-1", subject="H-001")
    site.entry("2", accession="ACC-1", project=BRAIN, subject="B-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    heart = next(number for number, asked in site.transfers("1.2.3").items() if asked.project == HEART)
    site.sender_sends("1.2.3", heart)
    site.entry("1", accession="ACC-1", subject="H-002")
    site.entry("2", accession="ACC-1", project=BRAIN, subject="B-002")
    site.run()
    assert sorted(site.transfers("1.2.3").values()) == [
        Asked(BRAIN, "B-002"),
        Asked(HEART, "", sent=True),
        Asked(HEART, "H-002"),
    ]
    assert site.notices() == SUPERSEDED


@pytest.mark.parametrize("corrected", ["at once", "later"])
def test_an_entry_that_was_out_of_sight_for_a_run_is_still_the_same(coupled: Site, corrected: str) -> None:
    """Its request used to become a stranger's, beside which the correction was placed, or conflicted."""
    coupling = coupled.simulator.projects["coupling"]
    kept, coupling.records = coupling.records, {}
    coupled.run()
    coupling.records = kept
    coupled.run()
    if corrected == "later":
        coupled.run()
    coupled.entry(accession="ACC-1", project=BRAIN, subject="B-002")
    report = coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "", "baseline"), 2: Asked(BRAIN, "B-002")}
    assert report.attention == POSSIBLY_SENT
    coupled.assert_sound()


def test_a_request_of_ours_is_amended_though_a_person_changed_its_date(site: Site) -> None:
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    row = {"redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    site.incoming.put([{"study_instance_uid": "1.2.3", **row, "transfer_requested_date": "2026-01-01 00:00"}])
    site.entry(accession="ACC-1", subject="H-002")
    report = site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-002")}
    assert not report.needs_attention


def test_an_entry_corrected_to_another_study_and_pseudonym_withdraws_what_it_asked_for(coupled: Site) -> None:
    """It used to stand: the entry was taken for a new one under the record id of a removed one."""
    coupled.entry(accession="ACC-2", subject="H-002", event="baseline")
    report = coupled.run()
    assert coupled.transfers("1.2.3") == {}
    assert not report.needs_attention


def test_what_an_entry_asked_for_before_it_was_corrected_into_a_conflict_is_withdrawn(coupled: Site) -> None:
    """It used to stand, although nobody asked for it any more."""
    coupled.entry("2", accession="ACC-1", subject="H-003", event="baseline")
    coupled.entry("1", accession="ACC-1", subject="H-002", event="baseline")
    report = coupled.run()
    assert coupled.transfers("1.2.3") == {}
    assert report.attention == {"conflict": 1}


def test_what_a_rule_asks_for_comes_back_when_the_entry_that_outranked_it_is_moved(site: Site) -> None:
    """The study used to go nowhere until its next series came."""
    site.rule(patient_id="PID-1")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry(accession="ACC-9", subject="H-001")
    site.run()
    assert asked(site) == [Asked(HEART, "PID-1")]


def test_a_rule_that_is_newer_than_the_series_asks_for_nothing_when_an_entry_is_moved(coupled: Site) -> None:
    coupled.rule(patient_id="PID-1", event="baseline")
    coupled.run()
    coupled.entry(accession="ACC-9", subject="H-001", event="baseline")
    coupled.run()
    assert asked(coupled) == []


@pytest.mark.parametrize(
    ("scope", "then"),
    [
        (Scope(project=HEART), [Asked(HEART, "PID-1", "baseline")]),
        (Scope(project=HEART, since=ARRIVAL), [Asked(HEART, "PID-1", "baseline")]),
        (Scope(project=HEART, until=ARRIVAL), []),
        (Scope(project=BRAIN), []),
        (Scope(), []),
    ],
)
def test_a_newer_rule_that_a_replay_has_applied_counts_when_the_entry_that_outranked_it_is_moved(
    site: Site, scope: Scope, then: list[Asked]
) -> None:
    """The study went nowhere, though an operator had asked for what the rule says."""
    site.clock.now = ARRIVAL
    site.entry("2", accession="ACC-2", project=BRAIN, subject="B-001")
    site.entry(accession="ACC-1", subject="H-001", event="baseline")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.rule(patient_id="PID-1", event="baseline")
    site.run()
    replay_all(site, scope)
    assert asked(site) == [Asked(HEART, "H-001", "baseline")]
    site.entry(accession="ACC-9", subject="H-001", event="baseline")
    site.run()
    assert asked(site) == then


@pytest.mark.parametrize(
    ("scope", "then"),
    [
        (Scope(project=HEART), []),
        (Scope(project=HEART, include_vanished=True), [Asked(HEART, "PID-1", "baseline")]),
    ],
)
def test_a_replay_applies_no_rule_to_a_study_that_it_left_out(coupled: Site, scope: Scope, then: list[Asked]) -> None:
    coupled.rule(patient_id="PID-1", event="baseline")
    coupled.vanish("1.2.3")
    coupled.run()
    replay_all(coupled, scope)
    coupled.come_back("1.2.3")
    coupled.run()
    coupled.entry(accession="ACC-9", subject="H-001", event="baseline")
    coupled.run()
    assert asked(coupled) == then


def test_a_request_that_two_entries_asked_for_is_withdrawn_once_both_are_moved(coupled: Site) -> None:
    """The second correction used to go unseen, as the request had come from the first entry."""
    coupled.entry("2", accession="ACC-1", subject="H-001", event="baseline")
    coupled.run()
    coupled.entry(accession="ACC-9", subject="H-001", event="baseline")
    coupled.run()
    assert asked(coupled) == [Asked(HEART, "H-001", "baseline")]
    coupled.entry("2", accession="ACC-8", subject="H-001", event="baseline")
    coupled.run()
    assert asked(coupled) == []


def test_a_request_that_two_entries_asked_for_is_withdrawn_once_both_ask_for_something_else(coupled: Site) -> None:
    coupled.entry("2", accession="ACC-1", subject="H-001", event="baseline")
    coupled.run()
    coupled.entry("2", accession="ACC-1", project=BRAIN, subject="B-001")
    coupled.run()
    coupled.entry(accession="ACC-1", project=BRAIN, subject="B-001")
    coupled.run()
    assert asked(coupled) == [Asked(BRAIN, "B-001")]


# What the sender may hold although it looks otherwise


def failed(site: Site, at: str) -> None:
    place = {"study_instance_uid": "1.2.3", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    site.incoming.put([{**place, "transfer_error___2": "1", "transfer_date": at}])


def test_what_failed_and_got_a_late_series_may_be_in_the_senders_hands_again(coupled: Site) -> None:
    """The row was amended; the sender sent its copy of it, and that was told of the corrected request."""
    failed(coupled, "2026-03-02 09:20")
    coupled.run(after=HOUR)
    coupled.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    coupled.entry(accession="ACC-1", subject="H-002", event="baseline")
    report = coupled.run()
    assert coupled.transfers("1.2.3")[2] == Asked(HEART, "H-002", "baseline")
    assert asked(coupled) == [Asked(HEART, "H-002", "baseline")]
    assert report.attention["may have been sent"] == 1


@pytest.fixture
def unconfirmed(site: Site) -> Site:
    """A request whose row was stored, which nobody recorded: the answer to the import was cut off."""
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.simulator.inject(Fault(kind="reset", action="import", after_commit=True))
    with pytest.raises(ServiceError):
        site.run()
    site.simulator.clear_faults()
    return site


@pytest.mark.parametrize("ended", ["before it was sent", "after it was sent"])
def test_what_is_sent_of_a_row_whose_import_was_never_confirmed_is_told_of_the_request(
    unconfirmed: Site, ended: str
) -> None:
    """Its instance was known to no table: what was written into the emptied row was told of nothing."""
    if ended == "after it was sent":
        unconfirmed.sender_sends("1.2.3", 1)
    unconfirmed.entry(accession="ACC-9", subject="H-001")
    unconfirmed.run(after=20)
    if ended == "before it was sent":
        unconfirmed.sender_sends("1.2.3", 1)
    unconfirmed.run()
    assert asked(unconfirmed) == []
    assert unconfirmed.query("select instance, sent, sends from audit.transfer") == [(1, True, 1)]
    unconfirmed.assert_sound()


def test_a_row_whose_import_was_never_confirmed_stands_since_it_was_asked_for(unconfirmed: Site) -> None:
    """It counted from when a run met it there: the sender had it for long, and it was amended."""
    unconfirmed.run(after=300)
    unconfirmed.entry(accession="ACC-1", subject="H-002")
    report = unconfirmed.run(after=20)
    assert unconfirmed.transfers("1.2.3") == {1: Asked(HEART, ""), 2: Asked(HEART, "H-002")}
    assert report.attention == POSSIBLY_SENT
