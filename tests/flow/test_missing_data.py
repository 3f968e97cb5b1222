"""Missing data codes in REDCap's lists: UNK is no pseudonym, NA no accession number, and a date of NA no sending."""

from tests.flow.harness import HEART, Asked, Site

CODES = "NA, Not applicable | UNK, Unknown"


def test_an_unknown_subject_is_no_pseudonym(site: Site) -> None:
    site.simulator.projects["coupling"].set_missing_data_codes(CODES)
    site.series("1.1", AccessionNumber="A-1")
    site.entry(accession="A-1", subject="UNK")

    report = site.run()

    assert site.transfers("1.1") == {}
    assert report.attention == {"unusable coupling entry": 1}


def test_an_accession_number_that_does_not_apply_matches_nothing(site: Site) -> None:
    site.simulator.projects["coupling"].set_missing_data_codes(CODES)
    site.series("1.1", AccessionNumber="NA")
    site.series("1.2", AccessionNumber="A-2")
    site.entry(accession="NA", study="1.2")

    site.run()

    assert site.transfers("1.1") == {}
    assert site.transfers("1.2") == {1: Asked(HEART, "H-001")}


def test_an_event_or_date_that_does_not_apply_is_blank(site: Site) -> None:
    site.simulator.projects["coupling"].set_missing_data_codes(CODES)
    site.series("1.1", AccessionNumber="A-1")
    site.entry(accession="A-1", event="NA", date="UNK")

    site.run()

    assert site.transfers("1.1") == {1: Asked(HEART, "H-001")}


def test_a_rule_whose_title_or_pattern_does_not_apply_matches_nothing(site: Site) -> None:
    site.simulator.projects["routing"].set_missing_data_codes("UNK, Unknown | NA, Not applicable")
    site.series("1.1", PatientID="NA", called="UNK")
    site.rule(called="UNK", patient_id=".*")
    site.rule("2", called="", calling="CT1", patient_id="NA")

    site.run()

    assert site.transfers("1.1") == {}


def test_a_transfer_date_that_is_missing_is_not_sent(site: Site) -> None:
    site.transfer_project.set_missing_data_codes(CODES)
    site.series("1.1", AccessionNumber="A-1")
    site.entry(accession="A-1")
    site.run()
    place = {"redcap_repeat_instrument": "transfers", "redcap_repeat_instance": 1}
    site.transfer_project.put(
        [{"study_instance_uid": "1.1", **place, "transfer_date": "NA", "transfer_error___na": "1"}]
    )

    site.clock.advance(60)
    site.run()

    assert site.events("TransferSent") == []
    assert site.events("TransferFailed") == []


def test_a_persons_row_of_codes_asks_for_nothing(site: Site) -> None:
    site.transfer_project.set_missing_data_codes(CODES)
    site.series("1.1", AccessionNumber="A-1")
    site.run()
    site.person_requests("1.1", HEART, "UNK")
    site.entry(accession="A-1")

    site.run()

    assert site.transfers("1.1")[2] == Asked(HEART, "H-001")
