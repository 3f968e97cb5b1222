"""What people delete in REDCap: noticed when it is touched, reported once, not written again."""

import pytest

from tests.flow.harness import HEART, Asked, Site


def test_a_deleted_record_is_reported_once_and_not_written_again(site: Site) -> None:
    site.series("1.2.3")
    site.run()
    site.person_deletes("1.2.3")
    site.series("1.2.3", "1.2.3.2")
    assert site.run().attention == {"row deleted or changed in REDCap": 1}
    site.series("1.2.3", "1.2.3.3")
    site.grow("1.2.3")
    assert site.run().attention == {"row deleted or changed in REDCap": 1}
    assert "1.2.3" not in site.incoming.records
    assert len(site.events("RowMissing")) == 1


@pytest.mark.parametrize("noticed", [False, True])
def test_whoever_asks_for_a_deleted_record_gets_all_of_it_back(site: Site, *, noticed: bool) -> None:
    site.series("1.2.3", "1.2.3.1", AccessionNumber="ACC-1")
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    site.run()
    before = site.study_row("1.2.3"), site.series_rows("1.2.3")
    site.person_deletes("1.2.3")
    if noticed:
        site.grow("1.2.3")
        assert site.run().attention == {"row deleted or changed in REDCap": 1}
    site.entry(accession="ACC-1")
    assert site.run().attention == {}
    assert (site.study_row("1.2.3"), len(site.series_rows("1.2.3"))) == (before[0], len(before[1]))
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    site.assert_sound()


def test_a_deleted_record_is_not_brought_back_by_a_request_that_was_made_before(site: Site) -> None:
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_deletes("1.2.3")
    site.grow("1.2.3")
    site.run()
    site.entry(accession="ACC-1", subject="")
    site.run()
    assert "1.2.3" not in site.incoming.records


def test_what_the_sender_carries_out_after_its_row_was_deleted_is_told_of_the_request(site: Site) -> None:
    """It had copied the row into its queue."""
    site.series("1.2", "1.2.1")
    site.entry("1", study="1.2", project=HEART, subject="SUBJ-1")
    site.run()
    site.person_deletes_transfer("1.2", 1)
    site.sender_sends("1.2", 1)
    site.run(after=120)
    assert site.query("select ours, state, instance from gateway.outcome") == [(True, "sent", 1)]
    assert site.query("select sent from audit.transfer") == [(True,)]


def test_a_deleted_record_does_not_hold_up_others(site: Site) -> None:
    site.series("1.2.3")
    site.run()
    site.person_deletes("1.2.3")
    site.grow("1.2.3")
    site.series("1.2.4")
    site.run()
    assert list(site.incoming.records) == ["1.2.4"]


def test_a_deleted_series_row_is_reported_once_and_not_written_again(site: Site) -> None:
    site.series("1.2.3", "1.2.3.1")
    site.series("1.2.3", "1.2.3.2")
    site.run()
    (gone,) = [n for n, row in site.series_rows("1.2.3").items() if row["series_instance_uid"] == "1.2.3.2"]
    site.person_deletes_series("1.2.3", gone)
    for _ in range(2):
        site.grow("1.2.3", "1.2.3.2")
        assert site.run().attention == {"row deleted or changed in REDCap": 1}
    assert [row["series_instance_uid"] for row in site.series_rows("1.2.3").values()] == ["1.2.3.1"]
    assert len(site.events("RowMissing")) == 1


def test_the_other_series_of_the_study_are_still_written(site: Site) -> None:
    site.series("1.2.3", "1.2.3.1")
    site.run()
    site.person_deletes_series("1.2.3", 1)
    site.grow("1.2.3", "1.2.3.1")
    site.series("1.2.3", "1.2.3.2")
    site.run()
    assert {n: row["series_instance_uid"] for n, row in site.series_rows("1.2.3").items()} == {2: "1.2.3.2"}


def test_a_row_that_was_deleted_unnoticed_and_sent_all_the_same_is_reported(site: Site) -> None:
    """The sender held a copy. That the study was sent was told, and not that its row had been deleted before."""
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_deletes_transfer("1.2.3", 1)
    site.sender_sends("1.2.3", 1)
    assert site.run(after=3_600).attention == {"row deleted or changed in REDCap": 1}
    site.run(after=3_600)
    assert (len(site.events("TransferSent")), len(site.events("RowMissing"))) == (1, 1)
