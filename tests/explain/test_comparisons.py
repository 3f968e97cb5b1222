"""What other rules would change, tried on what was recorded."""

from datetime import timedelta

import pytest

from processors.events.transfers import TransferSent
from processors.explain import what_if
from processors.explain.what_if import Comparison
from processors.requests import Key
from processors.routing.decisions import Obstacle
from tests.explain.conftest import Explained, row
from tests.flow.harness import BRAIN, HEART


def changes(found: Comparison) -> set[tuple[str, str, tuple[str, ...]]]:
    return {(change.study, change.key.project, change.kinds) for change in found.changes}


def recorded(explained: Explained) -> None:
    """Three studies of three patients, one of them sent to the Heart Study by rule 1."""
    site = explained.site
    site.rule("1", patient_id="HRT-1")
    for number in (1, 2, 3):
        site.series(
            f"1.2.{number}", PatientID=f"HRT-{number}", PatientName=f"BRN-{number}", AccessionNumber=f"A{number}"
        )
    site.run()


def test_a_wider_rule_gains_studies(explained: Explained) -> None:
    recorded(explained)
    found = explained.compare(row("1", allowed_patientid="HRT-[12]"))
    assert changes(found) == {("1.2.2", HEART, ("gains",))}
    assert (found.studies, found.changed_rules) == (3, ["1"])
    assert dict(found.by_project()[HEART]) == {"gains": 1}


def test_a_narrower_rule_loses_studies_and_tells_what_stands(explained: Explained) -> None:
    recorded(explained)
    found = explained.compare(row("1", active="0", allowed_patientid="HRT-1"))
    assert changes(found) == {("1.2.1", HEART, ("loses",))}
    assert [change.stands for change in found.changes] == ["placed"]


def test_what_has_been_sent_is_noted(explained: Explained) -> None:
    recorded(explained)
    site = explained.site
    ((request,),) = site.query("select position from gateway.transfer")
    explained.append(
        TransferSent(study="1.2.1", project=HEART, event_name="", request=request, instance=1, sent_at="x")
    )
    found = explained.compare(row("1", active="0", allowed_patientid="HRT-1"))
    assert [change.stands for change in found.changes] == ["sent"]


def test_a_match_of_the_start_only_is_told(explained: Explained) -> None:
    recorded(explained)
    found = explained.compare(row("1", allowed_patientid="HRT"))
    assert {change.after.whole_match for change in found.changes if change.after is not None} == {False}


def test_another_pseudonym_is_a_change_and_the_same_one_by_another_rule_is_none(explained: Explained) -> None:
    recorded(explained)
    assert changes(explained.compare(row("1", allowed_patientname="BRN-1"))) == {("1.2.1", HEART, ("changes",))}
    assert explained.compare(row("1", active="0"), row("9", allowed_patientid="HRT-1")).changes == []


def test_rules_that_would_contradict_each_other_are_a_conflict(explained: Explained) -> None:
    recorded(explained)
    found = explained.compare(row("2", allowed_patientname="BRN-[12]"))
    assert changes(found) == {("1.2.1", HEART, ("loses", "conflict arises")), ("1.2.2", HEART, ("gains",))}


def test_a_conflict_that_goes_is_told(explained: Explained) -> None:
    recorded(explained)
    explained.site.rule("2", patient_name="BRN-1")
    explained.site.run()
    found = explained.compare(row("2", active="0"))
    assert changes(found) == {("1.2.1", HEART, ("gains", "conflict goes"))}


def test_a_coupling_entry_outranks_the_new_rule_here_as_it_does_in_a_run(explained: Explained) -> None:
    recorded(explained)
    explained.site.entry("1", accession="A2", subject="H-2")
    explained.site.run()
    found = explained.compare(row("1", allowed_patientid="HRT-[123]"))
    assert changes(found) == {("1.2.3", HEART, ("gains",))}


def test_rules_that_are_not_in_the_file_stay_unless_it_is_the_whole_table(explained: Explained) -> None:
    recorded(explained)
    new = row("2", dest_project=BRAIN, allowed_patientid="HRT-2")
    assert changes(explained.compare(new)) == {("1.2.2", BRAIN, ("gains",))}
    assert changes(explained.compare(new, whole=True)) == {
        ("1.2.2", BRAIN, ("gains",)),
        ("1.2.1", HEART, ("loses",)),
    }


def test_no_more_is_found_where_every_study_is_decided_upon(
    explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(explained)
    site = explained.site
    site.series("1.2.1", PatientID="HRT-4", PatientName="", calling="CT9")
    site.series("1.2.2", "1.2.2.2", PatientID="HRT-2", called="OTHER")
    site.clock.advance(3600)
    site.run()
    rules = [
        row("1", allowed_patientid="HRT-[24]"),
        row("2", dest_project=BRAIN, sending_aetitle="CT9", allowed_patientname="BRN-[1-3]"),
    ]
    found = explained.compare(*rules)
    monkeypatch.setattr(what_if, "_touched", lambda said, *_tables: sorted(said))
    assert found == explained.compare(*rules)
    assert found.changes


def test_only_studies_since_a_moment_are_tried(explained: Explained) -> None:
    recorded(explained)
    site = explained.site
    site.clock.advance(3600)
    site.series("1.2.4", PatientID="HRT-4")
    site.run()
    wider = row("1", allowed_patientid="HRT-[1-9]")
    assert len(explained.compare(wider).changes) == 3
    found = explained.compare(wider, since=site.clock.now - timedelta(minutes=10))
    assert changes(found) == {("1.2.4", HEART, ("gains",))}
    assert found.studies == 1


def test_a_study_that_has_vanished_is_tried_as_if_it_were_there(explained: Explained) -> None:
    recorded(explained)
    explained.site.vanish("1.2.2")
    explained.site.run()
    assert changes(explained.compare(row("1", allowed_patientid="HRT-[12]"))) == {("1.2.2", HEART, ("gains",))}


def test_forgotten_studies_are_counted_and_never_guessed(explained: Explained) -> None:
    recorded(explained)
    explained.forget("HRT-2")
    found = explained.compare(row("1", allowed_patientid="HRT-[12]"))
    assert (found.changes, found.forgotten) == ([], 1)


def test_a_rule_that_keeps_running_out_of_time_is_left_out_and_named(explained: Explained) -> None:
    site = explained.site
    site.time_limit = 0.02
    for number in range(6):
        site.series(f"1.2.{number}", PatientID=f"{number}{'a' * 60}!")
    site.run()
    found = explained.compare(row("1", allowed_patientid=".(a|aa|a?)+$"), row("2", allowed_patientid="[0-9]a"))
    assert (found.late, found.left_out) == (["1"], ["1"])
    assert len(found.changes) == 6


def test_what_is_told_is_what_a_run_does_with_a_study_like_it(explained: Explained) -> None:
    recorded(explained)
    changed = [
        row("1", allowed_patientid="HRT-[12]", event_name="baseline"),
        row("2", dest_project=BRAIN, allowed_patientname="BRN-3"),
    ]
    foreseen = {
        (change.study[-1], change.key) for change in explained.compare(*changed).changes if change.after is not None
    }
    site = explained.site
    site.rule("1", patient_id="HRT-[12]", event="baseline")
    site.rule("2", project=BRAIN, patient_name="BRN-3")
    for number in (1, 2, 3):
        site.series(f"1.9.{number}", PatientID=f"HRT-{number}", PatientName=f"BRN-{number}")
    site.run()
    requested = site.query("select study, project, event_name from gateway.transfer where study like '1.9.%'")
    assert foreseen == {(study[-1], Key(project, event)) for study, project, event in requested}


def test_trying_rules_records_nothing(explained: Explained) -> None:
    recorded(explained)
    head, tables = explained.site.head(), explained.site.projections()
    explained.compare(row("1", allowed_patientid="HRT"))
    assert (explained.site.head(), explained.site.projections()) == (head, tables)


def test_what_would_be_held_says_why(explained: Explained) -> None:
    recorded(explained)
    explained.site.list_project(HEART, active="0")
    explained.site.run()
    comparison = explained.compare(row("1", allowed_patientid="HRT-[12]"))
    assert [change.held for change in comparison.changes] == [Obstacle("project is closed", "project_active is 0")]


def test_what_goes_to_an_open_project_is_not_held(explained: Explained) -> None:
    recorded(explained)
    assert [change.held for change in explained.compare(row("1", allowed_patientid="HRT-[12]")).changes] == [None]
