"""What a comparison of REDCap with the ledger tells, case by case."""

from datetime import timedelta

import pytest

from processors.delivery.due import pending_age
from processors.delivery.reconcile.diff import different_fields
from processors.errors import ConfigurationError, Refused
from tests.delivery.reconcile.conftest import MakeSite, Reconciler, Told, kinds
from tests.flow.harness import BRAIN, HEART, Site

STUDY = "1.2.3"


@pytest.fixture(autouse=True)
def delivered(site: Site) -> None:
    """A study of two series with a request of ours, and one that no rule concerns."""
    site.rule(patient_id="PID-1")
    site.series(STUDY, f"{STUDY}.1", SeriesDescription=" T1 \r\n sag ", StudyDate="20260301")
    site.series(STUDY, f"{STUDY}.2")
    site.series("1.2.4", PatientID="other", PatientName="Ola^Other")
    site.run()


def request(site: Site) -> str:
    return str(site.query("select position from gateway.transfer")[0][0])


def change(site: Site, instrument: str = "", instance: int | None = None, **fields: str) -> None:
    place = {"study_instance_uid": STUDY}
    if instrument:
        place |= {"redcap_repeat_instrument": instrument, "redcap_repeat_instance": str(instance)}
    site.incoming.put([place | fields])


def test_right_after_a_run_nothing_differs(site: Site, reconciler: Reconciler) -> None:
    found = reconciler.found()
    assert found.differences == []
    assert (found.studies, found.waiting, found.contested) == (2, 0, 0)
    assert site.events("DifferenceAccepted") == []


def test_a_changed_field_of_a_study_is_told_by_name(site: Site, reconciler: Reconciler) -> None:
    change(site, study_description="SECRET", study_institution_name="elsewhere")
    assert reconciler.told() == [
        Told(STUDY, "study", "changed", fields=("study_institution_name", "study_description"))
    ]
    assert "SECRET" not in repr(reconciler.found())


def test_a_patient_that_redcap_holds_another_hash_of_is_told(site: Site, reconciler: Reconciler) -> None:
    change(site, study_patient_id="0" * 64)
    assert reconciler.told() == [Told(STUDY, "study", "changed", fields=("study_patient_id",))]


def test_a_changed_series_is_told_with_its_instance(site: Site, reconciler: Reconciler) -> None:
    change(site, "series", 2, series_num_files="999")
    assert reconciler.told() == [Told(STUDY, "series", "changed", f"{STUDY}.2", 2, ("series_num_files",))]


def test_what_redcap_does_to_values_is_no_difference(site: Site, reconciler: Reconciler) -> None:
    change(site, "series", 1, series_description="T1 \n sag")
    change(site, study_date="20260301  ")
    assert reconciler.told() == []


def test_a_form_status_that_newer_servers_give_as_blank_is_no_difference() -> None:
    ours = {"study_date": "20260301", "incoming_studies_complete": "2"}
    assert different_fields(ours, {"study_date": "20260301", "incoming_studies_complete": ""}) == ()
    assert different_fields(ours, {"incoming_studies_complete": "0"}) == ("incoming_studies_complete",)


def test_a_deleted_series_is_missing(site: Site, reconciler: Reconciler) -> None:
    site.person_deletes_series(STUDY, 1)
    assert reconciler.told() == [Told(STUDY, "series", "missing", f"{STUDY}.1")]


def test_a_deleted_request_is_missing(site: Site, reconciler: Reconciler) -> None:
    site.person_deletes_transfer(STUDY, 1)
    assert reconciler.told() == [Told(STUDY, "transfer", "missing", request(site), 1)]


def test_a_deleted_record_is_told_once_and_its_requests(site: Site, reconciler: Reconciler) -> None:
    site.person_deletes(STUDY)
    assert reconciler.told() == [
        Told(STUDY, "study", "deleted"),
        Told(STUDY, "transfer", "missing", request(site), 1),
    ]


def test_a_rewritten_request_is_told_by_what_it_asks_differently(site: Site, reconciler: Reconciler) -> None:
    site.person_requests(STUDY, HEART, "OTHER", event="visit", instance=1)
    assert reconciler.told() == [
        Told(STUDY, "transfer", "changed", request(site), 1, ("transfer_name", "transfer_event_name"))
    ]
    assert "OTHER" not in repr(reconciler.found())


def test_a_request_by_somebody_else_is_told_until_a_run_has_seen_it(site: Site, reconciler: Reconciler) -> None:
    site.person_requests(STUDY, BRAIN, "B-1")
    assert reconciler.told() == [Told(STUDY, "transfer", "extra", instance=2)]
    site.run()
    assert reconciler.told() == []


def test_series_that_nobody_knows_are_extra_and_a_series_there_twice_is_a_duplicate(
    site: Site, reconciler: Reconciler
) -> None:
    change(site, "series", 8, series_instance_uid="9.9.9")
    change(site, "series", 9, series_instance_uid=f"{STUDY}.1")
    assert sorted(reconciler.told()) == [
        Told(STUDY, "series", "duplicate", f"{STUDY}.1", 9),
        Told(STUDY, "series", "extra", "9.9.9", 8),
    ]


def test_records_that_nobody_knows_are_told_where_nothing_narrows_the_comparison(
    site: Site, reconciler: Reconciler
) -> None:
    site.incoming.put([{"study_instance_uid": "9.9.9", "study_description": "by hand"}])
    assert reconciler.told() == [Told("9.9.9", "record", "extra")]
    assert reconciler.told(study=STUDY) == []


def test_rows_that_wait_are_counted_and_are_no_differences(site: Site, reconciler: Reconciler) -> None:
    site.grow(STUDY)
    site.series("1.2.5")
    site.run_killed_before_import()
    found = reconciler.found()
    assert found.differences == []
    assert found.waiting == 4  # a series that has grown; a study, its series and its request


def test_a_late_series_of_a_deleted_record_waits_for_no_run(site: Site, reconciler: Reconciler) -> None:
    """It was counted as a row that waits, of which `status` and the metrics know nothing."""
    site.person_deletes(STUDY)
    site.run()
    site.series(STUDY, f"{STUDY}.3")
    site.run()
    found = reconciler.found()
    assert (STUDY, "deleted") in [(each.study, each.what) for each in found.differences]
    with site.own_gateway().begin() as work:
        assert (found.waiting, pending_age(work)) == (0, [])


def test_a_contested_request_is_counted_and_is_no_difference(site: Site, reconciler: Reconciler) -> None:
    site.person_requests("1.2.5", HEART, "THEIRS")
    site.series("1.2.5")
    site.run()
    found = reconciler.found()
    assert found.differences == []
    assert found.contested == 1


def test_what_was_withdrawn_amended_or_replaced_is_no_difference(site: Site, reconciler: Reconciler) -> None:
    site.entry("1", accession="ACC-1", subject="H-1", project=BRAIN)
    site.entry("2", accession="ACC-1", subject="H-2", event="visit")
    site.series("1.2.5", AccessionNumber="ACC-1")
    site.run()
    site.sender_sends("1.2.5", 2)
    site.entry("1", accession="ACC-1", subject="H-1b", project=BRAIN)
    site.entry("2", accession="ACC-1", subject="H-2b", event="visit")
    site.run()
    site.entry("2", accession="ACC-elsewhere", subject="H-2b", event="visit")
    site.run()
    assert reconciler.told() == []


def test_an_identity_that_was_forgotten_cannot_be_compared(site: Site, reconciler: Reconciler) -> None:
    change(site, study_patient_id="0" * 64)
    site.query("update ledger.subject set wrapped_key = null, lookup = null where kind = 'patient' returning 1")
    assert reconciler.told() == []


def test_fields_that_the_server_lacks_are_no_differences(site: Site, reconciler: Reconciler) -> None:
    site.incoming.remove_field("study_arrival_date")
    site.incoming.remove_field("transfer_error_message")
    assert reconciler.told() == []


def test_what_was_written_without_a_field_differs_once_the_server_has_it(site: Site, reconciler: Reconciler) -> None:
    whole = site.incoming.dictionary
    site.incoming.remove_field("series_sequence_name")
    site.series("1.2.5", "1.2.5.1", SequenceName="tfl3d1")
    site.run()
    site.incoming.dictionary = whole
    site.clock.advance(24 * 60 * 60)
    assert reconciler.told() == [Told("1.2.5", "series", "changed", "1.2.5.1", 1, ("series_sequence_name",))]


def test_an_export_that_does_not_tell_which_series_it_is_about_is_refused(site: Site, reconciler: Reconciler) -> None:
    site.incoming.remove_field("series_instance_uid")
    with pytest.raises(Refused, match="series_instance_uid in the project's data dictionary"):
        reconciler.found()


def test_one_study_one_project_or_a_time_narrows_it(site: Site, reconciler: Reconciler) -> None:
    begin = site.clock()
    site.series("1.2.5", PatientID="other", PatientName="Ola^Other")
    site.clock.advance(3600)
    site.run()
    assert reconciler.found(study=STUDY).studies == 1
    assert reconciler.found(project=HEART).studies == 1
    assert reconciler.found(since=begin + timedelta(minutes=1)).studies == 1
    assert reconciler.found(since=begin - timedelta(days=1)).studies == 3
    assert reconciler.found(study=STUDY, since=begin + timedelta(minutes=1)).studies == 0


@pytest.mark.parametrize("scope", [{"study": "9.9.9"}, {"project": "Hart Study"}])
def test_what_the_ledger_does_not_know_cannot_be_meant(reconciler: Reconciler, scope: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"found '(9\.9\.9|Hart Study)'"):
        reconciler.found(**scope)


def test_comparing_changes_nothing(site: Site, reconciler: Reconciler) -> None:
    site.person_deletes(STUDY)
    head = site.head()
    site.simulator.calls.clear()
    reconciler.found()
    assert site.head() == head
    assert {call.action for call in site.calls} == {"export"}


def test_transfers_in_a_project_of_their_own_are_compared_there(make_site: MakeSite) -> None:
    site = make_site(separate_transfers=True)
    site.rule(patient_id="PID-1")
    site.series("1.2.8")
    site.run()
    reconciler = Reconciler(site)
    assert reconciler.told(study="1.2.8") == []
    site.person_deletes_transfer("1.2.8", 1)
    assert kinds(reconciler.told(study="1.2.8")) == [("transfer", "missing")]
