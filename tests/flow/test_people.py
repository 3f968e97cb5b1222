"""People and the sender write at the same time as a run: what they wrote survives, or the clash is reported."""

import pytest

from processors.demo.simulator.calls import Call
from tests.flow.conftest import MakeSite
from tests.flow.harness import BRAIN, HEART, Asked, Site
from tests.flow.meanwhile import meanwhile


@pytest.fixture
def coupled(site: Site) -> Site:
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    return site


def test_a_request_for_another_study_made_meanwhile_survives(coupled: Site) -> None:
    between = meanwhile(coupled, lambda: coupled.person_requests("9.9.9", HEART, "H-900"))
    coupled.run()
    assert between.done
    assert coupled.transfers("9.9.9") == {1: Asked(HEART, "H-900")}
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_a_request_in_another_instance_made_meanwhile_survives(coupled: Site) -> None:
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900", instance=4))
    coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001"), 4: Asked(BRAIN, "B-900")}


def test_what_the_sender_notes_meanwhile_survives(coupled: Site) -> None:
    coupled.person_requests("1.2.3", "Other", "O-1")
    meanwhile(coupled, lambda: coupled.sender_sends("1.2.3", 1))
    coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked("Other", "O-1", sent=True), 2: Asked(HEART, "H-001")}


def test_a_request_deleted_meanwhile_stays_deleted(coupled: Site) -> None:
    coupled.person_requests("1.2.3", "Other", "O-1")
    meanwhile(coupled, lambda: coupled.person_deletes_transfer("1.2.3", 1))
    coupled.run()
    assert coupled.transfers("1.2.3") == {2: Asked(HEART, "H-001")}


def test_a_request_made_before_our_export_is_seen_although_it_came_after_the_decision(coupled: Site) -> None:
    # Between the decision and the export, the last moment at which a person can be noticed.
    def act(call: Call) -> None:
        if (call.project, call.content, call.action) == ("incoming", "record", "export"):
            coupled.simulator.before_call = None
            coupled.person_requests("1.2.3", HEART, "H-900")

    coupled.simulator.before_call = act
    report = coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-900")}
    assert report.attention == {"contested by a person": 1}


def test_a_record_made_meanwhile_keeps_what_the_person_wrote(coupled: Site) -> None:
    row = {"study_instance_uid": "1.2.3", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "2"}
    meanwhile(coupled, lambda: coupled.incoming.put([{**row, "transfer_error_message": "seen by Kari"}]))
    coupled.run()
    assert coupled.transfer_rows("1.2.3")[2] == {"transfer_error_message": "seen by Kari"}


def test_a_record_deleted_meanwhile_is_noticed_when_it_is_next_touched(coupled: Site) -> None:
    coupled.run()
    coupled.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")

    def act(call: Call) -> None:
        if call.action == "import":
            coupled.simulator.before_call = None
            coupled.simulator.after_commit = None
            coupled.person_deletes("1.2.3")

    coupled.simulator.after_commit = act
    coupled.run()
    coupled.series("1.2.3", "1.2.3.3", AccessionNumber="ACC-1")
    report = coupled.run()
    assert "1.2.3" not in coupled.incoming.records
    assert report.attention == {"row deleted or changed in REDCap": 1}


def test_a_row_amended_meanwhile_by_the_sender_keeps_its_date(coupled: Site) -> None:
    coupled.run()
    meanwhile(coupled, lambda: coupled.sender_sends("1.2.3", 1))
    coupled.entry(accession="ACC-1", subject="H-002")
    coupled.run()
    assert coupled.transfer_rows("1.2.3")[1]["transfer_date"] == "2026-03-02 08:55"


def test_a_person_who_asked_for_the_same_keeps_the_row_when_our_entry_is_corrected(site: Site) -> None:
    site.person_requests("1.2.3", HEART, "H-001")
    before = site.transfer_rows("1.2.3")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry(accession="ACC-1", subject="H-002")
    report = site.run()
    assert site.transfer_rows("1.2.3") == before
    assert report.attention == {"contested by a person": 1}


def test_what_a_person_asked_for_and_was_sent_is_not_told_of_our_request_that_was_never_placed(coupled: Site) -> None:
    """The run that decided it was killed before its import, and a person asked for the same in another minute."""
    coupled.run_killed_before_import()
    coupled.person_requests("1.2.3", HEART, "H-001")
    coupled.sender_sends("1.2.3", 1)
    before = coupled.transfer_rows("1.2.3")
    coupled.entry(accession="ACC-1", project=BRAIN, subject="B-001")
    coupled.run()
    first = coupled.query("select state, placed_at, sent, possibly_sent from audit.transfer order by position")[0]
    assert first == ("withdrawn", None, False, None)
    (observed,) = coupled.events("TransferObserved")
    assert (observed["project"], observed["instance"]) == (HEART, 1)
    assert [(sent["request"], sent["instance"]) for sent in coupled.events("TransferSent")] == [(None, 1)]
    assert coupled.transfer_rows("1.2.3")[1] == before[1]
    assert coupled.transfers("1.2.3")[2] == Asked(BRAIN, "B-001")
    assert coupled.attention() == {}
    coupled.assert_sound()


def test_a_person_who_asked_for_the_same_keeps_the_row_when_our_entry_names_another_study(site: Site) -> None:
    site.person_requests("1.2.3", HEART, "H-001")
    before = site.transfer_rows("1.2.3")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry(accession="ACC-2", subject="H-001")
    report = site.run()
    assert site.transfer_rows("1.2.3") == before
    assert not report.needs_attention


def test_in_a_project_of_their_own_transfers_made_meanwhile_survive(make_site: MakeSite) -> None:
    site = make_site(separate_transfers=True)
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    meanwhile(site, lambda: site.person_requests("1.2.3", BRAIN, "B-900"))
    site.run()
    assert set(site.transfers("1.2.3").values()) == {Asked(BRAIN, "B-900"), Asked(HEART, "H-001")}


# REDCap has no conditional writes: both of us take the next free instance, and the later one overwrites.
def test_a_request_in_the_very_instance_that_we_take_is_overwritten_and_reported(coupled: Site) -> None:
    meanwhile(coupled, lambda: coupled.person_requests("1.2.3", BRAIN, "B-900"))
    report = coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert report.attention == {"written over by this system": 1}


def test_our_request_survives_a_person_who_takes_its_instance_or_that_is_reported(coupled: Site) -> None:
    def act(call: Call) -> None:
        if call.action == "import":
            coupled.simulator.after_commit = None
            coupled.person_requests("1.2.3", BRAIN, "B-900", instance=1)

    coupled.simulator.after_commit = act
    coupled.run()
    coupled.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    report = coupled.run()
    assert Asked(HEART, "H-001") in coupled.transfers("1.2.3").values() or report.needs_attention


def test_what_a_person_asks_for_in_the_place_of_a_row_of_ours_that_was_emptied_is_theirs(site: Site) -> None:
    """It said what ours had said, and was emptied as if it were ours."""
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry(accession="ACC-9", subject="H-001")
    site.run()
    assert site.transfers("1.2.3") == {}
    site.clock.advance(24 * 3600)
    assert site.person_requests("1.2.3", HEART, "H-001", instance=1) == 1
    before = site.transfer_rows("1.2.3")
    site.grow("1.2.3")
    site.run()
    site.run()
    assert site.transfer_rows("1.2.3") == before
