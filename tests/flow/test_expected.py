"""Asked for and not here: an entry that has met no study for three days is shown, and once more when it is removed."""

from typing import Any

import pytest
from sqlalchemy import text

from processors.explain.near_miss import accession_nearness, one_error
from tests.flow.harness import HEART, Asked, Site

DAY = 24 * 60 * 60
KIND = "expected, not arrived"


def expected(site: Site) -> list[dict[str, Any]]:
    """What audit.expected shows as open."""
    columns = "record_id, project, study, near"
    rows = site.query(f"select {columns} from audit.expected where open order by position")
    return [dict(zip(columns.split(", "), row, strict=True)) for row in rows]


def ends(site: Site) -> list[str | None]:
    return [row[0] for row in site.query("select ended_how from audit.expected order by position")]


@pytest.fixture
def waiting(site: Site) -> Site:
    """An entry has asked for accession number A-1047 for three days, and no study has it."""
    site.entry("7", accession="A-1047")
    site.run()
    site.clock.advance(3 * DAY)
    return site


def test_an_entry_is_shown_when_it_has_met_no_study_for_three_days(site: Site) -> None:
    site.entry("7", accession="A-1047")
    site.run()
    site.clock.advance(3 * DAY - 120)
    assert site.run().attention == {}

    site.clock.advance(120)

    assert site.run().attention == {KIND: 1}
    assert expected(site) == [{"record_id": "7", "project": HEART, "study": None, "near": {}}]
    site.run()
    assert len(site.events("ExpectedStudyMissing")) == 1
    site.assert_sound()


def test_an_entry_whose_study_was_there_and_has_gone_is_not_shown(site: Site) -> None:
    site.series("1.1", AccessionNumber="A-1047")
    site.entry("7", accession="A-1047")
    site.run()
    site.vanish("1.1")
    site.clock.advance(4 * DAY)
    site.run()

    assert expected(site) == []


def test_an_entry_for_a_study_that_had_gone_before_is_shown_with_it(site: Site) -> None:
    site.series("1.1", AccessionNumber="A-1047")
    site.run()
    site.vanish("1.1")
    site.entry("7", accession="A-1047")
    site.entry("8", study="1.1")
    site.run()
    site.clock.advance(3 * DAY)
    site.run()

    assert [row["near"] for row in expected(site)] == [{"1.1": "its files have vanished"}] * 2


def test_an_entry_that_cannot_be_used_is_shown_as_that_alone(site: Site) -> None:
    site.entry("7", accession="A-1047", subject="")
    site.run()
    site.clock.advance(4 * DAY)

    assert site.run().attention == {"unusable coupling entry": 1}


@pytest.mark.parametrize(
    ("number", "why"),
    [
        ("a-1047", "differs by case only"),
        ("A -1047", "differs by blanks only"),
        ("A-1048", "differs by one character, or by two that are swapped"),
        ("A-147", "differs by one character, or by two that are swapped"),
        ("A-10477", "differs by one character, or by two that are swapped"),
        ("A-1074", "differs by one character, or by two that are swapped"),
        ("a-1048", "differs by one character, or by two that are swapped"),
    ],
)
def test_what_nearly_matches_is_named(waiting: Site, number: str, why: str) -> None:
    waiting.series("1.1", AccessionNumber=number)
    waiting.series("1.2", AccessionNumber="B-2211")
    waiting.run()

    assert [row["near"] for row in expected(waiting)] == [{"1.1": f"its accession number {why}"}]
    (details,) = waiting.query("select details from audit.attention where kind = :kind", kind=KIND)[0]
    assert details == f"Asked for since 2026-03-02; nearly matches: 1.1 (its accession number {why})."


@pytest.mark.parametrize("number", ["A-1058", "A-74", "B-1048", "", "A-1047-2"])
def test_what_differs_by_more_is_not_named(waiting: Site, number: str) -> None:
    waiting.series("1.1", AccessionNumber=number)
    waiting.run()

    assert [row["near"] for row in expected(waiting)] == [{}]


def test_a_study_uid_that_is_mistyped_is_named(site: Site) -> None:
    site.series("1.2.840.17")
    site.entry("7", study="1.2.840.11")
    site.run()
    site.clock.advance(3 * DAY)
    site.run()

    assert [row["near"] for row in expected(site)] == [{"1.2.840.17": "its UID differs by one character"}]


def test_a_study_of_the_patient_who_has_the_pseudonym_already_is_named(site: Site) -> None:
    site.series("1.1", PatientID="4711", AccessionNumber="B-1")
    site.entry("1", accession="B-1", subject="H-007")
    site.entry("7", accession="A-1047", subject="H-007")
    site.run()
    site.series("1.2", PatientID="4711", AccessionNumber="C-99")
    site.series("1.3", PatientID="4712", AccessionNumber="D-99")
    site.clock.advance(3 * DAY)
    site.run()

    assert [row["near"] for row in expected(site)] == [{"1.2": "is of the patient who has this pseudonym"}]


def test_what_nearly_matches_and_arrives_later_is_told_as_well(waiting: Site) -> None:
    waiting.run()
    waiting.series("1.1", AccessionNumber="A-1048")
    waiting.run()

    assert [list(row["near"]) for row in expected(waiting)] == [["1.1"]]
    assert ends(waiting) == ["told again", None]


def test_of_many_that_nearly_match_those_come_first_that_nobody_has_requested(waiting: Site) -> None:
    for digit in "12345":
        waiting.series(f"1.{digit}", AccessionNumber=f"A-104{digit}")
        waiting.entry(digit, accession=f"A-104{digit}", subject=f"H-{digit}")
    waiting.run()
    waiting.series("1.9", AccessionNumber="A-1049")
    waiting.run()

    ((near,),) = [(row["near"],) for row in expected(waiting)]
    assert "1.9" in near
    assert len(near) == 5


def test_it_is_over_when_the_study_arrives(waiting: Site) -> None:
    waiting.run()
    waiting.series("1.1", AccessionNumber="A-1047")

    assert waiting.run().attention == {}
    assert waiting.transfers("1.1") == {1: Asked(HEART, "H-001")}
    assert ends(waiting) == ["arrived"]
    waiting.assert_sound()


def test_it_is_over_when_the_entry_is_corrected_and_begins_anew(waiting: Site) -> None:
    waiting.run()
    waiting.entry("7", accession="A-2047")

    assert waiting.run().attention == {}
    assert ends(waiting) == ["entry changed"]
    waiting.clock.advance(3 * DAY)
    assert waiting.run().attention == {KIND: 1}


def test_another_date_of_the_entry_changes_nothing(waiting: Site) -> None:
    waiting.entry("7", accession="A-1047", date="2026-03-05 08:00")

    assert waiting.run().attention == {KIND: 1}


def test_it_is_shown_once_more_when_the_entry_is_removed_unmet_until_somebody_has_looked(waiting: Site) -> None:
    waiting.run()
    waiting.remove_entry("7")
    waiting.run()  # which doubts that it is gone
    waiting.run()

    assert waiting.attention() == {KIND: 1}
    (details,) = waiting.query("select details from audit.attention where kind = :kind", kind=KIND)[0]
    assert details == "Its entry was removed from the coupling list."
    # A study that comes now is too late for it.
    waiting.series("1.1", AccessionNumber="A-1047")
    waiting.run()
    assert waiting.attention() == {KIND: 1}
    assert ends(waiting) == ["entry removed", None]
    waiting.assert_sound()


def test_an_entry_that_is_removed_within_three_days_is_nobodys_business(site: Site) -> None:
    site.entry("7", accession="A-1047")
    site.run()
    site.remove_entry("7")
    site.run()
    site.clock.advance(4 * DAY)
    site.run()

    assert site.attention() == {}


def test_an_entry_missing_from_one_export_is_still_waited_for(waiting: Site) -> None:
    waiting.run()
    with waiting.left_out("coupling", "7"):
        waiting.run()
    waiting.run()

    assert waiting.events("ExpectedStudyNeverCame") == []
    assert waiting.attention() == {KIND: 1}


# One typing error


def test_one_error_is_another_character_one_more_one_less_or_two_swapped() -> None:
    made = one_error("12")

    assert {"13", "22", "1", "2", "123", "312", "132", "21"} <= made
    assert not {"12", "", "33", "1234", "1a"} & made


def test_letters_are_tried_where_there_are_letters() -> None:
    assert "a13" in one_error("a12")
    assert "b12" in one_error("a12")


def test_errors_of_what_nobody_types_are_not_looked_for() -> None:
    assert one_error("1" * 65) == set()


def test_what_is_equal_is_not_near() -> None:
    assert accession_nearness("A-1", "A-1") == ""


def test_what_was_met_long_ago_is_not_looked_for_in_each_run(site: Site) -> None:
    """All studies used to be gone through for each entry, every minute."""
    for number in range(12):
        site.entry(str(number), accession=f"ACC-{number}", subject=f"H-{number}")
        site.series(f"1.2.{number}", AccessionNumber=f"ACC-{number}", PatientID=f"PID-{number}")
    site.run()
    with site._database.begin() as connection:
        name = connection.execute(text("select current_database()")).scalar_one()
        connection.execute(text(f"alter database {name} set enable_seqscan = off"))
    site._database.engine.dispose()
    site.clock.advance(4 * DAY)
    assert looked_up(site) >= 12
    assert looked_up(site) == 0


def looked_up(site: Site) -> int:
    """How often a run looks for an accession number."""
    site.query("select pg_stat_reset()")
    site.run()
    site.query("select pg_sleep(0.1)")
    times = site.query("select idx_scan from pg_stat_user_indexes where indexrelname = 'series_accession'")
    return int(times[0][0])
