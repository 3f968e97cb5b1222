"""Whatever stands in a field of one item of an input: it is named without what it holds, and all others go through."""

import os
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from processors.source import summary
from tests.autoid.sites import AutoidSite
from tests.flow.harness import HEART, Asked

MARK = "Hostile"
HOSTILE: dict[str, Any] = {
    "2,800 characters": MARK * 400,
    "9,000 characters of four bytes": MARK + "\U0001f9e0" * 9_000,
    "65,536 characters": MARK + "x" * 65_529,
    "NUL": f"{MARK}\x00\x00end",
    "blanks that nobody sees": f"\u200b{MARK}\u00a0",
    "a year far away": f"{MARK} 9999-99-99 25:61",
    "a formula": f"={MARK}()",
    "a quote and a break": f'{MARK}","x"\r\n"',
}
ODD: dict[str, Any] = {
    "a huge number": 10**18,
    "a float": 1e300,
    "nothing": None,
    "truth": True,
    "nesting": [[[["a"] * 50] * 20]],
    "an object": {"a": {"b": [1, None]}},
}
IN_REDCAP = HOSTILE | {"half a character": f"{MARK}\ud800", "digits without end": "9" * 2_000}
LISTS = {
    "routing": "record_id routing_incoming_aetitle routing_sending_aetitle routing_allowed_patientid "
    "routing_allowed_patientname routing_event_name routing_dest_project routing_active",
    "coupling": "record_id cl_accessionnumber cl_studyinstanceuid cl_projectname cl_subjectid cl_eventname cl_date",
    "projects": "record_id project_name project_patient_naming project_autoid_aetitle project_use_autoid",
    "autoid": "record_id autoid_project_name autoid_hash autoid_value autoid_method",
    "incoming": "transfer_project_name transfer_name transfer_event_name transfer_requested_date transfer_date "
    "transfer_error_message transfer_mapped_uid",
}
USABLE: dict[str, dict[str, str]] = {
    "routing": {
        "routing_active": "1",
        "routing_dest_project": "1",
        "routing_incoming_aetitle": "NOWHERE",
        "routing_allowed_patientid": "NOBODY",
    },
    "coupling": {"cl_accessionnumber": "ACC-9", "cl_projectname": HEART, "cl_subjectid": "H-9"},
    "projects": {
        "project_name": "Other",
        "project_patient_naming": "X-[0-9]{4}",
        "project_autoid_aetitle": "OTHER",
        "project_use_autoid": "1",
    },
    "autoid": {"autoid_project_name": "Other", "autoid_hash": "abc", "autoid_value": "X-0001", "autoid_method": "1"},
    "incoming": {"transfer_project_name": HEART, "transfer_name": "H-7", "transfer_requested_date": "2026-03-01 07:30"},
}


def ask_in_three_ways(site: AutoidSite) -> None:
    """Three studies are to go out: by rule, by coupling and under a generated ID."""
    site.project(pattern="(H-[0-9]{4}|H-001|PID-1)")
    site.rule(patient_id="PID-1$")
    site.entry(accession="ACC-1")
    site.series("1.2.1")
    site.series("1.2.2", PatientID="X", AccessionNumber="ACC-1")
    site.study("1.2.3", "PID-3")


@pytest.fixture
def busy(site: AutoidSite) -> Iterator[AutoidSite]:
    """At which three studies are to go out."""
    ask_in_three_ways(site)
    yield site
    site.assert_sound()


def assert_all_others_went_out(site: AutoidSite) -> None:
    assert site.transfers("1.2.1") == {1: Asked(HEART, "PID-1")}
    assert site.transfers("1.2.2") == {1: Asked(HEART, "H-001")}
    (given,) = site.transfers("1.2.3").values()
    assert given.name.startswith("H-")
    assert [len(site.series_rows(study)) for study in ("1.2.1", "1.2.2", "1.2.3")] == [1, 1, 1]


def assert_told_without_content(site: AutoidSite, report: Any) -> None:
    told = [str(row) for row in site.query("select subject, details, advice from audit.attention")]
    assert [words for words in (*told, str(report.as_data())) if MARK in words and len(words) > 1_000] == []


FIELDS = (*summary.KEPT, "PatientID", "PatientName", "ClassifyType", "NumFiles", "SequenceName")
CONNECTION = ("AETitleCaller", "AETitleCalled", "CallerIP")


def test_any_value_in_any_field_of_a_summary(busy: AutoidSite) -> None:
    """Each study has one hostile field: it arrives, or is rejected with a reason that names the field."""
    planted = []
    values = HOSTILE | ODD | {"9 MB": MARK * 1_300_000}
    for number, (field, name) in enumerate((field, name) for field in (*FIELDS, *CONNECTION) for name in values):
        if name == "9 MB" and field not in ("StudyDescription", "PatientID", "AETitleCalled", "ClassifyType"):
            continue
        study = f"9.{number}"
        value = values[name]
        keys = {field: value} if field in FIELDS else {"IncomingConnection": {field: value}}
        busy.receiver.summary(study, f"{study}.1", **keys)
        planted.append(study)
    report = busy.run()
    assert_all_others_went_out(busy)
    rejected = dict(busy.query("select split_part(path, '/', 1), reason from gateway.rejected_file"))
    arrived = {row[0] for row in busy.query("select study from gateway.study")}
    assert set(planted) == (arrived | rejected.keys()) - {"1.2.1", "1.2.2", "1.2.3"}
    assert {reason.split()[0] for reason in rejected.values()} <= {"PatientID", "PatientName", "AccessionNumber"}
    assert arrived - {"1.2.1", "1.2.2", "1.2.3"} <= busy.incoming.records.keys()
    assert_told_without_content(busy, report)


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"StudyInstanceUID": "9.1", "SeriesInstanceUID": "9.1.1", "PatientID": "X"}',
        b'{"StudyInstanceUID": "9.1", "SeriesInstanceUID": "9.1.1", "PatientID": "X", "Unread": [NaN, -Infinity]}',
    ],
    ids=["a byte order mark", "NaN in a key that nobody reads"],
)
def test_what_todays_scripts_read_is_read(busy: AutoidSite, content: bytes) -> None:
    """Such files used to be rejected."""
    busy.receiver.file("9.1/9.1.1.json", content)
    busy.run()
    assert_all_others_went_out(busy)
    assert len(busy.series_rows("9.1")) == 1


def test_a_file_of_the_year_2400(busy: AutoidSite) -> None:
    """The time is larger than PostgreSQL's numbers: it used to end every run."""
    place = busy.receiver.summary("9.1", "9.1.1", NumFiles="1")
    far = 13_569_465_600
    os.utime(place, (far, far))
    busy.run()
    busy.run()  # it has not changed since
    assert_all_others_went_out(busy)
    place.write_bytes(orjson.dumps(orjson.loads(place.read_bytes()) | {"NumFiles": "2"}))
    os.utime(place, (far + 60, far + 60))
    os.utime(place.parent)
    busy.run()
    busy.run()
    assert busy.series_rows("9.1")[1]["series_num_files"] == "2"


@pytest.mark.parametrize("project", LISTS)
def test_any_value_in_any_field_of_a_list_in_redcap(busy: AutoidSite, project: str) -> None:
    """Each record has one hostile field; a second one says the same, and contradicts it where it can."""
    redcap = busy.simulator.projects[project]
    number = 50
    for field in LISTS[project].split():
        for value in IN_REDCAP.values():
            for twin in (1, 2):
                number += 1
                record = (
                    f"{value}{twin}"
                    if field == "record_id"
                    else f"8.{number}"
                    if project == "incoming"
                    else str(number)
                )
                row = USABLE[project] | ({} if field == "record_id" else {field: value})
                if project == "autoid" and field != "autoid_value":
                    row["autoid_value"] = f"X-{twin}"
                stored = redcap.record(record)
                if project == "incoming":
                    stored.instances.setdefault("transfers", {})[1] = row
                else:
                    stored.base.update(row)
    report = busy.run()
    assert_all_others_went_out(busy)
    busy.run()
    assert_told_without_content(busy, report)


def test_any_value_in_a_persons_request_for_a_study_of_ours(busy: AutoidSite) -> None:
    busy.run()
    instance = 10
    stored = busy.incoming.record("1.2.1").instances["transfers"]
    for field in LISTS["incoming"].split():
        for value in IN_REDCAP.values():
            instance += 1
            stored[instance] = USABLE["incoming"] | {"transfer_project_name": f"Other {instance}", field: value}
    busy.incoming.note("record_edit", "Update record", "", "1.2.1", "person")
    busy.series("1.2.4")
    busy.run()
    assert busy.transfers("1.2.4") == {1: Asked(HEART, "PID-1")}
    assert len(busy.events("TransferObserved")) >= 60
    head = busy.head()
    busy.run()
    assert busy.head() == head


def test_a_study_of_thousands_of_series(busy: AutoidSite) -> None:
    for number in range(2_000):
        busy.receiver.summary("9.1", f"9.1.{number}", PatientID="X")
    busy.run()
    assert_all_others_went_out(busy)
    assert len(busy.series_rows("9.1")) == 2_000
