"""AutoID tables that earlier systems filled are honoured; where they contradict themselves, a person decides."""

import time

import pytest

from processors.demo.simulator import Fault
from processors.errors import ServiceError
from tests.autoid.sites import CONTRADICTED, AutoidSite, Given, key_of
from tests.flow.harness import BRAIN, HEART


def fill(site: AutoidSite, count: int) -> None:
    """So many patients of an earlier system, in record ids from 1."""
    site.autoid.put(
        [
            {
                "record_id": str(number),
                "autoid_project_name": HEART,
                "autoid_hash": key_of(f"OLD-{number}"),
                "autoid_value": f"H-{number:04}",
                "autoid_method": "1",
            }
            for number in range(1, count + 1)
        ]
    )


def test_five_thousand_entries_are_adopted_once_and_honoured(site: AutoidSite) -> None:
    fill(site, 5000)
    site.study("1.2.1", "OLD-4711")
    for number in range(20):
        site.study(f"1.3.{number}", f"NEW-{number}")
    begun = time.monotonic()
    site.run()
    first = time.monotonic() - begun
    site.study("1.2.2", "OLD-1")
    begun = time.monotonic()
    site.run()
    second = time.monotonic() - begun
    assert site.requested("1.2.1") == "H-4711"
    assert site.requested("1.2.2") == "H-0001"
    drawn = {site.requested(f"1.3.{number}") for number in range(20)}
    assert len(drawn) == 20
    assert drawn.isdisjoint(f"H-{number:04}" for number in range(1, 5001))
    assert (site.count("IdAdopted"), site.count("IdGenerated"), len(site.autoid_rows())) == (5000, 20, 5020)
    # Seconds on one busy core; quadratic work on 5,000 entries would take minutes.
    assert (first < 30, second < 15) == (True, True)


def test_all_entries_are_read_in_one_call(site: AutoidSite) -> None:
    fill(site, 600)
    site.study("1.2.1", "OLD-1")
    site.run()
    assert len([call for call in site.calls if call.project == "autoid" and call.content == "record"]) == 1


def test_the_hash_may_be_written_in_capitals_and_with_blanks(site: AutoidSite) -> None:
    site.give("1", "PID-1", "H-0042")
    site.autoid.record("1").base.update(autoid_hash=f" {key_of('PID-1').upper()} ", autoid_value=" H-0042 ")
    site.study("1.2.1")
    site.run()
    assert site.requested("1.2.1") == "H-0042"


def test_an_old_id_need_not_match_the_pattern(site: AutoidSite) -> None:
    site.give("1", "PID-1", "legacy/007")
    site.study("1.2.1")
    site.run()
    assert site.requested("1.2.1") == "legacy/007"


def test_an_entry_of_another_project_says_nothing(site: AutoidSite) -> None:
    site.project(pattern="H-1")
    site.give("1", "PID-2", "H-1", project=BRAIN)
    site.study("1.2.1")
    site.run()
    assert site.requested("1.2.1") == "H-1"


def test_an_entry_that_is_made_between_two_runs_counts(site: AutoidSite) -> None:
    site.run()
    site.give("1", "PID-1", "H-0042")
    site.study("1.2.1")
    site.run()
    assert site.requested("1.2.1") == "H-0042"
    assert site.count("IdGenerated") == 0


@pytest.mark.parametrize("blank", ["autoid_project_name", "autoid_hash", "autoid_value"])
def test_an_incomplete_entry_is_nobodys(site: AutoidSite, blank: str) -> None:
    site.give("1", "PID-1", "H-0042")
    del site.autoid.record("1").base[blank]
    site.study("1.2.1")
    site.run()
    assert site.count("IdAdopted") == 0
    assert site.requested("1.2.1") == site.autoid_rows()["2"].value
    assert site.attention() == {}


def test_the_value_of_an_entry_without_a_hash_is_never_drawn(site: AutoidSite) -> None:
    """Somebody has it: the contract wants no ID twice that stands in AutoID."""
    site.project(pattern="H-[1-3]")
    site.give("1", "", "H-1")
    site.give("2", "", "H-2")
    site.study("1.2.1")
    site.run()
    assert site.requested("1.2.1") == "H-3"


def test_one_entry_written_twice_is_no_contradiction(site: AutoidSite) -> None:
    site.give("1", "PID-1", "H-0042")
    site.give("2", "PID-1", "H-0042")
    site.study("1.2.1")
    site.run()
    assert (site.requested("1.2.1"), site.attention(), site.count("IdAdopted")) == ("H-0042", {}, 1)


# -- record ids -----------------------------------------------------------------------------------------


def test_new_entries_go_behind_the_highest_record_id(site: AutoidSite) -> None:
    site.give("17", "OLD", "H-0001")
    for number in range(3):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.run()
    assert set(site.autoid_rows()) == {"17", "18", "19", "20"}


def test_record_ids_that_are_no_numbers_are_left_alone(site: AutoidSite) -> None:
    site.give("A-1", "OLD-1", "H-0001")
    site.give("7", "OLD-2", "H-0002")
    site.give("x", "OLD-3", "H-0003")
    site.study("1.2.1")
    site.study("1.2.2", "OLD-3")
    site.run()
    assert set(site.autoid_rows()) == {"A-1", "7", "x", "8"}
    assert site.autoid_rows()["8"] == Given(HEART, key_of("PID-1"), site.requested("1.2.1"))
    assert site.requested("1.2.2") == "H-0003"


def test_the_next_record_id_is_asked_for_once_a_batch(site: AutoidSite) -> None:
    for number in range(40):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.run()
    asked = [call for call in site.calls if (call.project, call.content) == ("autoid", "generateNextRecordName")]
    assert len(asked) == 1
    assert len([call for call in site.calls if (call.project, call.action) == ("autoid", "import")]) == 1
    assert set(site.autoid_rows()) == {str(number) for number in range(1, 41)}


def test_an_incomplete_entry_is_not_written_over(site: AutoidSite) -> None:
    site.give("5", "", "H-0042")
    site.study("1.2.1")
    site.run()
    assert site.autoid_rows()["5"] == Given(HEART, "", "H-0042")
    assert set(site.autoid_rows()) == {"5", "6"}


# -- contradictions ---------------------------------------------------------------------------------------


def two_ids_for_one(site: AutoidSite) -> None:
    site.give("1", "PID-1", "H-0001")
    site.give("2", "PID-1", "H-0002")


def one_id_for_two(site: AutoidSite) -> None:
    site.give("1", "PID-1", "H-0001")
    site.give("2", "PID-2", "H-0001")


def test_a_patient_with_two_ids_is_held_and_others_go_on(site: AutoidSite) -> None:
    two_ids_for_one(site)
    site.study("1.2.1", "PID-1")
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.held() == {"1.2.1": CONTRADICTED}
    assert site.attention() == {"held study": 1, "contradiction in AutoID": 2}
    assert (site.transfers("1.2.1"), site.requested("1.2.2")) == ({}, site.id_of("PID-2"))


def test_two_patients_with_one_id_are_both_held_and_others_go_on(site: AutoidSite) -> None:
    one_id_for_two(site)
    for number in (1, 2, 3):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.run()
    assert site.held() == {"1.2.1": CONTRADICTED, "1.2.2": CONTRADICTED}
    assert site.transfers("1.2.1") == site.transfers("1.2.2") == {}
    assert site.requested("1.2.3") == site.id_of("PID-3")


@pytest.mark.parametrize("wrong", ["1", "2"])
def test_whichever_of_two_ids_is_removed_the_other_is_the_patients(site: AutoidSite, wrong: str) -> None:
    """The older entry may as well be the mistake: nothing was decided before a person had looked."""
    two_ids_for_one(site)
    site.study("1.2.1", "PID-1")
    site.run()
    site.autoid.delete(wrong)
    site.run_after_a_while()
    assert site.requested("1.2.1") == {"1": "H-0002", "2": "H-0001"}[wrong]
    assert site.attention() == {}
    site.assert_sound()


@pytest.mark.parametrize(("wrong", "patient"), [("1", "PID-1"), ("2", "PID-2")])
def test_whoever_keeps_a_shared_id_the_other_gets_a_new_one(site: AutoidSite, wrong: str, patient: str) -> None:
    one_id_for_two(site)
    site.study("1.2.1", "PID-1")
    site.study("1.2.2", "PID-2")
    site.run()
    site.autoid.delete(wrong)
    site.run_after_a_while()
    other = {"PID-1": "PID-2", "PID-2": "PID-1"}[patient]
    assert site.id_of(other) == "H-0001"
    assert site.id_of(patient) != "H-0001"
    assert site.requested("1.2.1") == site.id_of("PID-1")
    assert site.requested("1.2.2") == site.id_of("PID-2")
    assert site.attention() == {}
    site.assert_no_id_twice()


@pytest.mark.parametrize(("known", "wrong"), [(False, "1"), (False, "2"), (True, "2")])
def test_ids_that_differ_by_case_only_contradict_each_other_until_one_is_removed(
    site: AutoidSite, wrong: str, *, known: bool
) -> None:
    """Both patients were held for ever, as each had been given what people take for the other's."""
    given = {"1": ("PID-1", "H-0001"), "2": ("PID-2", "h-0001")}
    site.give("1", *given["1"])
    site.study("1.2.1", "PID-1")
    if known:
        site.run()
    site.give("2", *given["2"])
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.attention()["contradiction in AutoID"] == (1 if known else 2)
    site.autoid.delete(wrong)
    site.run_after_a_while()
    right, value = given[{"1": "2", "2": "1"}[wrong]]
    assert site.id_of(right) == value
    assert (site.requested("1.2.1"), site.requested("1.2.2")) == (site.id_of("PID-1"), site.id_of("PID-2"))
    assert site.attention() == {}
    site.assert_no_id_twice()


def test_an_id_that_is_contradicted_is_drawn_for_nobody(site: AutoidSite) -> None:
    """The second of two IDs of one patient was free for drawing: a third patient could have got it."""
    site.project(pattern="H-000[1-3]")
    two_ids_for_one(site)
    site.study("1.2.3", "PID-3")
    site.run()
    assert site.requested("1.2.3") == "H-0003"


def test_a_contradiction_is_told_once_and_resolved_though_nobody_waits(site: AutoidSite) -> None:
    """It used to stay on the list until the next study arrived."""
    two_ids_for_one(site)
    site.study("1.2.2", "PID-2")
    site.run()
    site.run_after_a_while()
    assert site.count("ContradictionFound") == 2
    site.autoid.delete("2")
    site.run_after_a_while()
    assert (site.attention(), site.count("ContradictionResolved")) == ({}, 2)
    assert site.used()["H-0001"] == "adopted"


def test_an_entry_against_what_the_ledger_knows_holds_the_patients_concerned(site: AutoidSite) -> None:
    site.study("1.2.1", "PID-1")
    site.run()
    site.give("8", "PID-2", site.id_of("PID-1"))
    site.study("1.2.2", "PID-1")
    site.study("1.2.3", "PID-2")
    site.run()
    assert site.held() == {"1.2.2": CONTRADICTED, "1.2.3": CONTRADICTED}
    site.autoid.delete("8")
    site.run_after_a_while()
    assert site.requested("1.2.2") == site.requested("1.2.1") == site.id_of("PID-1")
    assert site.requested("1.2.3") == site.id_of("PID-2")
    site.assert_no_id_twice()


def test_a_drawn_id_is_not_written_beside_an_entry_that_contradicts_it(site: AutoidSite) -> None:
    """Drawn, killed, and meanwhile somebody has given the same ID to another patient."""
    site.project(pattern="H-1")
    site.study("1.2.1", "PID-1")
    site.simulator.inject(Fault(kind="status", project="autoid", action="import"))
    with pytest.raises(ServiceError):
        site.run()
    site.give("8", "PID-2", "H-1")
    site.run()
    assert site.autoid_rows() == {"8": Given(HEART, key_of("PID-2"), "H-1")}
    assert site.held() == {"1.2.1": CONTRADICTED}
    site.autoid.delete("8")
    site.run_after_a_while()
    assert (site.id_of("PID-1"), site.requested("1.2.1")) == ("H-1", "H-1")
