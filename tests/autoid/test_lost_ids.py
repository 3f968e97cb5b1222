"""Entries of ours in AutoID that a person deletes or writes over: `reconcile` tells of them, and writes ours again."""

from collections.abc import Sequence

import pytest

from tests.autoid.sites import AutoidSite, Given, key_of
from tests.cli.conftest import Done, called, configuration_of
from tests.flow.harness import HEART


@pytest.fixture
def drawn(site: AutoidSite) -> AutoidSite:
    """Three patients with an ID each, in the records 1 to 3 of AutoID."""
    for number in range(1, 4):
        site.study(f"1.2.{number}", f"PID-{number}")
        site.run()
    assert [row.key for row in site.autoid_rows().values()] == [key_of(f"PID-{number}") for number in range(1, 4)]
    return site


def reconcile(site: AutoidSite, *options: str, shown: Sequence[str] = ("--json",)) -> Done:
    config = site.receiver.raw.with_name("reconcile.toml")
    config.write_text(configuration_of(site) + "[clock]\ntolerance_minutes = 525600\n")
    done = called("--config", str(config), "reconcile", *shown, *options)
    assert done.err == ""
    return done


def told(done: Done) -> list[tuple[str, str, list[str]]]:
    """Of the IDs alone: studies differ by their arrival dates, as a command takes the machine's zone."""
    found = [each for each in done.data["differences"] if each["kind"] == "generated ID"]
    assert {each["study"] for each in found} <= {""}
    return [(each["key"], each["what"], each["fields"]) for each in found]


def write_over(site: AutoidSite, record: str, patient_id: str, value: str) -> None:
    site.autoid.put([{"record_id": record, "autoid_hash": key_of(patient_id), "autoid_value": value}])


def test_right_after_the_runs_no_id_is_lost(drawn: AutoidSite) -> None:
    done = reconcile(drawn)
    assert (told(done), done.data["generated_ids"]) == ([], 3)


def test_what_was_deleted_and_what_was_written_over_is_told_and_stored_again(drawn: AutoidSite) -> None:
    """Nothing noticed it, and scripts would have drawn second IDs for both patients."""
    before = drawn.autoid_rows()
    drawn.autoid.delete("1")
    write_over(drawn, "2", "PID-9", "H-99x")
    lost = [("1", "deleted", []), ("2", "changed", ["autoid_hash", "autoid_value"])]
    done = reconcile(drawn)
    assert (done.code, told(done)) == (1, lost)
    assert not any(value in done.out for row in before.values() for value in (row.key, row.value))
    restored = reconcile(drawn, "--restore")
    assert (told(restored), restored.data["restored"]["ids"]) == ([], 2)
    rows = drawn.autoid_rows()
    assert rows["2"] == Given(HEART, key_of("PID-9"), "H-99x"), "theirs stays"
    assert {*before.values()} < {*rows.values()}
    assert len(rows) == 4
    records = drawn.query("select record_id from gateway.used_id where kind = 'generated'")
    assert len({record for (record,) in records}) == 3
    assert told(reconcile(drawn)) == []
    drawn.assert_sound()


@pytest.mark.parametrize(
    ("patient_id", "is_own_value"), [("PID-9", True), ("PID-1", False)], ids=["another's key", "another ID"]
)
def test_an_id_that_another_entry_contradicts_is_left_to_a_person(
    drawn: AutoidSite, patient_id: str, *, is_own_value: bool
) -> None:
    value = drawn.autoid_rows()["1"].value if is_own_value else "H-9999"
    write_over(drawn, "1", patient_id, value)
    before = drawn.autoid_rows()
    done = reconcile(drawn, "--restore")
    assert (done.code, [record for record, _, _ in told(done)]) == (1, ["1"])
    assert "correct or delete it in REDCap first" in done.out
    assert drawn.autoid_rows() == before


@pytest.mark.parametrize("blanked", ["autoid_value", "autoid_hash", "autoid_project_name"])
def test_an_entry_that_gives_no_id_contradicts_none(drawn: AutoidSite, blanked: str) -> None:
    """Of a blanked entry it was told that another one says otherwise, and nothing was stored."""
    before = drawn.autoid_rows()
    drawn.autoid.put([{"record_id": "1", blanked: ""}])
    assert told(reconcile(drawn)) == [("1", "changed", [blanked])]
    done = reconcile(drawn, "--restore")
    assert (told(done), done.data["restored"]["ids"]) == ([], 1)
    assert {*before.values()} <= {*drawn.autoid_rows().values()}
    drawn.run()
    assert (drawn.attention(), told(reconcile(drawn))) == ({}, [])
    drawn.assert_sound()


def test_an_entry_that_moved_to_another_record_is_not_lost(drawn: AutoidSite) -> None:
    row = drawn.autoid_rows()["1"]
    drawn.autoid.delete("1")
    write_over(drawn, "77", "PID-1", row.value)
    drawn.autoid.put([{"record_id": "77", "autoid_project_name": HEART}])
    assert told(reconcile(drawn)) == []


def test_the_ids_of_a_project_are_compared_and_none_where_studies_are_meant(drawn: AutoidSite) -> None:
    drawn.autoid.delete("1")
    assert told(reconcile(drawn, "--project", HEART)) == [("1", "deleted", [])]
    for narrower in (("--study", "1.2.1"), ("--since", "2026-01-01")):
        done = reconcile(drawn, *narrower)
        assert (told(done), done.data["generated_ids"]) == ([], None)


def test_a_lost_id_is_not_accepted(drawn: AutoidSite) -> None:
    drawn.autoid.delete("1")
    done = reconcile(drawn, "--accept", "--reason", "cleaned up")
    assert (done.code, told(done)) == (1, [("1", "deleted", [])])


def test_it_is_said_why_a_lost_id_is_not_accepted_and_what_to_do(drawn: AutoidSite) -> None:
    """`Recorded as accepted: 0` was all."""
    drawn.autoid.delete("1")
    done = reconcile(drawn, "--accept", "--reason", "cleaned up", shown=())
    assert "Not accepted: 1 lost IDs, as whoever goes by AutoID would draw second ones" in done.out
    assert "`fiona-ledger reconcile --restore` stores them again" in done.out
