"""Which entries of the coupling list name a study."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.routing.coupling import CouplingList, Entry, entries_from_rows, entry_from_row


def entry(record_id: str = "1", **fields: str) -> Entry:
    row = {
        "record_id": record_id,
        "cl_accessionnumber": "",
        "cl_studyinstanceuid": "",
        "cl_projectname": "HEART",
        "cl_subjectid": "H1",
        "cl_eventname": "",
        "cl_date": "",
    }
    return entry_from_row(row | {f"cl_{name}": value for name, value in fields.items()})


def records(entries: list[Entry]) -> list[str]:
    return [found.record_id for found in entries]


def test_blanks_around_every_value_do_not_count() -> None:
    found = entry(
        accessionnumber=" A1\t", studyinstanceuid=" 1.2 ", projectname=" P ", subjectid=" S\n", eventname=" e "
    )
    assert (found.accession, found.study, found.project, found.subject_id, found.event_name) == (
        "A1",
        "1.2",
        "P",
        "S",
        "e",
    )


def test_fields_that_an_older_dictionary_lacks_are_blank() -> None:
    found = entry_from_row({"record_id": "1", "cl_accessionnumber": "A1", "cl_projectname": "P", "cl_subjectid": "S"})
    assert (found.study, found.event_name, found.date, found.problems) == ("", "", "", ())


@pytest.mark.parametrize("field", ["projectname", "subjectid"])
def test_an_entry_without_project_or_subject_is_a_problem_and_names_nothing(field: str) -> None:
    found = entry(accessionnumber="A1", **{field: "  "})
    assert found.problems == (f"cl_{field} is blank.",)
    assert CouplingList([found]).naming("1.2", ["A1"]) == []


def test_an_entry_that_names_no_study_is_a_problem() -> None:
    assert entry(accessionnumber=" ", studyinstanceuid="").problems == (
        "cl_accessionnumber and cl_studyinstanceuid are both blank.",
    )


def test_all_problems_of_an_entry_are_told() -> None:
    assert len(entry(projectname="", subjectid="").problems) == 3


def test_an_entry_is_found_by_accession_number() -> None:
    assert records(CouplingList([entry(accessionnumber="A1")]).naming("1.2", ["A1"])) == ["1"]


def test_an_entry_is_found_by_study_uid() -> None:
    assert records(CouplingList([entry(studyinstanceuid="1.2")]).naming("1.2", [])) == ["1"]


def test_a_blank_accession_number_names_nothing() -> None:
    """Half of what research scanners send has none."""
    assert CouplingList([entry(studyinstanceuid="1.9")]).naming("1.2", [""]) == []


def test_a_study_uid_is_not_taken_for_an_accession_number() -> None:
    listed = CouplingList([entry("1", accessionnumber="1.2"), entry("2", studyinstanceuid="A1")])
    assert listed.naming("1.2", ["A1"]) == []


def test_an_entry_that_names_a_study_in_both_ways_is_found_once() -> None:
    listed = CouplingList([entry(accessionnumber="A1", studyinstanceuid="1.2")])
    assert records(listed.naming("1.2", ["A1"])) == ["1"]


def test_a_study_with_several_accession_numbers_is_found_by_each() -> None:
    listed = CouplingList([entry("1", accessionnumber="A1"), entry("2", accessionnumber="A2")])
    assert records(listed.naming("1.2", {"A2", "A1"})) == ["1", "2"]


def test_one_study_may_be_named_by_several_entries() -> None:
    listed = CouplingList([entry("2", accessionnumber="A1"), entry("1", accessionnumber="A1", projectname="BRAIN")])
    assert [found.project for found in listed.naming("1.2", ["A1"])] == ["BRAIN", "HEART"]


def test_accession_numbers_are_compared_whole() -> None:
    assert CouplingList([entry(accessionnumber="A1")]).naming("1.2", ["A10", "a1", "A"]) == []


def test_entries_with_problems_can_be_looked_up_though_they_name_nothing() -> None:
    broken = entry(accessionnumber="A1", subjectid="")
    listed = CouplingList([broken])
    assert listed.get("1") == broken
    assert listed.get("2") is None


VALUES = st.sampled_from(["", " ", "A1", " A1 ", "A2", "1.2"])


@given(
    made=st.lists(st.tuples(VALUES, VALUES, st.sampled_from(["", "P"]), st.sampled_from(["", "S"])), max_size=12),
    accessions=st.sets(st.sampled_from(["", "A1", "A2"])),
    shuffled=st.randoms(use_true_random=False),
)
def test_exactly_the_usable_entries_that_name_a_study_are_found_whatever_their_order(
    made: list[tuple[str, str, str, str]], accessions: set[str], shuffled: Random
) -> None:
    entries = [
        entry(str(number), accessionnumber=accession, studyinstanceuid=study, projectname=project, subjectid=subject)
        for number, (accession, study, project, subject) in enumerate(made)
    ]
    expected = sorted(
        str(number)
        for number, (accession, study, project, subject) in enumerate(made)
        if project and subject and (accession.strip() in accessions - {""} or study.strip() == "1.2")
    )
    shuffled.shuffle(entries)
    assert records(CouplingList(entries).naming("1.2", accessions)) == expected


def test_an_entry_that_stands_there_several_times_says_nothing() -> None:
    """The last of its rows used to win."""
    row = {"record_id": "1", "cl_accessionnumber": "A1", "cl_projectname": "HEART", "cl_subjectid": "H1"}
    rows = [row, row | {"record_id": "2"}, row | {"cl_subjectid": "H2"}, row | {"record_id": "3"}, row]
    found = entries_from_rows(rows)
    assert sorted(records(found)) == ["1", "2", "3"]
    assert {one.record_id: one.problems for one in found if one.problems} == {
        "1": ("The record id appears more than once in the export.",)
    }
    assert records(CouplingList(found).naming("1.2", {"A1"})) == ["2", "3"]
    assert entries_from_rows(list(reversed(rows)))[-1] == found[-1]
