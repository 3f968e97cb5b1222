"""REDCap and the network fail: the run ends with a clear error, nothing is lost, the next one completes."""

import math
import traceback
from dataclasses import replace

import pytest

from processors.delivery.delivered import Delivered
from processors.demo.simulator import Fault
from processors.errors import Refused, ServiceError
from tests.flow.conftest import MakeSite
from tests.flow.harness import HEART, Asked, Site

FAULTS = [
    Fault(kind="status", status=403, times=None),
    Fault(kind="status", status=500, times=None),
    Fault(kind="status", status=502, times=None),
    Fault(kind="waf", times=None),
    Fault(kind="offline", times=None),
    Fault(kind="browser_tabs", times=None),
    Fault(kind="memory_error", times=None),
    Fault(kind="mysql_connect", times=None),
    Fault(kind="empty", times=None),
    Fault(kind="truncated_json", times=None),
    Fault(kind="reset", times=None),
    Fault(kind="revoke_right", right="export", times=None),
]
IMPORT_FAULTS = [
    *(Fault(kind=kind, action="import", project="incoming") for kind in ("reset", "empty", "browser_tabs", "waf")),
    *(
        Fault(kind=kind, action="import", project="incoming", after_commit=True)
        for kind in ("reset", "status", "empty", "browser_tabs", "memory_error")
    ),
    Fault(kind="status", status=500, action="import", project="incoming"),
    Fault(kind="truncated_json", action="import", project="incoming"),
    Fault(kind="half_import", action="import", project="incoming"),
    Fault(kind="delay", seconds=2, action="import", project="incoming"),
    Fault(kind="delay", seconds=2, action="import", project="incoming", after_commit=True),
]


def _name(fault: Fault) -> str:
    return f"{fault.kind}{fault.status if fault.kind == 'status' else ''}{' applied' if fault.after_commit else ''}"


@pytest.fixture
def busy(make_site: MakeSite) -> Site:
    """Studies with requests by rule and coupling, nothing of it delivered yet."""
    site = make_site(timeout_seconds=1)
    site.rule(patient_id="PID-.")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", "1.2.3.1")
    site.series("1.2.3", "1.2.3.2")
    site.series("1.2.4", PatientID="X", AccessionNumber="ACC-1")
    return site


def assert_complete(site: Site) -> None:
    """Everything of `busy` is in REDCap, once."""
    uids = [row["series_instance_uid"] for row in site.series_rows("1.2.3").values()]
    assert sorted(uids) == ["1.2.3.1", "1.2.3.2"]
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}
    assert len(site.series_rows("1.2.4")) == 1
    assert site.transfers("1.2.4") == {1: Asked(HEART, "H-001")}
    assert site.study_row("1.2.3")["incoming_studies_complete"] == "2"
    assert site.study_row("1.2.4")["incoming_studies_complete"] == "2"
    assert site.attention() == {}
    site.assert_sound()
    assert_no_secret(site, site.everything_stored())


def assert_no_secret(site: Site, text: str) -> None:
    """No patient, pseudonym or token stands in the text."""
    assert [secret for secret in ("PID-1", "Doe^Jane", "H-001", *site.tokens.values()) if secret in text] == []


def told(error: BaseException) -> str:
    """All that an error and those behind it say."""
    return "".join(traceback.format_exception(error))


def assert_each_fault_ends_a_run(site: Site, project: str, *, after: int) -> None:
    """With a clear error, and with as many events as there were `after` any of them: there is nothing to tell apart."""
    for fault in FAULTS:
        site.simulator.inject(replace(fault, project=project))
        with pytest.raises(ServiceError) as caught:
            site.run()
        assert project in str(caught.value), _name(fault)
        assert_no_secret(site, told(caught.value))
        assert site.head() == after, _name(fault)
        assert site.incoming.records == {}, _name(fault)
        site.simulator.clear_faults()
        site.simulator.projects[project].grant()


@pytest.mark.parametrize("project", ["routing", "coupling"])
def test_a_failed_fetch_of_rules_or_entries_decides_nothing(busy: Site, project: str) -> None:
    busy.simulator.inject(replace(FAULTS[0], project=project))
    with pytest.raises(ServiceError):
        busy.run()
    assert_each_fault_ends_a_run(busy, project, after=busy.head())
    assert busy.events("TransferRequested") == []
    assert busy.events("DecisionsMade") == []
    busy.run()
    assert_complete(busy)


def test_incoming_is_out_of_order_until_the_next_run(busy: Site) -> None:
    busy.simulator.inject(replace(FAULTS[0], project="incoming"))
    with pytest.raises(ServiceError):
        busy.run()
    assert_each_fault_ends_a_run(busy, "incoming", after=busy.head())
    busy.run()
    assert_complete(busy)


@pytest.mark.parametrize("fault", IMPORT_FAULTS, ids=_name)
def test_an_import_of_unknown_fate_is_completed_by_the_next_run(busy: Site, fault: Fault) -> None:
    busy.simulator.inject(fault)
    with pytest.raises(ServiceError) as caught:
        busy.run()
    assert_no_secret(busy, told(caught.value))
    busy.run()
    assert_complete(busy)


def test_a_server_that_is_down_loses_nothing(busy: Site) -> None:
    url = busy.simulator.url
    busy.simulator.close()
    with pytest.raises(ServiceError, match="REDCap"):
        busy.run_at(url)
    assert busy.events("TransferRequested") == []
    assert len(busy.events("SeriesDiscovered")) == 3
    busy.simulator._closing.clear()
    busy.simulator.start()
    busy.run()
    assert_complete(busy)


@pytest.mark.parametrize("kind", ["text_instances", "omit_repeat_columns", "complete_null"])
def test_a_server_of_another_version_is_understood(busy: Site, kind: str) -> None:
    busy.simulator.inject(Fault(kind=kind, times=None))
    busy.run()
    busy.grow("1.2.3", "1.2.3.2")
    busy.entry(accession="ACC-1", subject="H-002")
    busy.run()
    assert busy.transfers("1.2.4") == {1: Asked(HEART, "H-002")}
    busy.entry(accession="ACC-1", subject="H-001")
    busy.run()
    assert_complete(busy)


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("study_arrival_date", ["study_arrival_date"]),
        ("study_description", ["study_description"]),
        ("study_institution_name", ["study_institution_name"]),
        ("study_patient_name", ["study_patient_name"]),
        ("study_accession_number", ["study_accession_number"]),
        ("study_aetitle_addressed", ["study_aetitle_addressed"]),
        ("series_sequence_name", ["series_sequence_name"]),
        ("series_num_files", ["series_num_files"]),
        ("series_classify_types", ["series_classify_types"]),
        ("transfer_active_proc_time", []),
    ],
)
def test_an_optional_field_that_the_server_lacks_is_left_out_and_told_once(
    busy: Site, field: str, told: list[str]
) -> None:
    """Each one but the arrival date used to stop all requests of all studies."""
    busy.incoming.remove_field(field)
    report = busy.run()
    assert report.delivered is not None
    assert report.delivered.left_out == told
    assert_complete(busy)
    assert not any(field in row for row in busy.incoming.rows())


def test_a_descriptive_field_comes_once_the_dictionary_has_it(busy: Site) -> None:
    whole = busy.incoming.dictionary
    busy.incoming.remove_field("series_sequence_name")
    busy.run()
    busy.incoming.dictionary = whole
    busy.series("1.2.5", SequenceName="tfl3d1")
    report = busy.run(after=24 * 60 * 60)
    assert report.delivered is not None
    assert report.delivered.left_out == []
    assert busy.series_rows("1.2.5")[1]["series_sequence_name"] == "tfl3d1"


def test_a_server_that_knows_all_fields_has_none_left_out(busy: Site) -> None:
    delivered = busy.run().delivered
    assert delivered is not None
    assert delivered.left_out == []


def test_what_two_deliveries_left_out_is_told_once() -> None:
    both = Delivered(studies=1, left_out=["b"]) + Delivered(studies=2, series=3, left_out=["b", "a"])
    assert both == Delivered(studies=3, series=3, left_out=["a", "b"])


NEEDED = [
    "study_patient_id",
    "series_instance_uid",
    "transfer_name",
    "transfer_date",
    "transfer_event_name",
    "transfer_requested_date",
]


def test_nothing_is_written_where_a_needed_field_is_missing(busy: Site) -> None:
    """Without `transfer_name`, transfers without a pseudonym used to be written, with success."""
    whole = busy.incoming.dictionary
    for field in NEEDED:
        busy.incoming.remove_field(field)
        with pytest.raises(Refused, match=f"incoming: expected the fields {field} in the project's data dictionary"):
            busy.run()
        assert busy.incoming.records == {}, field
        busy.incoming.dictionary = whole
    busy.run()
    assert_complete(busy)


@pytest.mark.parametrize("batch_rows", [1, 500])
def test_a_needed_field_that_disappears_later_ends_the_run(make_site: MakeSite, batch_rows: int) -> None:
    site = make_site(batch_rows=batch_rows)
    site.series("1.2.3")
    site.run()
    site.incoming.remove_field("transfer_name")
    before = site.incoming.rows()
    site.entry(study="1.2.3")
    site.series("1.2.4")
    with pytest.raises(Refused, match="transfer_name"):
        site.run()
    assert site.incoming.rows() == before


def test_no_study_is_written_where_the_transfers_project_lacks_a_needed_field(make_site: MakeSite) -> None:
    site = make_site(separate_transfers=True)
    site.transfer_project.remove_field("transfer_name")
    site.series("1.2.3")
    site.run()
    assert list(site.incoming.records) == ["1.2.3"]
    site.entry(study="1.2.3")
    site.series("1.2.4")
    with pytest.raises(Refused, match="transfers: expected the fields transfer_name"):
        site.run()
    assert site.transfer_project.records == {}
    assert list(site.incoming.records) == ["1.2.3"]


def test_a_server_without_study_uids_in_the_coupling_list_is_understood(busy: Site) -> None:
    busy.simulator.projects["coupling"].remove_field("cl_studyinstanceuid")
    busy.run()
    assert_complete(busy)


def test_a_field_that_disappears_later_is_left_out_from_then_on(busy: Site) -> None:
    busy.run()
    busy.incoming.remove_field("study_arrival_date")
    busy.series("1.2.5", PatientID="X")
    report = busy.run()
    assert report.delivered is not None
    assert report.delivered.left_out == ["study_arrival_date"]
    assert busy.study_row("1.2.5")["incoming_studies_complete"] == "2"
    assert_complete(busy)


@pytest.mark.parametrize("project", ["routing", "coupling"])
@pytest.mark.parametrize("other", ["incoming", "empty"])
def test_an_empty_list_of_another_project_is_not_taken_for_ours(busy: Site, project: str, other: str) -> None:
    """It used to remove every rule or entry."""
    busy.run()
    head = busy.head()
    listed = busy.simulator.projects[project]
    kept, dictionary = listed.records, listed.dictionary
    listed.records = {}
    if other == "incoming":
        listed.dictionary = busy.incoming.dictionary
    else:
        listed.remove_field("routing_active" if project == "routing" else "cl_subjectid")
    with pytest.raises(Refused, match=f"redcap.tokens.{project} is the one of th"):
        busy.run()
    assert busy.head() == head
    listed.records, listed.dictionary = kept, dictionary
    busy.run()
    assert_complete(busy)


def test_an_idle_run_without_rules_and_entries_makes_at_most_five_calls(site: Site) -> None:
    """But for what is asked of projects themselves once an hour: their missing data codes."""
    site.series("1.2.3")
    site.run()
    site.run()
    assert len([call for call in site.calls if call.content != "project"]) <= 5


def test_an_idle_run_makes_at_most_five_calls_and_asks_for_no_study(busy: Site) -> None:
    busy.run()
    head = busy.head()
    for _ in range(3):
        report = busy.run()
        assert len([call for call in busy.calls if call.content != "project"]) <= 5
        assert report.calls == len(busy.calls)
        assert busy.calls_about_studies == []
    assert busy.head() == head


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 7, 500])
def test_new_rows_cost_two_calls_a_batch_also_where_batches_split_a_study(make_site: MakeSite, batch_rows: int) -> None:
    site = make_site(batch_rows=batch_rows)
    site.rule(patient_id="PID-1")
    site.entry(accession="ACC-1", subject="H-001", event="baseline")
    site.run()  # by now it knows which REDCap this is
    for study in ("1.2.3", "1.2.4"):
        for series in (1, 2, 3):
            site.series(study, f"{study}.{series}", AccessionNumber="ACC-1")
    report = site.run()
    rows = 2 * (1 + 3 + 2)
    codes = 2  # of rules and entries, for missing data: asked for once an hour
    assert report.calls <= 5 + 2 + codes + 2 * math.ceil(rows / batch_rows)
    for study in ("1.2.3", "1.2.4"):
        assert site.study_row(study)["incoming_studies_complete"] == "2"
        assert sorted(site.series_rows(study)) == [1, 2, 3]
        assert set(site.transfers(study).values()) == {Asked(HEART, "PID-1"), Asked(HEART, "H-001", "baseline")}


def test_a_record_found_deleted_is_told_once_although_batches_split_it(make_site: MakeSite) -> None:
    site = make_site(batch_rows=1)
    site.series("1.2.3", "1.2.3.1")
    site.run()
    site.person_deletes("1.2.3")
    site.series("1.2.3", "1.2.3.2")
    site.series("1.2.3", "1.2.3.3")
    site.run()
    assert len(site.events("RowMissing")) == 1


def test_transfers_in_a_project_of_their_own_are_written_there(make_site: MakeSite) -> None:
    site = make_site(separate_transfers=True)
    site.person_requests("1.2.3", "Other", "O-1")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked("Other", "O-1"), 2: Asked(HEART, "H-001")}
    assert sorted(site.series_rows("1.2.3")) == [1]
    assert "transfers" not in site.incoming.records["1.2.3"].instances
