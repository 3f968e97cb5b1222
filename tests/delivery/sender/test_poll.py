"""What a run's poll of `transfers` tells: who else asks, and what the sender reports."""

from dataclasses import replace
from datetime import timedelta

import pytest

from processors.errors import Refused, ServiceError
from tests.delivery.sender.conftest import STUDY, MakePlaced, MakeSite
from tests.flow.harness import BRAIN, HEART, Killed, Site, Steps, VisibleSteps, is_poll

REPORTED = ("TransferObserved", "TransferSent", "TransferFailed", "TransferReopened")


class KilledAfterImport(Steps):
    """Kills when what was imported is to be recorded."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._site = site

    def step(self, name: str) -> None:
        super().step(name)
        if name == "before a commit" and any(call.action == "import" for call in self._site.calls):
            raise Killed


@pytest.fixture
def arrived(make_site: MakeSite) -> Site:
    """A site at which a study has arrived that a rule directs, before its first run."""
    site = make_site()
    site.rule(patient_id="PID-1")
    site.series(STUDY)
    return site


def fails(site: Site, instance: int, message: str = "", *, errors: tuple[int, ...] = (2,), date: str = "") -> None:
    """The sender could not send the study, and says why."""
    told = {f"transfer_error___{code}": "1" for code in errors}
    report(site, instance, transfer_error_message=message, transfer_date=date, **told)


def report(site: Site, instance: int, **fields: str) -> None:
    place = {
        "study_instance_uid": STUDY,
        "redcap_repeat_instrument": "transfers",
        "redcap_repeat_instance": str(instance),
    }
    site.transfer_project.put([place | fields])


def recorded(site: Site) -> list[str]:
    return [type_ for type_ in REPORTED for _ in site.events(type_)]


def told_of_request(site: Site) -> tuple[object, ...]:
    """What audit.transfer says became of the one request."""
    (row,) = site.query("select sent, sent_at, failed, failure, errors from audit.transfer")
    return row


# -- what the sender reports ---------------------------------------------------------------------------


def test_a_request_that_was_sent_is_told_with_the_senders_date(placed: Site) -> None:
    assert told_of_request(placed) == (False, None, False, None, None)
    placed.sender_sends(STUDY, 1)
    assert placed.run().looked.sent == 1  # type: ignore[union-attr]
    (sent,) = placed.events("TransferSent")
    assert (sent["study"], sent["project"], sent["instance"]) == (STUDY, HEART, 1)
    assert [(sent["request"],)] == placed.query("select position from gateway.transfer")
    assert told_of_request(placed) == (True, "2026-03-02 08:55", False, None, None)
    assert placed.query("select known_sent from audit.study") == [(1,)]
    placed.assert_sound()


def test_what_was_seen_is_recorded_once_however_often_it_is_seen(placed: Site) -> None:
    placed.sender_sends(STUDY, 1)
    placed.person_requests(STUDY, BRAIN, "B-1")
    placed.run()
    head = placed.head()
    for _ in range(3):
        placed.run()
    placed.clock.advance(3600)
    placed.run()
    assert placed.head() == head


def test_masked_pixels_are_no_failure(placed: Site) -> None:
    fails(placed, 1, errors=(3,), date="2026-03-02 08:55")
    placed.run()
    assert recorded(placed) == ["TransferSent"]
    assert told_of_request(placed) == (True, "2026-03-02 08:55", False, None, ["3"])
    assert placed.attention() == {}


def test_a_failure_is_told_by_its_codes_and_the_class_of_its_message_only(placed: Site) -> None:
    fails(placed, 1, "no such file: Doe^Jane", errors=(1, 3))
    placed.run()
    (failed,) = placed.events("TransferFailed")
    assert (failed["errors"], failed["failure"]) == (["1", "3"], "not found on disk")
    assert told_of_request(placed) == (False, None, True, "not found on disk", ["1", "3"])
    assert placed.attention() == {"transfer failed": 1}
    assert "Doe^Jane" not in placed.everything_stored()


def test_a_failed_attempt_that_has_a_date_is_still_a_failure(placed: Site) -> None:
    fails(placed, 1, "Association rejected", date="2026-03-02 08:55")
    placed.run()
    assert recorded(placed) == ["TransferFailed"]


def test_a_message_without_a_date_is_a_failure_and_with_one_a_remark(placed: Site) -> None:
    report(placed, 1, transfer_error_message="12 images left out", transfer_date="2026-03-02 08:55")
    placed.run()
    assert recorded(placed) == ["TransferSent"]
    report(placed, 1, transfer_error_message="gave up", transfer_date="")
    placed.run()
    assert recorded(placed) == ["TransferSent", "TransferFailed"]


def test_a_failed_request_that_is_sent_later_needs_nobody_any_more(placed: Site) -> None:
    fails(placed, 1, "timeout")
    placed.run()
    report(placed, 1, transfer_error___2="0", transfer_error_message="", transfer_date="2026-03-02 10:00")
    placed.run()
    assert placed.attention() == {}
    assert told_of_request(placed) == (True, "2026-03-02 10:00", False, None, None)
    placed.assert_sound()


def test_the_same_failure_with_other_words_is_not_told_again(placed: Site) -> None:
    fails(placed, 1, "timeout after 30 s")
    placed.run()
    fails(placed, 1, "timeout after 60 s")
    placed.run()
    assert recorded(placed) == ["TransferFailed"]
    fails(placed, 1, "no space left on device")
    placed.run()
    assert recorded(placed) == ["TransferFailed", "TransferFailed"]


def test_a_sent_request_whose_date_somebody_takes_away_waits_again(placed: Site) -> None:
    placed.sender_sends(STUDY, 1)
    placed.run()
    report(placed, 1, transfer_date="")
    placed.run()
    (reopened,) = placed.events("TransferReopened")
    assert reopened["request"] == placed.events("TransferSent")[0]["request"]
    # What left the hospital has left it: that it was sent stays known.
    assert told_of_request(placed) == (True, "2026-03-02 08:55", False, None, None)
    report(placed, 1, transfer_date="2026-03-02 11:00")
    placed.run()
    assert told_of_request(placed)[:2] == (True, "2026-03-02 11:00")
    placed.assert_sound()


def test_a_second_sending_between_two_polls_is_noticed(placed: Site) -> None:
    placed.sender_sends(STUDY, 1)
    placed.run()
    report(placed, 1, transfer_date="2026-03-02 11:00")
    placed.run()
    assert [event["sent_at"] for event in placed.events("TransferSent")] == ["2026-03-02 08:55", "2026-03-02 11:00"]


def test_a_failure_can_be_acknowledged_and_a_new_one_is_told_again(placed: Site) -> None:
    fails(placed, 1, "timeout")
    placed.run()
    placed.query("update gateway.outcome set acknowledged = true returning 1")
    assert placed.attention() == {}
    fails(placed, 1, "no space left")
    placed.run()
    assert placed.attention() == {"transfer failed": 1}


# -- requests by others ----------------------------------------------------------------------------------


def test_a_persons_request_is_told_without_its_pseudonym(placed: Site) -> None:
    placed.person_requests(STUDY, BRAIN, "SECRET-PERSON", event="visit")
    placed.run()
    (observed,) = placed.events("TransferObserved")
    assert {key: observed[key] for key in ("study", "project", "event_name", "instance")} == {
        "study": STUDY,
        "project": BRAIN,
        "event_name": "visit",
        "instance": 2,
    }
    assert "SECRET-PERSON" not in placed.everything_stored()
    assert placed.query("select study from gateway.observed_transfer") == [(STUDY,)]


def test_a_persons_request_that_is_changed_is_told_again(placed: Site) -> None:
    placed.person_requests(STUDY, BRAIN, "B-1")
    placed.run()
    placed.person_requests(STUDY, BRAIN, "B-2", instance=2)
    placed.run()
    placed.run()
    assert len(placed.events("TransferObserved")) == 2


def test_what_the_sender_reports_of_a_persons_request_is_told_of_nobodys_request_of_ours(placed: Site) -> None:
    placed.person_requests(STUDY, BRAIN, "B-1")
    fails(placed, 2, "timeout")
    placed.run()
    assert placed.events("TransferFailed")[0]["request"] is None
    assert placed.attention() == {"transfer failed": 1}
    assert told_of_request(placed) == (False, None, False, None, None)
    placed.assert_sound()


def test_our_row_that_a_person_rewrites_is_a_request_of_theirs(placed: Site) -> None:
    placed.person_requests(STUDY, HEART, "OTHER", instance=1)
    placed.sender_sends(STUDY, 1)
    placed.run()
    assert recorded(placed) == ["TransferObserved", "TransferSent"]
    assert placed.events("TransferSent")[0]["request"] is None
    assert len(placed.events("RowMissing")) == 1
    # Its row is gone, and the sender may have had a copy: nobody will tell.
    assert told_of_request(placed)[0] is None


def test_our_own_requests_are_not_taken_for_anybodys(placed: Site) -> None:
    placed.clock.advance(3600)
    placed.run()
    assert recorded(placed) == []


def test_a_request_placed_by_a_run_that_was_killed_before_it_recorded_that_is_ours(arrived: Site) -> None:
    with pytest.raises(Killed):
        arrived.run(KilledAfterImport(arrived))
    assert arrived.states(STUDY) == ["requested"]
    arrived.sender_sends(STUDY, 1)
    arrived.run()
    assert recorded(arrived) == ["TransferSent"]
    assert arrived.events("TransferSent")[0]["request"] is not None
    assert arrived.states(STUDY) == ["placed"]


def test_studies_that_the_ledger_does_not_know_do_not_count(placed: Site) -> None:
    placed.person_requests("9.9.9", BRAIN, "B-9")
    placed.run()
    assert recorded(placed) == []


def test_withdrawn_rows_ask_for_nothing(placed: Site) -> None:
    report(placed, 7, transfer_error_message="left over")
    placed.run()
    assert recorded(placed) == []


def test_forgotten_pseudonyms_equal_any(placed: Site) -> None:
    placed.query("update ledger.subject set wrapped_key = null, lookup = null where kind = 'patient' returning 1")
    placed.sender_sends(STUDY, 1)
    placed.run()
    assert recorded(placed) == ["TransferSent"]
    assert placed.events("TransferSent")[0]["request"] is not None


def test_a_row_that_was_seen_before_its_study_arrived_is_told_when_it_has(placed: Site) -> None:
    """The very same rows are seen: what has changed is the ledger."""
    placed.person_requests("1.2.9", BRAIN, "B-9")
    placed.run()
    placed.run()
    assert recorded(placed) == []
    placed.series("1.2.9", PatientID="other", PatientName="Ola^Other")
    placed.run()
    assert recorded(placed) == ["TransferObserved"]


# -- when it polls ------------------------------------------------------------------------------------------


def test_a_run_polls_once_by_one_export_limited_by_date(placed: Site) -> None:
    placed.run()
    assert len([call for call in placed.calls if is_poll(call)]) == 1
    assert placed.run().calls <= 5


def test_what_was_just_placed_is_fetched_by_the_next_look_and_by_few_after_it(arrived: Site) -> None:
    """Once seen, it shows that REDCap's log is not behind; every look had fetched it for ten minutes, and each hour."""
    arrived.simulator.settings = replace(arrived.simulator.settings, clock=lambda: arrived.clock().astimezone())
    arrived.run()
    fetched = []
    for _ in range(8):
        arrived.run(after=90)
        fetched += [call.records for call in arrived.calls if is_poll(call)]
    assert fetched == [1, 1, 0, 0, 0, 0, 0, 0]
    arrived.person_requests(STUDY, BRAIN, "B-1")
    arrived.run()
    assert recorded(arrived) == ["TransferObserved"]


def test_a_day_later_the_poll_still_costs_one_call(placed: Site) -> None:
    """The dictionary is looked up once a day by those who write; the poll goes by what it was."""
    placed.entry("9", accession="nobody's")
    placed.run()
    placed.clock.advance(25 * 3600)
    placed.run()
    assert len([call for call in placed.calls if is_poll(call)]) == 1
    assert [call for call in placed.calls if (call.project, call.content) == ("incoming", "metadata")] == []


def test_a_site_to_which_nothing_has_come_makes_no_poll(site: Site) -> None:
    site.run()
    assert not [call for call in site.calls if is_poll(call)]


def test_a_field_that_the_server_lacks_is_done_without(placed: Site) -> None:
    placed.incoming.remove_field("transfer_error_message")
    report(placed, 1, transfer_error___2="1")
    placed.run()
    assert placed.events("TransferFailed")[0]["failure"] == "none given"


def test_a_field_that_tells_whose_a_request_is_is_not_done_without(placed: Site) -> None:
    """Without the pseudonym, our requests would look like somebody else's."""
    placed.incoming.remove_field("transfer_name")
    placed.clock.advance(3600)
    with pytest.raises(Refused, match="transfer_name in the project's data dictionary"):
        placed.run()
    assert recorded(placed) == []


@pytest.mark.parametrize("hours", [-5, -2, 2, 5])
def test_a_redcap_in_another_zone_is_heard_within_the_hour(placed: Site, hours: int) -> None:
    """It reads the date range in its own time: a server behind ours has not come to what we ask for yet."""
    placed.simulator.settings = replace(
        placed.simulator.settings, clock=lambda: placed.clock() + timedelta(hours=hours)
    )
    placed.sender_sends(STUDY, 1)
    for _ in range(7):
        placed.clock.advance(9 * 60)
        placed.run()
    assert recorded(placed) == ["TransferSent"]


def test_what_was_reported_while_no_run_got_through_is_told_by_the_next(placed: Site) -> None:
    placed.sender_sends(STUDY, 1)
    placed.clock.advance(3 * 24 * 3600)
    with pytest.raises(ServiceError):
        placed.run_at("http://127.0.0.1:9/api/")
    placed.run()
    assert recorded(placed) == ["TransferSent"]


def test_killed_at_any_step_of_the_poll_what_it_found_is_recorded_once(placed: Site) -> None:
    placed.sender_sends(STUDY, 1)
    placed.person_requests(STUDY, BRAIN, "B-1")
    step = 1
    while placed.run_killed_at(step, steps=VisibleSteps):
        step += 1
    assert step > 3
    placed.run()
    assert recorded(placed) == ["TransferObserved", "TransferSent"]
    placed.assert_sound()


def test_transfers_in_a_project_of_their_own_are_polled_there(make_placed: MakePlaced) -> None:
    placed = make_placed(separate_transfers=True)
    placed.sender_sends(STUDY, 1)
    placed.person_requests(STUDY, BRAIN, "B-1")
    placed.run()
    assert recorded(placed) == ["TransferObserved", "TransferSent"]
    assert {call.project for call in placed.calls if is_poll(call)} == {"transfers"}


# -- what nobody reports ------------------------------------------------------------------------------------


def test_a_request_that_is_not_sent_for_a_day_needs_somebody(placed: Site) -> None:
    placed.clock.advance(24 * 3600 - 60)
    placed.run()
    assert placed.attention() == {}
    placed.clock.advance(60)
    placed.run()
    assert placed.attention() == {"not sent for a day": 1}
    placed.sender_sends(STUDY, 1)
    placed.run()
    assert placed.attention() == {}


def test_of_requests_placed_before_anybody_polled_nothing_is_claimed(placed: Site) -> None:
    """They may have been sent long ago, when no run polled yet."""
    placed.query("delete from gateway.look returning 1")
    placed.clock.advance(3 * 24 * 3600)
    placed.run()
    assert placed.attention() == {}


@pytest.mark.parametrize("minutes", [1, 70, 600])
def test_what_the_sender_reports_is_told_though_one_look_lacked_the_record(placed: Site, minutes: int) -> None:
    """The next look used to reach back to that one only."""
    placed.sender_sends(STUDY, 1)
    with placed.left_out("incoming", STUDY):
        placed.run(after=60 * minutes)
    assert recorded(placed) == []
    placed.run()
    assert recorded(placed) == ["TransferSent"]


def test_a_request_that_is_withdrawn_is_waited_for_no_more(site: Site) -> None:
    site.entry(accession="ACC-1")
    site.series(STUDY, AccessionNumber="ACC-1")
    site.series("1.2.4", AccessionNumber="ACC-2")
    site.run()
    site.entry(accession="ACC-2")
    site.run()
    assert site.states(STUDY) == ["withdrawn"]
    site.clock.advance(3 * 24 * 3600)
    site.run()
    assert site.query("select study from audit.attention where kind = 'not sent for a day'") == [("1.2.4",)]
    site.assert_sound()
