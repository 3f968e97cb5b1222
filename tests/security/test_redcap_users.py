"""What those who edit rows in REDCap can do to a run by what they write there."""

import pytest

from processors.demo.simulator.replies import Reply, reply
from processors.redcap.transfers import transfer_row
from processors.routing import patterns
from processors.routing.patterns import PatternTimeout
from tests.flow.harness import HEART, Asked, Site
from tests.flow.test_poison import POISON, guard, run_twice
from tests.flow.test_unreadable import entries, spoil
from tests.routing.test_patterns import ENDLESS, reason


@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_pattern_that_would_not_end_runs_into_its_limit(pattern: str) -> None:
    with pytest.raises(PatternTimeout):
        patterns.match(pattern, "a" * 60 + "!", time_limit=0.01)


@pytest.mark.parametrize(
    "pattern",
    [
        "a{3000000000}",
        "(((a{1000}){1000}){1000}){1000}",
        "(?:(?:(?:[a-z]{99}){99}){99}){99}",
        "(?x)(a{9999}) # or so\n {9999}",
        "(a{999})(?#often){999}",
        "(?:ab){4000000000}",
    ],
)
def test_repeats_that_would_eat_all_memory_are_refused(pattern: str) -> None:
    """`regex` writes them out; one such rule used to end every run with the machine out of memory."""
    assert "repeats too much" in reason(pattern)


def test_an_entry_that_spoils_the_list_is_named_and_all_others_are_heeded(spoiled: Site) -> None:
    """It used to end every run."""
    entries(spoiled, 40)
    spoil(spoiled, "coupling", "17")
    spoiled.series("1.2.16", AccessionNumber="ACC-16", PatientID="PID-16")
    spoiled.series("1.2.17", AccessionNumber="ACC-17", PatientID="PID-17")
    report = spoiled.run()
    assert spoiled.transfers("1.2.16") == {1: Asked(HEART, "H-016")}
    assert spoiled.transfers("1.2.17") == {}
    assert report.attention == {"unreadable record": 1}
    (told,) = spoiled.events("RecordUnreadable")
    assert (told["redcap_project"], told["record_id"]) == ("coupling", "17")
    assert spoiled.run().calls < 12, "known, it is asked for by itself"
    spoil(spoiled, "coupling")
    assert spoiled.run().attention == {}
    assert spoiled.transfers("1.2.17") == {1: Asked(HEART, "H-017")}


FAILURES = {
    "500": reply("<html>Internal Server Error</html>", "html", 500),
    "a page": reply("<html>Something went wrong</html>", "html", 200),
    "a firewall": reply("<html>Request Rejected. Your support ID is: 4711</html>", "html", 403),
    "a reset": Reply(body=b"", status=0),
    "no JSON": reply('{"count": 1', "json", 200),
    "another count": reply('{"count": 77}', "json", 200),
}


@pytest.mark.parametrize("answer", FAILURES.values(), ids=FAILURES.keys())
def test_a_row_that_makes_redcap_fail_is_set_apart_and_all_others_go_through(guarded: Site, answer: Reply) -> None:
    """Of 60 studies, the 7 of the first batch used to get through, and the others never."""
    guarded.batch_rows = 20
    guarded.entry(accession="ACC-1")
    for number in range(30):
        guarded.series(f"1.2.{number:02}", SeriesDescription=POISON if number == 13 else "ax", AccessionNumber="ACC-1")
    guard(guarded, POISON, answer)
    run_twice(guarded)
    for number in range(30):
        assert guarded.transfers(f"1.2.{number:02}") == {1: Asked(HEART, "H-001")}
        assert len(guarded.series_rows(f"1.2.{number:02}")) == (number != 13)
    (told,) = guarded.events("RowRefused")
    assert (told["study"], told["kind"], told["key"]) == ("1.2.13", "series", "1.2.13.1")
    assert POISON not in told["message"]


@pytest.mark.parametrize("typed", ["Hansen^Ola", "12345678901", "01019012345", "2001-01-01 Hansen", "1.2 Hansen"])
@pytest.mark.parametrize("field", ["transfer_date", "transfer_requested_date", "transfer_mapped_uid", "transfer_error"])
def test_what_somebody_types_into_the_sender_s_fields_is_told_and_not_kept(field: str, typed: str) -> None:
    place = {"study_instance_uid": "1.2", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    read = transfer_row({**place, "transfer_project_name": HEART, "transfer_date": "2026-03-02 12:10", field: typed})
    assert typed not in repr(read)
    assert field == "transfer_requested_date" or "~no " in repr(read)
