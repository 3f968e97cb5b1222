from __future__ import annotations

import pytest

from processors.demo.simulator import Dictionary, Field, standard_projects
from processors.demo.simulator.dictionary import box_name, parse_choices


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("0, Hispanic or Latino | 1, NOT Hispanic", (("0", "Hispanic or Latino"), ("1", "NOT Hispanic"))),
        ("1,First|2 ,Second", (("1", "First"), ("2", "Second"))),
        ("a1, Heart, Lung and more |  b,  Other ", (("a1", "Heart, Lung and more"), ("b", "Other"))),
        ("7", (("7", "7"),)),
        ("", ()),
    ],
)
def test_choices_are_parted_by_bars_and_the_first_comma(text: str, choices: tuple[tuple[str, str], ...]) -> None:
    assert parse_choices(text) == choices


def test_boxes_are_named_by_their_codes() -> None:
    assert [box_name("f", code) for code in ("1", "A", "-9")] == ["f___1", "f___a", "f____9"]


def test_labels_with_blanks_and_commas_survive_set_choices() -> None:
    dictionary = standard_projects()["routing"].dictionary
    changed = dictionary.with_choices("routing_dest_project", [("1", "A, B C"), ("x", "D")])
    assert changed.by_name["routing_dest_project"].choices == (("1", "A, B C"), ("x", "D"))
    assert changed.metadata()[2]["select_choices_or_calculations"] == "1, A, B C | x, D"


def test_a_dictionary_survives_its_metadata() -> None:
    for project in standard_projects().values():
        assert Dictionary.from_metadata(project.dictionary.metadata()).fields == project.dictionary.fields


def test_a_dictionary_without_fields_is_refused() -> None:
    with pytest.raises(ValueError, match="found no fields"):
        Dictionary([])


def test_the_record_id_cannot_be_removed() -> None:
    with pytest.raises(ValueError, match="other than the record id"):
        standard_projects()["coupling"].remove_field("record_id")


def test_descriptive_fields_have_no_column() -> None:
    fields = [
        Field(field_name="id", form_name="form"),
        Field(field_name="note", form_name="form", field_type="descriptive"),
    ]
    assert list(Dictionary(fields).columns) == ["id", "form_complete"]


@pytest.mark.parametrize(
    ("project", "field", "validation"),
    [
        ("incoming", "study_arrival_date", "datetime_ymd"),
        ("incoming", "transfer_requested_date", "datetime_ymd"),
        ("incoming", "transfer_date", "datetime_ymd"),
        ("incoming", "series_num_files", "integer"),
        ("coupling", "cl_date", "datetime_ymd"),
    ],
)
def test_the_standard_dictionaries_validate_dates_and_numbers(project: str, field: str, validation: str) -> None:
    assert standard_projects()[project].dictionary.by_name[field].validation == validation


@pytest.mark.parametrize(
    ("project", "field"),
    [("routing", "routing_active"), ("projects", "project_use_autoid"), ("projects", "project_active")],
)
def test_the_standard_dictionaries_have_switches(project: str, field: str) -> None:
    assert standard_projects()[project].dictionary.by_name[field].codes == {"0", "1"}
