"""What happens when a summary comes to say something else about a series that is known."""

from tests.flow.harness import BRAIN, HEART, Asked, Site


def test_a_series_that_is_given_its_accession_number_late_meets_its_entry(site: Site) -> None:
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="")
    site.run()
    assert site.transfers("1.2.3") == {}
    site.grow("1.2.3", AccessionNumber="ACC-1")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_a_corrected_patient_id_amends_the_request_that_was_made_from_the_wrong_one(site: Site) -> None:
    site.rule(patient_id="PID-.")
    site.series("1.2.3", PatientID="PID-1")
    site.run()
    site.grow("1.2.3", PatientID="PID-2")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-2")}


def test_one_more_image_routes_nothing_anew(site: Site) -> None:
    site.series("1.2.3")
    site.run()
    site.rule(patient_id="PID-1", project=BRAIN)
    site.grow("1.2.3")
    site.run()
    assert site.transfers("1.2.3") == {}
    assert [row["series_num_files"] for row in site.series_rows("1.2.3").values()] == ["2"]


def test_what_a_person_corrected_in_the_study_s_row_outlives_one_more_image(site: Site) -> None:
    site.series("1.2.3", StudyDescription="scanner")
    site.run()
    site.incoming.put([{"study_instance_uid": "1.2.3", "study_description": "corrected by hand"}])
    site.grow("1.2.3")
    site.run()
    assert site.study_row("1.2.3")["study_description"] == "corrected by hand"


def test_a_description_that_changes_at_its_source_is_written(site: Site) -> None:
    site.series("1.2.3", StudyDescription="scanner")
    site.run()
    site.grow("1.2.3", StudyDescription="second thoughts")
    site.run()
    assert site.study_row("1.2.3")["study_description"] == "second thoughts"
