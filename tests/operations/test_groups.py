"""What a person must look at, in groups: pure."""

import shlex

from processors.attention import Notice
from processors.operations.groups import grouped

ACKNOWLEDGE = "Look at it, then run: fiona-ledger acknowledge POSITION --reason TEXT"
PAIR = "routing rule 1 and routing rule 2 give different pseudonyms."


def notice(position: int | None, kind: str = "conflict", *, project: str = "Alpha", **more: str) -> Notice:
    about = {"study": f"1.2.{position}", "subject": "", "details": PAIR, "advice": "Correct the rules."} | more
    return Notice(kind, position, about["study"], project, about["subject"], about["details"], about["advice"])


def test_135_conflicts_of_one_pair_of_rules_are_one_group_of_135() -> None:
    other = notice(500, details="routing rule 3 and coupling entry 7 give different pseudonyms.")
    many, one = grouped([other, *(notice(position) for position in range(135))])
    assert (len(many.members), many.details, many.title) == (135, PAIR, "conflict, project Alpha")
    assert one.members == [other]


def test_other_projects_and_kinds_are_groups_of_their_own() -> None:
    listed = [notice(1), notice(2, project="Beta"), notice(3, "held study")]
    assert [(group.kind, group.project) for group in grouped(listed)] == [
        ("conflict", "Alpha"),
        ("conflict", "Beta"),
        ("held study", "Alpha"),
    ]


def test_details_that_tell_of_one_study_alone_part_nothing() -> None:
    (group,) = grouped([notice(1, "task", details="on one day"), notice(2, "task", details="on another")])
    assert group.details == ""
    assert list(group.examples(3)) == ["1.2.1  on one day", "1.2.2  on another"]


def test_a_record_id_is_told_with_what_it_is_of() -> None:
    """A line that said 4 and no more was a riddle."""
    rule, entry, path = (
        notice(1, kind, study="", subject="4", details="")
        for kind in ("unusable rule", "expected, not arrived", "rejected file")
    )
    told = [line for group in grouped([rule, entry, path]) for line in group.examples(1)]
    assert told == ["coupling entry 4", "4", "routing rule 4"]


def test_a_position_in_brackets_is_one_that_a_command_takes() -> None:
    (settled,) = grouped([notice(4711, "study changed", advice=ACKNOWLEDGE)])
    assert list(settled.examples(3)) == ["[4711]  1.2.4711"]
    (other,) = grouped([notice(4711)])
    assert list(other.examples(3)) == ["1.2.4711"]
    assert (other.positions, other.command("fiona-ledger")) == ([], "")


def test_the_command_that_settles_a_group_names_all_of_it() -> None:
    kind, heart = "pattern matched the start only", "Heart Study"
    details = "Of routing rule 3."
    few = [notice(position, kind, details=details, advice=ACKNOWLEDGE) for position in (3, 4)]
    many = [notice(position, kind, project=heart, details=details, advice=ACKNOWLEDGE) for position in range(5, 99)]
    of_heart, of_alpha = grouped([*few, *many])
    assert of_alpha.command("fiona-ledger --config x.toml") == "fiona-ledger --config x.toml acknowledge 3 4"
    options = ["--kind", kind, "--project", heart, "--rule", "3"]
    assert shlex.split(of_heart.command("fiona-ledger"))[1:] == ["acknowledge", *options]
    assert of_alpha.advice == "Look at it, then run:"


def test_what_no_option_names_alone_is_named_by_all_its_positions() -> None:
    (group,) = grouped([notice(position, "study changed", advice=ACKNOWLEDGE) for position in range(100, 130)])
    assert group.command("fiona-ledger") == f"fiona-ledger acknowledge {' '.join(map(str, range(100, 130)))}"


def test_a_command_about_a_study_names_the_first_one() -> None:
    advice = "If the PatientIDs are one person's: fiona-ledger same-patient STUDY --project NAME --reason TEXT"
    (group,) = grouped([notice(1, project="Heart Study", advice=advice)])
    assert group.command("fiona-ledger") == "fiona-ledger same-patient 1.2.1 --project 'Heart Study'"


def test_words_from_elsewhere_are_one_word_to_a_shell() -> None:
    advice = "To give it up: fiona-ledger retract STUDY --project NAME --reason TEXT"
    (group,) = grouped([notice(1, project="$(reboot); x", advice=advice)])
    assert shlex.split(group.command("fiona-ledger")) == [
        "fiona-ledger",
        "retract",
        "1.2.1",
        "--project",
        "$(reboot); x",
    ]
