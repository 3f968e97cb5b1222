"""What our client adds to the calls of tests/contract: its checks, its errors, its connections."""

from pathlib import Path

import pytest

from processors.demo.simulator import Fault, Project, Simulator
from processors.errors import ConfigurationError
from processors.redcap import NoRateLimit, Redcap, RowsRefused, UnknownFields
from processors.redcap.rows import Row

SERIES: dict[str, str | int] = {
    "study_instance_uid": "1.2",
    "redcap_repeat_instrument": "series",
    "redcap_repeat_instance": 1,
    "series_instance_uid": "1.2.1",
    "series_num_files": "7",
}
STUDY: dict[str, str | int] = {"study_instance_uid": "1.2", "study_description": "Schädel, нáтив"}
COLUMNS = ["study_instance_uid", "study_description", "series_instance_uid", "series_num_files"]


def exported(client: Redcap) -> list[Row]:
    return client.export_records("incoming", records=["1.2"], fields=COLUMNS)


@pytest.mark.parametrize("kind", ["text_instances", "omit_repeat_columns"])
def test_repeat_columns_are_the_same_on_odd_servers(
    client: Redcap, simulator: Simulator, incoming: Project, kind: str
) -> None:
    incoming.put([{"study_instance_uid": "1.1"}, STUDY, SERIES])
    usual = client.export_records("incoming", records=["1.1"]), exported(client)

    simulator.inject(Fault(kind=kind, times=None))

    assert (client.export_records("incoming", records=["1.1"]), exported(client)) == usual
    assert [row["redcap_repeat_instance"] for row in usual[1]] == ["", "1"]


def test_a_status_that_is_null_is_blank(client: Redcap, simulator: Simulator, incoming: Project) -> None:
    incoming.put([STUDY])
    simulator.inject(Fault(kind="complete_null"))

    assert client.export_records("incoming")[0]["incoming_studies_complete"] == ""


@pytest.mark.parametrize("text", [
    "a=1&b=2+3%20;d",
    "line\r\n--line\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nx",
    'Müller^"Jo"=山田^太郎=やまだ^たろう 🫀',
])  # fmt: skip
def test_rows_arrive_as_they_are_whatever_they_say(client: Redcap, incoming: Project, text: str) -> None:
    client.import_records("incoming", [{"study_instance_uid": "1.2", "study_description": text}], overwrite=True)

    assert incoming.rows()[0]["study_description"] == text


def test_rows_too_large_for_one_body_are_sent_in_several(
    client: Redcap, simulator: Simulator, incoming: Project
) -> None:
    rows = [{"study_instance_uid": f"1.{place}", "study_description": "ü" * 1_000_000} for place in range(5)]

    assert client.import_records("incoming", rows, overwrite=True) == 5

    assert len(incoming.rows()) == 5
    assert len(simulator.calls) == 2


def test_no_records_asked_for_are_no_rows_and_no_call(client: Redcap, incoming: Project) -> None:
    incoming.put([STUDY])

    assert client.export_records("incoming", records=[]) == []
    assert client.import_records("incoming", [], overwrite=False) == 0
    assert client.calls == 0


def test_calls_are_counted_and_share_one_connection(client: Redcap, simulator: Simulator) -> None:
    for _ in range(3):
        client.metadata("incoming")

    assert client.calls == len(simulator.calls) == 3


@pytest.mark.parametrize("name", ["records", "fields"])
def test_more_than_php_takes_is_refused_before_the_call(client: Redcap, name: str) -> None:
    with pytest.raises(ValueError, match=f"1 to 500 {name} in one call, found 501"):
        client.export_records("incoming", **{name: ["x"] * 501})  # type: ignore[arg-type]

    assert client.calls == 0


def test_five_hundred_records_and_fields_pass_phps_limit(client: Redcap, incoming: Project) -> None:
    incoming.put([{"study_instance_uid": f"1.{place}"} for place in range(501)])

    rows = client.export_records(
        "incoming", records=[f"1.{place}" for place in range(500)], fields=["study_instance_uid"] * 490
    )

    assert len(rows) == 500


def test_a_project_without_a_token_is_a_matter_of_configuration(client: Redcap) -> None:
    assert client.has("incoming")
    assert not client.has("transfers")
    with pytest.raises(ConfigurationError, match=r"redcap\.tokens\.transfers"):
        client.metadata("transfers")


def test_rows_that_redcap_refuses_are_named_and_none_is_stored(client: Redcap, incoming: Project) -> None:
    wrong = {**SERIES, "study_instance_uid": "1.3", "series_num_files": "seven"}

    with pytest.raises(RowsRefused) as raised:
        client.import_records("incoming", [STUDY, SERIES, wrong], overwrite=False)

    assert [(each.record, each.field, each.locked) for each in raised.value.problems] == [
        ("1.3", "series_num_files", False)
    ]
    assert "1.3 series_num_files: This value you provided is not an integer" in str(raised.value)
    assert "seven" not in str(raised.value)
    assert incoming.rows() == []


def test_a_locked_record_is_told_from_a_wrong_row(client: Redcap, incoming: Project) -> None:
    incoming.put([STUDY])
    incoming.lock("1.2")

    with pytest.raises(RowsRefused) as raised:
        client.import_records("incoming", [STUDY, SERIES], overwrite=False)

    assert [(each.record, each.locked) for each in raised.value.problems] == [("1.2", True)]


def test_fields_that_the_project_lacks_are_named(client: Redcap, incoming: Project) -> None:
    incoming.remove_field("study_description")

    with pytest.raises(UnknownFields) as of_import:
        client.import_records("incoming", [STUDY], overwrite=False)
    with pytest.raises(UnknownFields) as of_export:
        exported(client)

    assert of_import.value.fields == of_export.value.fields == ("study_description",)


def test_a_row_without_its_record_id_is_a_defect_of_the_caller(client: Redcap) -> None:
    with pytest.raises(ValueError, match="record id first"):
        client.import_records("incoming", [STUDY, {"study_description": "x"}], overwrite=False)


def test_a_bundle_of_certificates_that_is_missing_is_a_matter_of_configuration(simulator: Simulator) -> None:
    with pytest.raises(ConfigurationError, match=r"redcap\.ca_bundle"):
        Redcap(url=simulator.url, tokens={}, rate_limit=NoRateLimit(), ca_bundle=Path("/nowhere/ca.pem"))
