"""A shadow decides beside the scripts, writes nothing, and tells where they decided otherwise."""

import pytest

from processors.errors import ConfigurationError
from processors.events.fact import Cause
from processors.explain.sentences import SETTLED_BY
from processors.operations.shadow.compare import ComparedStudy, DecidedTransfer, agreed, differences
from processors.requests import Key, TransferRow
from tests.adopt.sites import AdoptingSite
from tests.flow.harness import BRAIN, HEART, Asked

NOBODY = "no rule or coupling entry asks for it"


def decided_alike(site: AdoptingSite) -> None:
    """A study that the scripts requested as the rule asks."""
    site.rule("1", patient_id="PID-[0-9]+")
    site.series("1.2.1")
    site.scripts_wrote("1.2.1")
    site.scripts_requested("1.2.1", "PID-1")


def test_where_both_ask_for_the_same_nothing_differs(site: AdoptingSite) -> None:
    decided_alike(site)
    found = site.shadow()
    assert (found.studies, found.same, found.differing, found.not_yet) == (1, 1, [], [])


def test_nothing_is_written_to_redcap(site: AdoptingSite) -> None:
    decided_alike(site)
    site.project(aetitle="FIONA", name=BRAIN)
    site.series("1.2.2", PatientID="nobody")
    before = [site.incoming.rows(), site.autoid.rows()]
    site.shadow()
    site.shadow(minutes=11)
    assert [site.incoming.rows(), site.autoid.rows()] == before
    assert {call.action for call in site.calls} == {"export"}
    assert site.counted("IdGenerated", "StudyDelivered", "TransferPlaced", "TransferObserved") == [0, 0, 0, 0]


def test_each_way_to_differ_is_told_with_why(site: AdoptingSite) -> None:
    site.rule("1", patient_id="PID-[0-9]+")
    site.entry("7", study="1.2.3", project=BRAIN, subject="B-003", event="baseline")
    for number in (1, 2, 3):
        site.series(f"1.2.{number}", PatientID=f"PID-{number}")
    site.scripts_requested("1.2.1", "PID-1")
    site.scripts_requested("1.2.1", "B-001", project=BRAIN)
    site.scripts_requested("1.2.3", "PID-3")
    site.scripts_requested("1.2.3", "B-033", project=BRAIN, event="baseline")
    assert site.differing() == [
        ("1.2.1", BRAIN, "", "only in REDCap", NOBODY),
        ("1.2.2", HEART, "", "only here", "routing rule 1"),
        ("1.2.3", BRAIN, "baseline", "another pseudonym", "coupling entry 7"),
    ]


def test_what_is_in_conflict_here_says_so(site: AdoptingSite) -> None:
    site.rule("1", patient_id="PID-1")
    site.rule("2", patient_name="Doe.*")
    site.series("1.2.1")
    site.scripts_requested("1.2.1", "PID-1")
    assert site.differing() == [("1.2.1", HEART, "", "only in REDCap", "conflict here (equals): nothing is requested")]


def test_what_is_held_here_says_so_and_how_it_is_settled(site: AdoptingSite) -> None:
    site.list_project(active="0")
    site.entry("7", study="1.2.1", subject="H-001")
    site.series("1.2.1")
    site.scripts_requested("1.2.1", "H-001")
    why = f"held here: project is closed: project_active is 0. {SETTLED_BY['project is closed']}"
    assert site.differing() == [("1.2.1", HEART, "", "only in REDCap", why)]


def test_nobody_would_be_given_an_id_of_a_closed_project(site: AdoptingSite) -> None:
    site.project(aetitle="FIONA")
    site.series("1.2.1")
    assert site.shadow().ids == 1
    site.simulator.projects["projects"].put([{"record_id": "1", "project_active": "0"}])
    assert site.shadow().ids == 0


def test_a_difference_is_told_once_it_has_lasted_for_ten_minutes(site: AdoptingSite) -> None:
    site.rule("1", patient_id="PID-1")
    site.series("1.2.1")
    assert len(site.shadow().not_yet) == 1
    assert site.shadow(minutes=9).differing == []
    assert len(site.shadow(minutes=1).differing) == 1


def test_what_the_scripts_did_a_minute_later_never_was_a_difference(site: AdoptingSite) -> None:
    site.rule("1", patient_id="PID-1")
    site.series("1.2.1")
    site.shadow()
    site.scripts_requested("1.2.1", "PID-1")
    found = site.shadow(minutes=30)
    assert (found.same, found.differing, found.not_yet) == (1, [], [])


def test_only_what_was_decided_since_and_what_differed_is_looked_at_again(site: AdoptingSite) -> None:
    decided_alike(site)
    site.series("1.2.2", PatientID="PID-2")
    assert site.shadow().studies == 2
    assert site.shadow().studies == 1
    site.scripts_requested("1.2.2", "PID-2")
    assert site.shadow().studies == 1
    assert site.shadow().studies == 0


def test_a_study_that_leaves_the_disk_differs_no_longer(site: AdoptingSite) -> None:
    site.rule("1", patient_id="PID-1")
    site.series("1.2.1")
    site.series("1.2.2", PatientID="nobody")
    site.shadow()
    site.vanish("1.2.1")
    assert site.shadow(minutes=11).differing == []


def test_of_generated_ids_it_tells_whether_the_scripts_requested_one(site: AdoptingSite) -> None:
    site.project()
    site.study("1.2.1", "PID-1")
    site.study("1.2.2", "PID-2")
    site.scripts_requested("1.2.1", "H-0001")
    found = site.shadow()
    assert (found.ids, found.same) == (2, 1)
    assert site.differing() == [("1.2.2", HEART, "", "only here", "auto-ID")]


def test_transfers_are_compared_where_they_are_kept(apart: AdoptingSite) -> None:
    decided_alike(apart)
    assert apart.shadow().same == 1


def test_a_ledger_that_has_worked_is_refused(site: AdoptingSite) -> None:
    decided_alike(site)
    site.run()
    with pytest.raises(ConfigurationError, match="ledger of its own"):
        site.shadow()


def test_a_ledger_that_was_a_shadow_goes_live_and_places_what_is_lacking_alone(site: AdoptingSite) -> None:
    decided_alike(site)
    site.series("1.2.2", PatientID="PID-2")
    site.scripts_wrote("1.2.2", series=2)
    site.shadow()
    assert site.adopt().studies == 2
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(HEART, "PID-1")}
    assert site.transfers("1.2.2") == {1: Asked(HEART, "PID-2")}
    assert sorted(site.series_rows("1.2.2")) == [1, 2]
    assert site.query("select study, found from gateway.transfer order by study") == [("1.2.1", True), ("1.2.2", False)]
    site.assert_sound()


# The comparison itself


def compared(ours: dict[Key, str | None], theirs: list[tuple[str, str]]) -> ComparedStudy:
    cause = Cause("rule", "1", 4)
    return ComparedStudy(
        study="1.2",
        ours={key: DecidedTransfer(name, cause) for key, name in ours.items()},
        theirs=[
            TransferRow(study="1.2", instance=instance, project=project, event_name="", name=name, requested="")
            for instance, (project, name) in enumerate(theirs, start=1)
        ],
        conflicts={},
    )


def test_two_rows_of_which_one_says_the_same_agree() -> None:
    study = compared({Key(HEART, ""): "H-1"}, [(HEART, "H-2"), (HEART, "H-1")])
    assert (agreed(study), list(differences(study))) == ([Key(HEART, "")], [])


def test_a_forgotten_pseudonym_equals_any() -> None:
    study = compared({Key(HEART, ""): None}, [(HEART, "H-2")])
    assert list(differences(study)) == []


def test_withdrawn_rows_ask_for_nothing() -> None:
    assert list(differences(compared({}, [("", ""), ("", "left over")]))) == []
