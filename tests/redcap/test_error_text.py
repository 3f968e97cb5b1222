import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.redcap import RowProblem
from processors.redcap.error_text import row_problems, unknown_fields

WRONG = "The value you provided could not be validated because it does not follow the expected format."
LOCKED = "This record has been locked at the record level. No value within this record can be modified."


def test_reads_all_problems_without_their_values() -> None:
    words = f'"1.2","study_date","19 May","{WRONG}"\n"1.3","study_instance_uid","1.3","{LOCKED}"'

    assert row_problems(words, {"1.2", "1.3"}, ()) == (
        RowProblem(record="1.2", field="study_date", message=WRONG),
        RowProblem(record="1.3", field="study_instance_uid", message=LOCKED, locked=True),
    )


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain",
        'two ""doubled"" quotes',
        'single " quote',
        "two\nlines",
        'a", "b',
        "comma, and, comma",
        '"',
    ],
)
def test_values_of_every_shape_are_dropped(value: str) -> None:
    words = f'"1","f_1","{value}","{WRONG}"\n"2","f_2","x","{WRONG}"'

    assert row_problems(words, {"1", "2"}, ()) == (
        RowProblem(record="1", field="f_1", message=WRONG),
        RowProblem(record="2", field="f_2", message=WRONG),
    )


def test_a_line_that_is_no_problem_of_a_row_names_none_and_loses_its_quoted_parts() -> None:
    assert row_problems('The value "DOE^JANE" is too long.', {"1"}, ()) == (
        RowProblem(record="", field="", message="The value is too long."),
    )


def test_a_record_that_was_not_sent_is_not_believed() -> None:
    (problem,) = row_problems(f'"DOE^JANE","f","x","{WRONG}"', {"1"}, ())

    assert problem == RowProblem(record="", field="", message=WRONG)


def test_a_line_without_a_message_does_not_give_the_value_in_its_place() -> None:
    (problem,) = row_problems('"1","f","DOE^JANE"', {"1"}, ())

    assert "DOE" not in problem.message


def test_tags_in_a_message_are_stripped_and_it_becomes_one_line() -> None:
    (problem,) = row_problems('"1","f","x","<b>Not</b>\n a &lt;number&gt;"', {"1"}, ())

    assert problem.message == "Not a <number>"


NAME = st.text("DOEJANÄ^", min_size=6, max_size=12)
SEPARATORS = st.text('",\n \\', max_size=4)


@given(name=NAME, left=SEPARATORS, right=SEPARATORS)
def test_no_value_is_left_whatever_quotes_and_lines_surround_it(name: str, left: str, right: str) -> None:
    """A value that REDCap's list of problems repeats is never in a message, doubled quotes or not."""
    value = f"{left}{name}{right}"
    for quoted in (value, value.replace('"', '""')):
        problems = row_problems(f'"1","f_1","{quoted}","{WRONG}"', {"1"}, {value})
        assert not any(name in f"{problem}" for problem in problems)


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("The following fields were not found in the project as real data fields: a, b_2", ("a", "b_2")),
        ("The following fields were not found in the project: a", ("a",)),
        ("""The following values in the parameter "fields" are not valid: 'a', 'b'""", ("a", "b")),
        ("The data is not in the specified format.", ()),
        ('"1","f","The following fields were not found in the project: a","No"', ()),
    ],
)
def test_reads_unknown_fields(words: str, fields: tuple[str, ...]) -> None:
    assert unknown_fields(words) == fields
