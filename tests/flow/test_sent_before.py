"""What was sent stays so, though the sender tries again and fails, or somebody takes the date away."""

from collections.abc import Callable

import pytest

from processors.events.transfers import TransferAdopted
from processors.gateway import patient_subject
from tests.flow.harness import BRAIN, HEART, Asked, Site
from tests.operations.operator import amend_by_hand, replay_all
from tests.operations.withdrawing import withdraws

SENT_AT = "2026-03-02 08:55"
"""The date that the sender wrote."""
FAILED, CHANGED = "transfer failed", "row deleted or changed in REDCap"

Since = Callable[[Site], None]


@pytest.fixture
def sent(site: Site) -> Site:
    """Study 1.2.3 was sent to the project as H-001."""
    site.series("1.2.3", PatientID="4711")
    site.entry("1", study="1.2.3", subject="H-001")
    site.run()
    site.clock.advance(3_600)
    site.sender_sends("1.2.3", 1)
    site.run()
    return site


def _failed(site: Site) -> None:
    site.series("1.2.3", "1.2.3.2", PatientID="4711")
    site.clock.advance(3_600)
    site.sender_fails("1.2.3", 1)


def _date_taken_away(site: Site) -> None:
    site.transfer_project.put([_place(1) | {"transfer_date": ""}])


def _place(instance: int) -> dict[str, str]:
    return {
        "study_instance_uid": "1.2.3",
        "redcap_repeat_instrument": "transfers",
        "redcap_repeat_instance": str(instance),
    }


def adopt_as_sent(site: Site) -> None:
    """The row counts as sent, and as somebody else's, since it was found in REDCap after a restore."""
    adopted = TransferAdopted(study="1.2.3", project=HEART, event_name="", instance=1, sent=True, requested=None)
    with site.own_gateway().begin() as work:
        work.record([work.seal(adopted, patient_subject("1.2.3", "4711"))])


SINCE = pytest.mark.parametrize("since", [_failed, _date_taken_away])


@SINCE
def test_a_replay_does_not_send_it_again(sent: Site, since: Since) -> None:
    """It used to place the deleted row again, and the study was sent twice."""
    since(sent)
    sent.run()
    sent.person_deletes_transfer("1.2.3", 1)
    replay_all(sent)
    assert sent.transfers("1.2.3") == {}


@SINCE
def test_its_date_stays_that_of_the_sending(sent: Site, since: Since) -> None:
    """That of the attempt that failed was told as when it was sent."""
    since(sent)
    sent.run()
    tried_at = sent.transfer_rows("1.2.3")[1].get("transfer_date")
    assert sent.query("select first_sent_at, sent_at, tried_at from audit.transfer") == [(SENT_AT, SENT_AT, tried_at)]
    withdraws(sent, patient="4711")
    assert sent.query("select sent_at from audit.task where open") == [(SENT_AT,)]
    sent.assert_sound()


@SINCE
def test_once_retracted_it_is_told_that_it_was_sent(sent: Site, since: Since) -> None:
    since(sent)
    sent.run()
    amend_by_hand(sent, "1.2.3")
    assert sent.events("TransferWithdrawn")[0]["fate"] == "sent"
    assert sent.run().attention == {"retracted after it was sent": 1}
    assert sent.query("select sent, sends, state, mapped_uids from audit.transfer") == [
        (True, 1, "closed", ["2.25.1.2.3"])
    ]
    assert _asked(sent) == []
    sent.assert_sound()


@SINCE
def test_a_withdrawal_makes_it_a_task(sent: Site, since: Since) -> None:
    since(sent)
    sent.run()
    withdraws(sent, patient="4711")
    assert sent.query("select what, mapped_uids from audit.task where open") == [("sent", ["2.25.1.2.3"])]


def test_what_a_restored_ledger_has_adopted_of_its_own_is_one_task(sent: Site) -> None:
    """One sending needed `done` twice: by what the sender wrote, and by what was found there after the restore."""
    withdraws(sent, patient="4711")
    before = sent.query("select position, what from audit.task")
    adopt_as_sent(sent)
    assert sent.query("select position, what from audit.task") == before == [(before[0][0], "sent")]


def test_what_was_adopted_as_sent_stays_a_task_where_our_request_was_not(site: Site) -> None:
    site.series("1.2.3", PatientID="4711")
    site.entry("1", study="1.2.3", subject="H-001")
    site.run()
    withdraws(site, patient="4711")
    adopt_as_sent(site)
    assert "sent" in [what for (what,) in site.query("select what from audit.task where open")]


@SINCE
def test_a_correction_is_not_written_over_it(sent: Site, since: Since) -> None:
    since(sent)
    sent.run()
    sent.entry("1", study="1.2.3", subject="H-002")
    sent.run()
    assert sent.transfers("1.2.3")[2] == Asked(HEART, "H-002")
    assert sent.transfer_rows("1.2.3")[1]["transfer_mapped_uid"] == "2.25.1.2.3"
    assert sent.attention()["replaced after it was sent"] == 1


@SINCE
def test_the_pseudonym_stays_the_patient_s(sent: Site, since: Since) -> None:
    since(sent)
    sent.run()
    amend_by_hand(sent, "1.2.3")
    sent.series("1.2.4", PatientID="4712")
    sent.entry("2", study="1.2.4", subject="H-001")
    sent.run()
    assert sent.transfers("1.2.4") == {}
    assert sent.attention()["two patients, one pseudonym"] == 1


def test_of_what_has_ended_a_date_that_is_taken_away_settles_nothing(sent: Site) -> None:
    """It was taken for a wish to have it sent again, and what was to be removed downstream left the list."""
    sent.entry("1", study="1.2.3", subject="H-002")
    sent.run()
    sent.transfer_project.put([_place(1) | {"transfer_date": "2026-03-02 10:30"}])
    assert sent.run().attention == {"replaced after it was sent": 1, "sent after it was ended": 1}
    _date_taken_away(sent)
    assert sent.run().attention == {"replaced after it was sent": 1, "sent after it was ended": 1}
    assert sent.query("select sent, sends, sent_at from audit.transfer order by position limit 1") == [
        (True, 2, "2026-03-02 10:30")
    ]
    sent.assert_sound()


def _other_uid(site: Site, uid: str = "2.25.999", **fields: str) -> None:
    site.transfer_project.put([_place(1) | {"transfer_mapped_uid": uid} | fields])


def test_another_study_uid_of_the_same_date_is_no_other_sending_and_both_are_kept(sent: Site) -> None:
    """It counted as sent twice, and the study UID that has to be removed downstream was gone."""
    _other_uid(sent)
    looked = sent.run().looked
    assert looked is not None
    assert (looked.sent, looked.told_again) == (0, 1)
    asked = "select sends, first_sent_at, sent_at, mapped_uids from audit.transfer"
    told = (1, "2026-03-02 08:55", "2026-03-02 08:55", ["2.25.1.2.3", "2.25.999"])
    assert sent.query(asked) == [told]
    for uid in ("2.25.1.2.3", ""):
        _other_uid(sent, uid)
        sent.run()
    assert sent.query(asked) == [told]
    assert len(sent.events("TransferSent")) == 2
    withdraws(sent, patient="4711")
    assert sent.query("select mapped_uids from audit.task where open") == [(["2.25.1.2.3", "2.25.999"],)]
    sent.assert_sound()


def test_each_new_date_is_a_sending_and_no_study_uid_is_lost(sent: Site) -> None:
    _other_uid(sent, transfer_date="2026-03-02 10:30")
    sent.run()
    _other_uid(sent, "2.25.999,2.25.7", transfer_date="2026-03-02 08:55")
    sent.run()
    assert sent.query("select sends, mapped_uids from audit.transfer") == [(2, ["2.25.1.2.3", "2.25.999", "2.25.7"])]
    sent.assert_sound()


def test_a_date_that_is_taken_away_and_put_back_is_no_other_sending(sent: Site) -> None:
    _date_taken_away(sent)
    sent.run()
    sent.sender_sends("1.2.3", 1)
    sent.run()
    assert sent.query("select sends, mapped_uids from audit.transfer") == [(1, ["2.25.1.2.3"])]
    sent.assert_sound()


def _sent_by_others(site: Site) -> None:
    """The study was sent as a person had requested it."""
    site.series("1.2.3")
    site.run()
    site.person_requests("1.2.3", BRAIN, "B-001")
    site.run()
    site.sender_sends("1.2.3", 1)
    site.run()


def test_so_it_is_with_study_uids_of_what_a_person_requested(site: Site) -> None:
    _sent_by_others(site)
    _other_uid(site)
    for _ in range(2):
        site.run()
    told = site.query("select sends, mapped_uids from gateway.outcome where not ours")
    assert told == [(1, ["2.25.1.2.3", "2.25.999"])]
    assert len(site.events("TransferSent")) == 2


def test_what_was_sent_after_it_had_ended_stays_listed_though_a_later_attempt_fails(site: Site) -> None:
    site.series("1.2.3", PatientID="4711")
    site.entry("1", study="1.2.3", subject="H-001")
    site.run()
    site.clock.advance(3_600)
    amend_by_hand(site, "1.2.3")
    site.sender_sends("1.2.3", 1)
    assert site.run().attention == {"sent after it was ended": 1}
    site.clock.advance(3_600)
    site.sender_fails("1.2.3", 1)
    assert site.run().attention == {"sent after it was ended": 1}


def test_a_failure_after_a_sending_is_told_once(sent: Site) -> None:
    """It was told anew by each look, as the study UID under which it was sent stayed in the row."""
    _failed(sent)
    sent.run()
    for _ in range(2):
        assert sent.run().attention == {FAILED: 1}
    assert len(sent.events("TransferFailed")) == 1


def test_so_it_is_with_what_a_person_requested(site: Site) -> None:
    _sent_by_others(site)
    _failed(site)
    for _ in range(3):
        site.run()
    assert len(site.events("TransferFailed")) == 1


def test_a_row_that_was_deleted_leaves_it_known_that_it_was_sent(sent: Site) -> None:
    _failed(sent)
    sent.run()
    sent.person_deletes_transfer("1.2.3", 1)
    sent.run()
    assert sent.query("select sent, sends from audit.transfer") == [(True, 1)]
    amend_by_hand(sent, "1.2.3")
    assert sent.events("TransferWithdrawn")[0]["fate"] == "sent"
    sent.assert_sound()


def test_what_went_out_as_a_person_had_changed_it_is_not_told_of_ours(site: Site) -> None:
    """The row was changed back, and the request counted as sent: the sender sends it no more, and nothing showed it."""
    site.series("1.2.3", PatientID="4711")
    site.entry("1", study="1.2.3", subject="H-001")
    site.run()
    site.transfer_project.put([_place(1) | {"transfer_name": "H-999"}])
    site.run()
    site.sender_sends("1.2.3", 1)
    site.run()
    site.transfer_project.put([_place(1) | {"transfer_name": "H-001"}])
    for _ in range(2):
        assert site.run().attention[CHANGED] == 1
    assert site.query("select sends from audit.transfer") == [(None,)]

    site.transfer_project.put([_place(1) | {"transfer_date": "", "transfer_mapped_uid": ""}])
    assert CHANGED not in site.run().attention
    site.transfer_project.put([_place(1) | {"transfer_date": "2026-03-02 10:30"}])
    site.run()
    assert site.query("select sent, sends from audit.transfer") == [(True, 1)]
    site.assert_sound()


def _asked(site: Site) -> list[Asked]:
    return [asked for asked in site.transfers("1.2.3").values() if asked.name]
