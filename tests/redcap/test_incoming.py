"""The rows of Incoming: as they are written, and as they are read back. Those of `transfers` alone: test_transfers."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.demo import samples
from processors.events.series import SeriesFact
from processors.redcap import incoming, transfers
from processors.redcap.incoming import ActualRecord, Row
from processors.source import summary
from tests.transfer_requests import ours, row

IDENTITY = dict.fromkeys(SeriesFact.SEALED, "")
NOON = datetime(2026, 3, 2, 12, 5, 59, tzinfo=timezone(timedelta(hours=1)))
NAMES = [
    "Åse^Ødegård",
    "Иванов^Иван",
    "山田^太郎=やまだ^たろう",
    "김^철수",
    "محمد^علي",
    "כהן^דוד",
    "Παπαδόπουλος^Γιώργος",
    "नरेंद्र^मोदी",
    "สมชาย^ใจดี",
    "王^小明",
    "Nguyễn^Văn An",
    "გიორგი",
    "Հայկ",
    "ኃይለ",
    "தமிழ்",
    'O\'Brien^"Pat"\n\x00',
    "\N{GRINNING FACE}",
    "",
]


def data_of(**values: Any) -> dict[str, Any]:
    document = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.3"} | values
    return summary.parse(orjson.dumps(document), study="1.2", series="1.2.3").data


def series_row(data: Mapping[str, Any], instance: int) -> Row:
    """The row of a series of which all can be read."""
    return incoming.series_row(data, data, instance)


def exported(row: Row) -> dict[str, str]:
    """The row as REDCap gives it back: text everywhere, blank where nothing was said."""
    blank = dict.fromkeys((*incoming.READ_FIELDS, "redcap_repeat_instrument", "redcap_repeat_instance"), "")
    return blank | {name: str(value) for name, value in row.items()}


def transfer(instance: int, *, event_name: str = "") -> Row:
    return transfers.requested_row(ours(5, event=event_name), instance)


# Hashes and times


@pytest.mark.parametrize("name", NAMES)
def test_names_and_ids_are_hashed_as_utf8_in_every_script(name: str) -> None:
    row = incoming.study_row(data_of(), IDENTITY | {"PatientID": f"id {name}", "PatientName": name}, NOON)
    assert row["study_patient_name"] == hashlib.sha256(name.encode()).hexdigest()
    assert row["study_patient_id"] == hashlib.sha256(f"id {name}".encode()).hexdigest()


def test_a_known_hash_stays_what_it_was() -> None:
    # AutoID tables and REDCap records in use hold this for "abc".
    assert incoming.hashed("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.text(st.characters()))
def test_every_text_has_a_hash_even_with_lone_surrogates(text: str) -> None:
    assert len(incoming.hashed(text)) == 64
    assert len(incoming.hashed(text + "\ud800")) == 64


def test_no_row_of_a_study_holds_the_name_or_the_id() -> None:
    row = incoming.study_row(data_of(), IDENTITY | {"PatientID": "12345678901", "PatientName": "Hansen^Ola"}, NOON)
    assert "12345678901" not in json.dumps(row)
    assert "Hansen" not in json.dumps(row)


def test_a_forgotten_identity_leaves_its_fields_out() -> None:
    row = incoming.study_row(data_of(), {}, NOON)
    assert "study_patient_name" not in row
    assert "study_patient_id" not in row
    assert "study_accession_number" not in row


def test_a_moment_is_its_minute_in_the_zone_that_it_is_given_in() -> None:
    assert incoming.minute(NOON) == "2026-03-02 12:05"
    assert incoming.minute(NOON.astimezone(UTC)) == "2026-03-02 11:05"


# Writing


def test_a_study_row_says_what_its_summary_says() -> None:
    data = data_of(
        StudyDescription="MR",
        StudyDate="20260302",
        StudyTime="120000",
        InstitutionName="Haukeland",
        IncomingConnection={"AETitleCaller": "FROM", "AETitleCalled": "TO"},
    )
    row = incoming.study_row(data, IDENTITY | data | {"AccessionNumber": "A1"}, NOON)
    assert row == {
        "study_instance_uid": "1.2",
        "study_institution_name": "Haukeland",
        "study_aetitle_sender": "FROM",
        "study_aetitle_addressed": "TO",
        "study_patient_name": hashlib.sha256(b"").hexdigest(),
        "study_patient_id": hashlib.sha256(b"").hexdigest(),
        "study_description": "MR",
        "study_date": "20260302",
        "study_time": "120000",
        "study_accession_number": "A1",
        "study_arrival_date": "2026-03-02 12:05",
        "incoming_studies_complete": "2",
    }


def test_a_series_row_says_what_its_summary_says() -> None:
    data = data_of(
        SeriesDescription="T1",
        SeriesDate="20260303",
        SeriesTime="130000",
        StudyDate="20260302",
        NumFiles="0170",
        SequenceName="*tfl",
        ClassifyType=["T1", "ø", 'a"b'],
    )
    assert series_row(data, 4) == {
        "study_instance_uid": "1.2",
        "redcap_repeat_instrument": "series",
        "redcap_repeat_instance": 4,
        "series_instance_uid": "1.2.3",
        "series_description": "T1",
        "series_date": "20260303",
        "series_time": "130000",
        "series_num_files": "170",
        "series_sequence_name": "*tfl",
        "series_classify_types": '["T1", "\\u00f8", "a\\"b"]',
        "series_complete": "2",
    }


def test_a_series_without_date_and_time_has_its_study_s() -> None:
    row = series_row(data_of(StudyDate="20260302", StudyTime="120000"), 1)
    assert (row["series_date"], row["series_time"]) == ("20260302", "120000")


def test_a_series_without_a_count_or_types_says_so() -> None:
    row = series_row(data_of(), 1)
    assert (row["series_num_files"], row["series_classify_types"]) == ("", "")


@pytest.mark.parametrize("path", sorted(samples.raw_folder().glob("*/*.json")), ids=lambda path: path.stem[-12:])
def test_every_real_summary_becomes_rows(path: Path) -> None:
    content = path.read_bytes()
    found = summary.parse(content, study=path.parent.name, series=path.stem)
    assert incoming.study_row(found.data, IDENTITY | found.identity, NOON)["study_instance_uid"] == path.parent.name
    assert series_row(found.data, 1)["series_instance_uid"] == path.stem


# Reading


def test_a_forgotten_series_says_nothing_of_what_was_sealed() -> None:
    row = incoming.series_row(data_of(SeriesDescription="T1", SequenceName="*tfl"), {}, 1)
    assert {"series_description", "series_sequence_name"}.isdisjoint(row)


def test_nothing_exported_is_no_record() -> None:
    assert incoming.actual_records([]) == {}


def test_a_record_without_repeats_exists() -> None:
    row = exported(incoming.study_row(data_of(), {}, NOON))
    assert incoming.actual_records([row]) == {
        "1.2": ActualRecord(exists=True, series={}, highest_series_instance=0, transfers=())
    }


def test_a_project_without_repeat_columns_in_its_answer_is_read() -> None:
    assert incoming.actual_records([{"study_instance_uid": "1.2"}])["1.2"].exists


def test_written_series_are_found_at_their_instances() -> None:
    found = incoming.actual_records([exported(series_row(data_of(), 7))])["1.2"]
    assert (found.series, found.highest_series_instance) == ({"1.2.3": 7}, 7)


def test_a_series_that_stands_there_twice_keeps_the_lowest_instance_whatever_the_order() -> None:
    rows = [exported(series_row(data_of(), instance)) for instance in (10, 9, 11)]
    for order in (rows, rows[::-1]):
        found = incoming.actual_records(order)["1.2"]
        assert (found.series, found.highest_series_instance) == ({"1.2.3": 9}, 11)


def test_a_blank_series_row_of_a_person_counts_for_the_next_instance_only() -> None:
    row = exported({"study_instance_uid": "1.2", "redcap_repeat_instrument": "series", "redcap_repeat_instance": 12})
    found = incoming.actual_records([row])["1.2"]
    assert (found.series, found.highest_series_instance) == ({}, 12)


def test_transfers_are_read_with_the_codes_that_are_no_errors() -> None:
    sent = exported(transfer(3)) | {"transfer_date": "2026-03-02 12:10", "transfer_error___3": "1"}
    assert incoming.actual_records([sent])["1.2"].transfers == (transfers.transfer_row(sent),)
    assert incoming.actual_records([sent], information=())["1.2"].transfers[0].report.state == "failed"


def test_transfers_come_in_the_order_of_their_instances_as_numbers() -> None:
    rows = [exported(transfer(instance)) for instance in (10, 9, 2)]
    assert [found.instance for found in incoming.actual_records(rows)["1.2"].transfers] == [2, 9, 10]


def test_an_emptied_row_still_takes_its_instance() -> None:
    emptied = exported(transfers.emptied_row(row(5)))
    assert incoming.actual_records([emptied])["1.2"].transfers == (row(5, "", "", requested=""),)


LABELS = st.text(st.characters(exclude_categories=["Cs", "Cc"])).map(str.strip)


@given(
    series=st.dictionaries(st.integers(1, 200), st.sampled_from(["1.2.1", "1.2.2", "1.2.3"]), max_size=8),
    asked=st.dictionaries(st.integers(1, 200), st.tuples(LABELS, LABELS, LABELS), max_size=8),
    shuffled=st.randoms(use_true_random=False),
)
def test_rows_come_back_as_they_were_written_in_any_order(
    series: dict[int, str], asked: dict[int, tuple[str, str, str]], shuffled: Random
) -> None:
    rows = [exported({"study_instance_uid": "1.2"})]
    rows += [exported(series_row(data_of() | {"SeriesInstanceUID": uid}, instance)) for instance, uid in series.items()]
    rows += [exported(transfers.requested_row(ours(5, *asked[instance]), instance)) for instance in asked]
    shuffled.shuffle(rows)
    found = incoming.actual_records(rows)["1.2"]
    assert found.highest_series_instance == max(series, default=0)
    assert found.series == {uid: min(i for i, u in series.items() if u == uid) for uid in series.values()}
    assert found.transfers == tuple(
        row(instance, *asked[instance], requested=ours(5).minute) for instance in sorted(asked)
    )


def test_the_fields_of_each_kind_are_those_that_are_written_and_read() -> None:
    data = data_of()
    study = incoming.study_row(data, IDENTITY, datetime(2026, 3, 1, tzinfo=UTC))
    series = series_row(data, 1)
    asked = transfer(1, event_name="baseline")
    read = {"transfer": {"transfer_date"}}
    for kind, written_rows in (("study", [study]), ("series", [series]), ("transfer", [asked])):
        written = {name for written in written_rows for name in written if not name.startswith("redcap_repeat_")}
        assert set(incoming.FIELDS[kind]) == written | read.get(kind, set())
    named = {name for names in incoming.FIELDS.values() for name in names}
    assert set(incoming.READ_FIELDS) <= named | incoming.OPTIONAL_FIELDS


def test_of_the_fields_that_a_server_lacks_only_the_needed_ones_count() -> None:
    keys = {"study_instance_uid", "study_patient_id", "series_instance_uid", "series_complete"}
    assert incoming.needed_fields(["study", "series"]) == keys
    assert incoming.needed_fields(["transfer"]) == set(incoming.FIELDS["transfer"])
    written = {name for names in incoming.FIELDS.values() for name in names}
    assert incoming.OPTIONAL_FIELDS & written == written - incoming.needed_fields(incoming.FIELDS)
