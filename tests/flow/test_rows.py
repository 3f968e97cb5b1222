"""What stands in REDCap's Incoming for a study and its series, field by field."""

import hashlib
import json
from typing import Any

import pytest

from tests.flow.harness import Site

SUMMARY: dict[str, Any] = {
    "PatientID": "PID-ÅSE-77",
    "PatientName": "Ærø^Åse=山田^太郎",
    "InstitutionName": "St. Olav",
    "StudyDescription": "MR Caput",
    "StudyDate": "20260301",
    "StudyTime": "101500",
    "AccessionNumber": "ACC-9 ",
    "SeriesDescription": "t1_mprage",
    "SeriesDate": "20260302",
    "SeriesTime": "102030.5",
    "NumFiles": "176",
    "SequenceName": "*tfl3d1",
    "ClassifyType": ["MR", 'T1 "3D"', "ax,ial"],
    "called": "FIONA\x00",
    "calling": " MR7  ",
}


def test_a_study_row_says_whence_and_when_it_came_and_hashes_who_it_is(site: Site) -> None:
    site.series("1.2.3", **SUMMARY)
    site.run()
    assert site.study_row("1.2.3") == {
        "study_institution_name": "St. Olav",
        "study_aetitle_sender": "MR7",
        "study_aetitle_addressed": "FIONA",
        "study_patient_name": hashlib.sha256("Ærø^Åse=山田^太郎".encode()).hexdigest(),
        "study_patient_id": hashlib.sha256("PID-ÅSE-77".encode()).hexdigest(),
        "study_description": "MR Caput",
        "study_date": "20260301",
        "study_time": "101500",
        "study_accession_number": "ACC-9 ",
        "study_arrival_date": "2026-03-02 09:01",
        "incoming_studies_complete": "2",
    }


def test_a_series_row_holds_its_own_values(site: Site) -> None:
    site.series("1.2.3", "1.2.3.8", **SUMMARY)
    site.run()
    (row,) = site.series_rows("1.2.3").values()
    assert json.loads(row.pop("series_classify_types")) == ["MR", 'T1 "3D"', "ax,ial"]
    assert row == {
        "series_instance_uid": "1.2.3.8",
        "series_description": "t1_mprage",
        "series_date": "20260302",
        "series_time": "102030.5",
        "series_num_files": "176",
        "series_sequence_name": "*tfl3d1",
        "series_complete": "2",
    }


def test_the_arrival_date_is_the_local_minute_also_in_summer(site: Site) -> None:
    site.clock.advance(125 * 86_400)
    site.series("1.2.3")
    site.run()
    # 2026-07-05 09:01 in winter's UTC+1 is 10:01 on a Norwegian clock of that day.
    assert site.study_row("1.2.3")["study_arrival_date"] == "2026-07-05 10:01"


def test_a_series_without_date_and_time_takes_the_studys(site: Site) -> None:
    site.series("1.2.3", StudyDate="20260301", StudyTime="101500", SeriesDate="", SeriesTime=None)
    site.run()
    (row,) = site.series_rows("1.2.3").values()
    assert (row["series_date"], row["series_time"]) == ("20260301", "101500")


def test_a_summary_with_nothing_but_uids_becomes_rows(site: Site) -> None:
    site.receiver.summary("1.2.3", "1.2.3.1", PatientID=None)
    site.run()
    nobody = hashlib.sha256(b"").hexdigest()
    assert site.study_row("1.2.3") == {
        "study_patient_name": nobody,
        "study_patient_id": nobody,
        "study_arrival_date": "2026-03-02 09:01",
        "incoming_studies_complete": "2",
    }
    assert site.series_rows("1.2.3") == {1: {"series_instance_uid": "1.2.3.1", "series_complete": "2"}}


def test_values_that_are_not_text_are_coerced(site: Site) -> None:
    site.series("1.2.3", StudyDate=20260301, NumFiles=7, SeriesDescription=["a", 2], ClassifyType="T1")
    site.run()
    (row,) = site.series_rows("1.2.3").values()
    assert (row["series_date"], row["series_num_files"]) == ("20260301", "7")
    assert row["series_description"] == "a\\2"
    assert json.loads(row["series_classify_types"]) == ["T1"]


def test_a_series_that_grows_is_updated_in_place(site: Site) -> None:
    site.series("1.2.3", "1.2.3.1", NumFiles="10")
    site.series("1.2.3", "1.2.3.2", NumFiles="20")
    site.run()
    before = site.series_rows("1.2.3")
    (instance,) = [number for number, row in before.items() if row["series_instance_uid"] == "1.2.3.1"]
    site.series("1.2.3", "1.2.3.1", NumFiles="11", SeriesDescription="longer")
    site.run()
    before[instance] |= {"series_num_files": "11", "series_description": "longer"}
    assert site.series_rows("1.2.3") == before


def test_a_value_that_has_become_blank_is_erased(site: Site) -> None:
    site.series("1.2.3", SeriesDescription="localizer", StudyDescription="Knee")
    site.run()
    site.series("1.2.3", SeriesDescription="", StudyDescription="")
    site.run()
    assert "series_description" not in site.series_rows("1.2.3")[1]
    assert "study_description" not in site.study_row("1.2.3")


def test_a_summary_that_is_still_changing_waits(site: Site) -> None:
    site.series("1.2.3", age=-30)
    site.run()
    assert "1.2.3" not in site.incoming.records
    site.clock.advance(60)
    site.run()
    assert list(site.series_rows("1.2.3")) == [1]


def test_a_late_series_takes_the_next_instance_counted_over_redcap(site: Site) -> None:
    site.series("1.2.3", "1.2.3.1")
    site.run()
    # Written by the scripts of before, for a series that is no longer on disk.
    old = {"study_instance_uid": "1.2.3", "redcap_repeat_instrument": "series", "redcap_repeat_instance": "4"}
    site.incoming.put([{**old, "series_instance_uid": "1.2.3.99"}])
    site.series("1.2.3", "1.2.3.2")
    site.run()
    rows = site.series_rows("1.2.3")
    assert {number: row["series_instance_uid"] for number, row in rows.items()} == {
        1: "1.2.3.1",
        4: "1.2.3.99",
        5: "1.2.3.2",
    }


def test_a_series_that_stands_in_redcap_already_keeps_its_instance(site: Site) -> None:
    old = {"study_instance_uid": "1.2.3", "redcap_repeat_instrument": "series", "redcap_repeat_instance": "6"}
    site.incoming.put([{**old, "series_instance_uid": "1.2.3.1", "series_num_files": "3"}])
    site.series("1.2.3", "1.2.3.1", NumFiles="9")
    site.run()
    assert {number: row["series_num_files"] for number, row in site.series_rows("1.2.3").items()} == {6: "9"}


def test_a_study_that_vanishes_changes_nothing_in_redcap(site: Site) -> None:
    site.series("1.2.3")
    site.run()
    before = site.incoming.rows()
    site.vanish("1.2.3")
    site.run()
    assert site.incoming.rows() == before
    assert site.events("StudyVanished") == [{"StudyInstanceUID": "1.2.3"}]


@pytest.mark.parametrize("name", ['O"Brien^Pat', "Two\nLines", "Tab\tbed", "Back\\slash", "'; drop table x; --"])
def test_a_name_in_any_spelling_is_hashed_as_written(site: Site, name: str) -> None:
    site.series("1.2.3", PatientName=name)
    site.run()
    assert site.study_row("1.2.3")["study_patient_name"] == hashlib.sha256(name.encode()).hexdigest()
