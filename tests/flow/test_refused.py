"""REDCap refuses rows: they are set apart, reported and tried again in time; everything else goes through."""

from collections.abc import Iterator
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from processors.attention import notices
from processors.delivery.due import PendingAge, pending_age
from processors.demo.simulator import Fault
from processors.demo.simulator.dictionary import Dictionary
from processors.explain.timeline import timeline
from tests.flow.harness import BRAIN, HEART, Asked, Site
from tests.operations.operator import amend_by_hand

HOUR = 3_600


def restrict(site: Site, field: str, validation: str) -> None:
    """REDCap takes only values of that type in the field from now on."""
    dictionary = site.incoming.dictionary
    fields = [
        replace(each, text_validation_type_or_show_slider_number=validation) if each.field_name == field else each
        for each in dictionary.fields
    ]
    site.incoming.dictionary = Dictionary(fields)


@pytest.fixture
def refused(site: Site) -> Iterator[Site]:
    """One of three series has a description that REDCap refuses."""
    restrict(site, "series_description", "integer")
    site.series("1.2.3", "1.2.3.1", SeriesDescription="1")
    site.series("1.2.3", "1.2.3.2", SeriesDescription="two")
    site.series("1.2.4", SeriesDescription="3")
    yield site
    site.assert_sound()


def described(site: Site, study: str) -> list[str]:
    return sorted(row.get("series_description", "") for row in site.series_rows(study).values())


def test_a_refused_row_is_set_apart_and_the_others_go_through(refused: Site) -> None:
    report = refused.run()
    assert described(refused, "1.2.3") == ["1"]
    assert described(refused, "1.2.4") == ["3"]
    assert report.attention == {"refused row": 1}
    (told,) = refused.events("RowRefused")
    assert (told["study"], told["kind"], told["key"]) == ("1.2.3", "series", "1.2.3.2")
    assert "not an integer" in told["message"]


def test_a_refused_row_is_not_tried_again_within_the_hour(refused: Site) -> None:
    refused.run()
    refused.run()
    assert refused.calls_about_studies == []
    refused.clock.advance(HOUR)
    refused.run()
    assert [call.action for call in refused.calls_about_studies] == ["export", "import"]
    assert refused.attention() == {"refused row": 1}


def test_a_refused_row_that_changes_is_tried_at_once_and_then_forgiven(refused: Site) -> None:
    refused.run()
    refused.series("1.2.3", "1.2.3.2", SeriesDescription="2")
    report = refused.run()
    assert described(refused, "1.2.3") == ["1", "2"]
    assert not report.needs_attention


def test_a_row_refused_before_is_accepted_when_the_dictionary_is_mended(refused: Site) -> None:
    refused.run()
    restrict(refused, "series_description", "")
    refused.clock.advance(HOUR)
    report = refused.run()
    assert described(refused, "1.2.3") == ["1", "two"]
    assert not report.needs_attention


def test_refused_rows_that_redcap_does_not_name_are_found_by_halving(site: Site) -> None:
    # REDCap's words against rows of an instrument that does not repeat name neither record nor field.
    site.incoming.repeating = ("transfers",)
    site.entry(accession="ACC-1")
    for study in ("1.2.3", "1.2.4", "1.2.5"):
        site.series(study, AccessionNumber="ACC-1")
    assert site.run().attention == {"refused row": 3}
    for study in ("1.2.3", "1.2.4", "1.2.5"):
        assert site.study_row(study)["incoming_studies_complete"] == "2"
        assert site.transfers(study) == {1: Asked(HEART, "H-001")}
    site.incoming.repeating = ("series", "transfers")
    site.clock.advance(HOUR)
    assert site.run().attention == {}
    assert sorted(site.series_rows("1.2.3")) == [1]


def test_a_locked_record_waits_and_others_go_through(site: Site) -> None:
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.series("1.2.4")
    site.simulator.inject(Fault(kind="lock_record", record="1.2.3", action="import"))
    report = site.run()
    assert site.study_row("1.2.4")["incoming_studies_complete"] == "2"
    assert site.study_row("1.2.3") == {}
    assert report.attention == {"refused row": 3}
    assert all("lock" in told["message"] for told in site.events("RowRefused"))
    site.incoming.unlock("1.2.3")
    site.clock.advance(HOUR)
    report = site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert site.study_row("1.2.3")["incoming_studies_complete"] == "2"
    assert not report.needs_attention


def test_a_correction_that_meets_a_locked_record_is_made_when_it_is_unlocked(site: Site) -> None:
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.incoming.lock("1.2.3")
    site.entry(accession="ACC-1", subject="H-002")
    assert site.run().attention == {"refused row": 1, "not ended yet": 1}
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert site.run().attention == {"refused row": 2, "not ended yet": 1}
    assert site.query("select details from audit.attention where kind = 'not ended yet'") == [
        ("It is no longer wanted since 2026-03-02 08:02 UTC, and its row in REDCap can still be sent.",)
    ]
    site.incoming.unlock("1.2.3")
    # The old row can be sent, and the next run ends it: it does not wait for the hour of refused rows.
    assert site.run().attention == {"may have been sent": 1}
    assert site.transfers("1.2.3") == {1: Asked(HEART, ""), 2: Asked(HEART, "H-002")}


@pytest.mark.parametrize("back_after", [0, 1])
def test_a_correction_that_a_locked_record_refused_and_that_was_taken_back_is_nobodys_problem(
    site: Site, back_after: int
) -> None:
    """What had been refused was shown for ever, though REDCap held what was wanted."""
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.incoming.lock("1.2.3")
    site.entry(accession="ACC-1", subject="H-002")
    for _ in range(1 + back_after):
        site.run()
    site.entry(accession="ACC-1")
    assert site.run().attention == {}
    site.incoming.unlock("1.2.3")
    assert site.run().attention == {}
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    site.assert_sound()


def test_a_contested_correction_that_meets_a_locked_record_is_withdrawn_when_it_is_unlocked(site: Site) -> None:
    # The old row must be closed although ours is not placed: else the sender would send the wrong pseudonym.
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_requests("1.2.3", HEART, "H-777")
    site.incoming.lock("1.2.3")
    site.entry(accession="ACC-1", subject="H-002")
    for _ in range(3):
        site.run()
    site.incoming.unlock("1.2.3")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, ""), 2: Asked(HEART, "H-777")}
    # Sent as ours perhaps, and as theirs for certain: then the patient has two.
    assert site.attention() == {"contested by a person": 1, "may have been sent": 1, "one patient, two pseudonyms": 1}


def test_a_refused_request_is_nobodys_problem_once_its_entry_is_corrected(site: Site) -> None:
    restrict(site, "transfer_name", "integer")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    assert site.run().attention == {"refused row": 1}
    site.entry(accession="ACC-1", subject="17")
    assert site.run().attention == {}
    assert site.transfers("1.2.3") == {1: Asked(HEART, "17")}


def test_a_refused_request_is_nobodys_problem_once_its_entry_names_another_study(site: Site) -> None:
    restrict(site, "transfer_name", "integer")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    assert site.run().attention == {"refused row": 1}
    site.entry(accession="ACC-2", subject="H-001")
    assert site.run().attention == {}


def test_a_refused_request_does_not_hold_up_another_of_its_study(site: Site) -> None:
    restrict(site, "transfer_name", "integer")
    site.entry("1", accession="ACC-1", subject="H-001")
    site.entry("2", accession="ACC-1", project=BRAIN, subject="17")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    assert list(site.transfers("1.2.3").values()) == [Asked(BRAIN, "17")]


def test_all_of_redcaps_words_are_sealed_for_the_patient_and_told_by_explain(refused: Site) -> None:
    refused.run()
    with refused.own_gateway().begin() as work:
        (said,) = work.execute(text("select position, subject from ledger.event where type = 'RowRefused'"))
        (arrived,) = work.execute(text("select subject from ledger.event where stream = 'study/1.2.3' limit 1"))
        words = work.identities([said.position])[said.position][1]["words"]
        told = [moment.words for moment in timeline(work, "1.2.3") if moment.type == "RowRefused"]
    assert said.subject == arrived.subject
    assert "not an integer" in words
    assert words in told[0]


@pytest.mark.parametrize(("day", "there"), [(0, "09:02"), (60, "10:02")])
def test_since_when_is_told_in_the_hospital_s_zone(site: Site, day: int, there: str) -> None:
    """It was told in UTC, beside times of the clock on the wall."""
    site.clock.advance(day * 24 * HOUR)
    site.entry("1", study="1.2.3", subject="H-001")
    site.series("1.2.3")
    site.run()
    site.incoming.lock("1.2.3")
    site.entry("1", study="1.2.3", subject="H-002")
    site.run()
    gateway = site.own_gateway()
    gateway.zone = ZoneInfo("Europe/Oslo")
    with gateway.begin() as work:
        (told,) = [notice.details for notice in notices(work) if notice.kind == "not ended yet"]
    date = f"{site.clock():%Y-%m-%d}"
    assert told == f"It is no longer wanted since {date} {there}, and its row in REDCap can still be sent."


def test_what_cannot_be_ended_waits_since_it_is_to_be(site: Site) -> None:
    """It was told to have waited since it was requested, and sent, 40 days before."""
    site.series("1.2.3")
    site.entry("1", study="1.2.3", subject="H-001")
    site.run()
    site.sender_sends("1.2.3", 1)
    site.run()
    site.clock.advance(40 * 24 * HOUR)
    site.run()
    site.incoming.lock("1.2.3")
    amend_by_hand(site, "1.2.3")
    ((ended_at,),) = site.query("select recorded_at from ledger.event where type = 'TransferRetracted'")
    for _ in range(2):
        assert waiting(site) == [("transfer", 1, ended_at)]
        site.run()


def test_a_study_received_anew_after_its_record_was_deleted_waits_since_it_came(site: Site) -> None:
    site.series("1.2.3")
    site.run()
    site.person_deletes("1.2.3")
    site.grow("1.2.3")
    site.run()
    assert waiting(site) == []
    site.vanish("1.2.3")
    site.run()
    site.clock.advance(40 * 24 * HOUR)
    site.come_back("1.2.3")
    site.run_killed_before_import()
    ((came_at,),) = site.query("select recorded_at from ledger.event where type = 'StudyReturned'")
    assert waiting(site) == [("series", 1, came_at), ("study", 1, came_at)]


def waiting(site: Site) -> list[PendingAge]:
    with site.own_gateway().begin() as work:
        return pending_age(work)
