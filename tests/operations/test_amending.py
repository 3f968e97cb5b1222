"""Requests that an operator withdraws or changes by hand; what was decided so stands."""

import pytest

from ledger.database import Database
from processors.cli.commands.acknowledge import waiting_at
from processors.errors import ConfigurationError
from tests.flow.harness import BRAIN, HEART, Asked, Site
from tests.operations.operator import amend_by_hand, forget_patient, gateway_of, replay_all

STUDY = "1.2.1"


@pytest.fixture
def requested(site: Site) -> Site:
    """A study that a rule has requested for the heart study."""
    site.rule(patient_id="PID-1")
    site.series(STUDY, AccessionNumber="ACC-1")
    site.run()
    return site


def test_a_request_that_was_not_sent_is_emptied(requested: Site) -> None:
    amend_by_hand(requested, STUDY)
    assert requested.transfers(STUDY) == {}
    assert requested.states(STUDY) == ["withdrawn"]
    assert requested.attention() == {}
    requested.assert_sound()


def test_why_and_by_whom_is_in_the_ledger(requested: Site) -> None:
    amend_by_hand(requested, STUDY)
    (decided,) = requested.events("DecidedByHand")
    assert (decided["by"], decided["reason"], decided["action"]) == ("kari", "ticket 4711", "retract")
    (retracted,) = requested.events("TransferRetracted")
    (position,) = requested.query("select position from ledger.event where type = 'DecidedByHand'")[0]
    assert retracted["cause"] == {"kind": "operator", "record_id": "kari", "position": position}


def test_no_rule_asks_for_it_again(requested: Site) -> None:
    amend_by_hand(requested, STUDY)
    requested.series(STUDY, "1.2.1.2", AccessionNumber="ACC-1")
    requested.rule("2", patient_name="Doe")
    requested.run()
    replay_all(requested)
    assert requested.states(STUDY) == ["withdrawn"]
    assert requested.transfers(STUDY) == {}


def test_no_entry_of_before_asks_for_it_again(site: Site) -> None:
    site.entry(accession="ACC-1", subject="H-001")
    site.series(STUDY, AccessionNumber="ACC-1")
    site.run()
    amend_by_hand(site, STUDY)
    site.series(STUDY, "1.2.1.2", AccessionNumber="ACC-1")
    site.run()
    assert site.transfers(STUDY) == {}


def test_what_was_withdrawn_from_one_event_is_not_asked_for_again_under_another_name_of_it(site: Site) -> None:
    site.rule("1", patient_id="PID-1", event="visit 1")
    site.series(STUDY)
    site.run()
    amend_by_hand(site, STUDY, event="visit 1")
    site.rule("1", patient_id="PID-1", event="visit one")
    site.rule("2", patient_id="PID-1", event="visit 2")
    site.series(STUDY, "1.2.1.2")
    site.run()
    replay_all(site)
    assert list(site.transfers(STUDY).values()) == [Asked(HEART, "PID-1", "visit 2")]


def test_a_rule_made_later_under_the_same_record_id_is_another_one(site: Site) -> None:
    site.rule("1", patient_id="PID-1", event="visit 1")
    site.series(STUDY)
    site.run()
    amend_by_hand(site, STUDY, event="visit 1")
    site.remove_rule("1")
    site.run()
    site.run()
    site.rule("1", patient_id="PID-1", event="visit 2")
    site.series(STUDY, "1.2.1.2")
    site.run()
    assert list(site.transfers(STUDY).values()) == [Asked(HEART, "PID-1", "visit 2")]


def test_an_entry_made_later_is_heeded(requested: Site) -> None:
    amend_by_hand(requested, STUDY)
    requested.entry(accession="ACC-1", subject="H-001")
    requested.run()
    assert Asked(HEART, "H-001") in requested.transfers(STUDY).values()


@pytest.mark.parametrize(
    ("series", "state", "shown"),
    [((), "withdrawn", {}), (("1.2.1.2",), "closed", {"may have been sent": 1})],
    ids=["nothing since", "a summary since"],
)
def test_what_failed_may_be_sent_again_because_of_a_summary_that_no_run_has_seen(
    requested: Site, series: tuple[str, ...], state: str, shown: dict[str, int]
) -> None:
    """The sender queues a study anew as soon as a newer summary is there; that was told as unsent."""
    requested.clock.advance(120)
    requested.sender_fails(STUDY, 1)
    requested.run()
    requested.run()
    for each in series:
        requested.series(STUDY, each, age=0, AccessionNumber="ACC-1")
    amend_by_hand(requested, STUDY)
    assert (requested.states(STUDY), requested.attention()) == ([state], shown)
    requested.assert_sound()


def test_what_has_not_ended_yet_is_ended_by_whoever_withdraws_it_again(requested: Site) -> None:
    """It used to be in force no more, so that there was nothing to withdraw, and its row could be sent."""
    requested.incoming.lock(STUDY)
    amend_by_hand(requested, STUDY)
    assert requested.states(STUDY) == ["ending"]
    with pytest.raises(ConfigurationError, match="one that ended waits to be taken back"):
        amend_by_hand(requested, STUDY, to="H-002")
    requested.incoming.unlock(STUDY)
    requested.clock.advance(3600)
    amend_by_hand(requested, STUDY)
    # An hour is enough for the sender to have taken it.
    assert (requested.states(STUDY), requested.transfers(STUDY)) == (["closed"], {1: Asked(HEART, "")})
    requested.assert_sound()


def test_other_projects_are_not_concerned(requested: Site) -> None:
    amend_by_hand(requested, STUDY)
    requested.rule("2", project=BRAIN, patient_id="PID-1")
    requested.series(STUDY, "1.2.1.2", AccessionNumber="ACC-1")
    requested.run()
    assert Asked(BRAIN, "PID-1") in requested.transfers(STUDY).values()


def test_what_was_sent_is_told_as_such_and_cannot_be_sent_again(requested: Site) -> None:
    requested.sender_sends(STUDY, 1)
    amend_by_hand(requested, STUDY)
    assert requested.transfers(STUDY) == {1: Asked(HEART, "", sent=True)}
    assert requested.notices() == [("retracted after it was sent", STUDY)]


def test_one_sending_is_told_once_though_its_end_was_the_first_to_see_it(requested: Site) -> None:
    """It was told as `sent after it was ended` as well."""
    requested.sender_sends(STUDY, 1)
    amend_by_hand(requested, STUDY)
    requested.run()
    assert requested.attention() == {"retracted after it was sent": 1}
    assert requested.query("select sends from audit.transfer") == [(1,)]
    requested.incoming.put([{**_place(STUDY), "transfer_date": "2026-03-02 09:30"}])
    requested.run()
    assert requested.attention() == {"retracted after it was sent": 1, "sent after it was ended": 1}


def test_what_its_end_was_the_first_to_see_is_told_in_full_though_its_row_is_deleted_then(requested: Site) -> None:
    requested.sender_sends(STUDY, 1)
    amend_by_hand(requested, STUDY)
    requested.person_deletes_transfer(STUDY, 1)
    requested.run()
    told = requested.query("select sent, sends, sent_at, mapped_uids from audit.transfer")
    assert told == [(True, 1, "2026-03-02 08:55", [f"2.25.{STUDY}"])]
    requested.assert_sound()


@pytest.mark.parametrize("is_seen", [True, False], ids=["a run has seen it", "no run has seen it"])
@pytest.mark.parametrize("is_deleted", [False, True], ids=["their row stands", "their row is deleted then"])
def test_what_was_sent_by_a_person_s_row_that_says_the_same_is_told_when_ours_ends(
    site: Site, *, is_seen: bool, is_deleted: bool
) -> None:
    site.series(STUDY, AccessionNumber="ACC-1")
    site.run()
    site.person_requests(STUDY, HEART, "H-001", instance=1)
    site.entry(accession="ACC-1", subject="H-001")
    site.run()
    site.sender_sends(STUDY, 1)
    if is_seen:
        site.run()
    amend_by_hand(site, STUDY)
    if is_deleted:
        site.person_deletes_transfer(STUDY, 1)
    site.run()
    assert site.notices() == [("retracted after it was sent", STUDY)]
    assert site.states(STUDY) == ["closed"]
    assert site.query("select sent, sends, mapped_uids from audit.transfer") == [(True, 1, [f"2.25.{STUDY}"])]
    if not is_deleted:
        assert site.transfers(STUDY) == {1: Asked(HEART, "H-001", sent=True)}
    site.assert_sound()


def test_what_people_had_sent_by_our_row_is_not_told_of_our_request_when_that_ends(requested: Site) -> None:
    """They changed the pseudonym, and changed it back once it was sent."""
    row = requested.transfer_rows(STUDY)[1]
    place = {"study_instance_uid": STUDY, "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    requested.transfer_project.put([place | {"transfer_name": "H-009"}])
    requested.sender_sends(STUDY, 1)
    requested.run()
    requested.transfer_project.put([place | {"transfer_name": row["transfer_name"]}])
    amend_by_hand(requested, STUDY)
    assert [sent["request"] for sent in requested.events("TransferSent")] == [None]


def test_what_is_acknowledged_is_told_by_the_kind_that_is_listed(site: Site, database: Database) -> None:
    """One that may have been sent was told as one that failed."""
    site.rule(patient_id="PID-1")
    for study in (STUDY, "1.2.2", "1.2.3"):
        site.series(study)
    site.run(after=0)
    site.sender_fails("1.2.2", 1)
    site.clock.advance(600)
    for study in (STUDY, "1.2.3"):
        amend_by_hand(site, study)
    site.incoming.put([{**_place("1.2.3"), "transfer_date": "2026-03-02 10:30"}])
    site.run()
    listed = dict(map(tuple, site.query("select position, kind from audit.attention")))
    assert set(listed.values()) == {"transfer failed", "may have been sent", "sent after it was ended"}
    with gateway_of(site, database) as gateway, gateway.begin() as work:
        waiting = waiting_at(work, list(listed))
    assert {position: each.kind for position, each in waiting.items()} == listed


def _place(study: str) -> dict[str, str]:
    return {"study_instance_uid": study, "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}


def test_a_request_that_was_not_sent_is_amended(requested: Site) -> None:
    amend_by_hand(requested, STUDY, to="H-017")
    assert requested.transfers(STUDY) == {1: Asked(HEART, "H-017")}
    assert requested.states(STUDY) == ["withdrawn", "placed"]
    requested.assert_sound()


def test_what_was_sent_gets_a_new_request_and_a_notice(requested: Site) -> None:
    requested.sender_sends(STUDY, 1)
    amend_by_hand(requested, STUDY, to="H-017")
    assert requested.transfers(STUDY) == {1: Asked(HEART, "", sent=True), 2: Asked(HEART, "H-017")}
    assert requested.notices() == [("replaced after it was sent", STUDY)]


def test_the_new_pseudonym_stands_over_rules(requested: Site) -> None:
    amend_by_hand(requested, STUDY, to="H-017")
    requested.series(STUDY, "1.2.1.2", AccessionNumber="ACC-1")
    requested.run()
    replay_all(requested)
    assert requested.transfers(STUDY) == {1: Asked(HEART, "H-017")}
    assert requested.attention() == {}


def test_the_new_pseudonym_is_amended_by_an_entry_made_later(requested: Site) -> None:
    amend_by_hand(requested, STUDY, to="H-017")
    requested.entry(accession="ACC-1", subject="H-001")
    requested.run()
    assert requested.transfers(STUDY) == {1: Asked(HEART, "H-001")}


def test_a_replay_places_it_again_when_it_was_deleted(requested: Site) -> None:
    amend_by_hand(requested, STUDY, to="H-017")
    requested.person_deletes_transfer(STUDY, 1)
    replay_all(requested)
    assert requested.transfers(STUDY) == {2: Asked(HEART, "H-017")}


def test_a_contest_with_a_person_is_over_when_ours_is_withdrawn(site: Site) -> None:
    site.rule(patient_id="PID-1")
    site.series(STUDY)
    site.person_requests(STUDY, HEART, "H-900")
    site.run()
    assert site.attention() == {"contested by a person": 1}
    amend_by_hand(site, STUDY)
    assert site.transfers(STUDY) == {1: Asked(HEART, "H-900")}
    assert site.attention() == {}


def test_a_persons_own_row_is_not_touched(site: Site) -> None:
    site.rule(patient_id="PID-1")
    site.series(STUDY)
    site.person_requests(STUDY, HEART, "PID-1")
    site.run()
    amend_by_hand(site, STUDY)
    assert site.transfers(STUDY) == {1: Asked(HEART, "PID-1")}


@pytest.fixture
def two_events(site: Site) -> Site:
    site.entry("1", accession="ACC-1", subject="H-001", event="first")
    site.entry("2", accession="ACC-1", subject="H-001", event="second")
    site.series(STUDY, AccessionNumber="ACC-1")
    site.run()
    return site


def test_where_there_are_several_events_the_one_to_be_reassigned_must_be_named(two_events: Site) -> None:
    with pytest.raises(ConfigurationError, match="'first', 'second'"):
        amend_by_hand(two_events, STUDY, to="H-017")
    amend_by_hand(two_events, STUDY, to="H-017", event="second")
    assert two_events.states(STUDY) == ["placed", "closed", "placed"]


def test_a_study_is_withdrawn_from_all_events_of_the_project_unless_one_is_named(two_events: Site) -> None:
    amend_by_hand(two_events, STUDY, event="second")
    assert two_events.states(STUDY) == ["placed", "withdrawn"]
    amend_by_hand(two_events, STUDY)
    assert two_events.states(STUDY) == ["closed", "withdrawn"]


def test_what_was_withdrawn_stays_so_for_events_that_come_later(two_events: Site) -> None:
    amend_by_hand(two_events, STUDY)
    two_events.rule("1", patient_id="PID-1", event="third")
    two_events.series(STUDY, f"{STUDY}.2", AccessionNumber="ACC-1")
    two_events.run()
    assert two_events.transfers(STUDY) == {}


def test_another_date_of_the_entry_is_no_newer_word(two_events: Site) -> None:
    amend_by_hand(two_events, STUDY)
    for record, event in (("1", "first"), ("2", "second")):
        two_events.entry(record, accession="ACC-1", subject="H-001", event=event, date="2026-03-05 10:00")
    two_events.run()
    assert two_events.transfers(STUDY) == {}


def test_what_was_never_requested_cannot_be_withdrawn(requested: Site) -> None:
    head = requested.head()
    for wrong in ({"project": BRAIN}, {"event": "baseline"}):
        with pytest.raises(ConfigurationError, match="a request of this system"):
            amend_by_hand(requested, STUDY, **wrong)
    with pytest.raises(ConfigurationError, match="a request of this system"):
        amend_by_hand(requested, "9.9.9")
    assert requested.head() == head


def test_the_same_pseudonym_is_no_change(requested: Site) -> None:
    head = requested.head()
    with pytest.raises(ConfigurationError, match="another pseudonym"):
        amend_by_hand(requested, STUDY, to="PID-1")
    assert requested.head() == head


def test_the_pseudonym_is_nowhere_in_plain_text(requested: Site) -> None:
    amend_by_hand(requested, STUDY, to="H-SECRET-017")
    assert "H-SECRET-017" not in requested.everything_stored()


def test_the_request_of_a_forgotten_patient_need_not_be_withdrawn(requested: Site) -> None:
    forget_patient(requested, "PID-1")
    requested.run()
    assert requested.transfers(STUDY) == {}
    with pytest.raises(ConfigurationError, match="in force; found events: none"):
        amend_by_hand(requested, STUDY)


def test_the_new_pseudonym_is_forgotten_with_the_patient(requested: Site) -> None:
    amend_by_hand(requested, STUDY, to="H-017")
    forget_patient(requested, "PID-1")
    requested.person_deletes_transfer(STUDY, 1)
    replay_all(requested)
    assert requested.transfers(STUDY) == {}
