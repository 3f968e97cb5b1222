"""What is told about a study: its timeline, and why it went where it went."""

import pytest

from processors.errors import ConfigurationError
from processors.events.fact import OfStudy
from processors.events.pseudonyms import StudyHeld
from processors.events.rules import DecidedByHand
from processors.events.series import StudyRequestedByOthers
from processors.events.transfers import TransferSent
from processors.explain.explanation import Explanation
from processors.explain.policy import entries_meeting, in_force
from processors.explain.recorded import FROM_THE_BEGINNING
from processors.explain.timeline import grouped
from processors.routing.evidence import gather
from tests.explain.conftest import Explained, row
from tests.flow.harness import BRAIN, HEART

STUDY = "1.2.3"


def words(found: Explanation) -> list[str]:
    return [moment.words for moment in found.timeline]


def first_with(found: Explanation, type_: str) -> str:
    return next(moment.words for moment in found.timeline if moment.type == type_)


def test_a_study_that_was_routed_and_sent(explained: Explained) -> None:
    site = explained.site
    site.rule("7", patient_id="HRT-[0-9]+", event="baseline")
    site.series(STUDY, PatientID="HRT-1", AccessionNumber="A1", NumFiles="3")
    site.run()
    site.grow(STUDY)
    site.run()
    site.sender_sends(STUDY, 1)
    (request,) = [moment.position for moment in explained.explain(STUDY).timeline if moment.type == "TransferRequested"]
    explained.append(
        TransferSent(study=STUDY, project=HEART, event_name="baseline", request=request, instance=1, sent_at="")
    )
    found = explained.explain(STUDY)
    assert [moment.type for moment in found.timeline][:4] == [
        "SeriesDiscovered",
        "TransferRequested",
        "StudyDelivered",
        "TransferPlaced",
    ]
    assert first_with(found, "TransferRequested") == (
        "Requested for Heart Study, event baseline, because of routing rule 7, which then said: Heart Study, event "
        "baseline, for series to FIONA."
    )
    assert first_with(found, "SeriesRevised") == "Series 1.2.3.1 grew from 3 to 4 files."
    (line,) = found.verdict
    assert line == (
        f"Requested for Heart Study, event baseline, because of routing rule 7 [{request}]: it stands in REDCap as "
        "instance 1, and has been sent."
    )
    (ending,) = found.endings
    assert (ending.request, ending.reported, ending.sends, ending.instance) == (request, "sent", 1, 1)
    assert ending.words == f"The request [{request}] for Heart Study, event baseline was sent."


def test_the_cause_is_told_as_it_read_when_it_was_decided(explained: Explained) -> None:
    site = explained.site
    site.rule("1", patient_id="HRT", called="FIONA")
    site.series(STUDY, PatientID="HRT")
    site.run()
    site.rule("1", patient_id="HRT", called="ELSEWHERE")
    site.run()
    found = explained.explain(STUDY)
    assert "for series to FIONA" in first_with(found, "TransferRequested")
    assert "Today's rules would not ask for it any more" in found.verdict[0]


def test_a_corrected_entry_tells_of_both_requests(explained: Explained) -> None:
    site = explained.site
    site.entry("4", accession="A1", subject="H-1")
    site.series(STUDY, AccessionNumber="A1")
    site.run()
    site.entry("4", accession="A1", subject="H-2")
    site.run()
    found = explained.explain("A1")
    assert "over request [" in first_with(found, "TransferAmended")
    assert [account.standing for account in found.entries] == ["matches"]
    assert len(found.verdict) == 1
    assert found.verdict[0].startswith("Requested for Heart Study, because of coupling entry 4 [")


def test_a_conflict_is_the_verdict(explained: Explained) -> None:
    site = explained.site
    site.entry("1", accession="A1", subject="H-1")
    site.entry("2", study=STUDY, subject="H-2")
    site.series(STUDY, AccessionNumber="A1")
    site.run()
    found = explained.explain(STUDY)
    (line,) = found.verdict
    assert line == (
        "Nothing is requested for Heart Study: coupling entry 1 and coupling entry 2 give different names. Correct "
        "them in REDCap."
    )
    assert "Nothing is requested." in first_with(found, "ConflictFound")


def test_a_study_that_nobody_asked_for_tells_the_reason(explained: Explained) -> None:
    site = explained.site
    site.series(STUDY, PatientID="HRT-1")
    site.run()
    assert explained.explain(STUDY).verdict == [
        "Nothing is requested: there is no routing rule, and no usable coupling entry names it."
    ]
    site.rule("1", called="OTHER", patient_id="HRT")
    site.run()
    assert "no active routing rule has its called or calling AE title" in explained.explain(STUDY).verdict[0]
    site.rule("1", called="FIONA", patient_id="XYZ")
    site.run()
    assert (
        "routing rule 1 has its AE title, but neither PatientID nor PatientName" in explained.explain(STUDY).verdict[0]
    )
    site.rule("1", called="FIONA", patient_id="HRT", active=False)
    site.run()
    found = explained.explain(STUDY)
    assert "no routing rule is active" in found.verdict[0]
    assert found.verdict[1] == "Near misses: routing rule 1 (the rule is inactive)."


def test_a_study_whose_request_was_withdrawn_is_not_as_one_that_nobody_ever_asked_for(explained: Explained) -> None:
    site = explained.site
    site.series(STUDY, AccessionNumber="ACC-1")
    site.entry(accession="ACC-1")
    site.run()
    site.entry(accession="ACC-2")
    site.run()
    found = explained.explain(STUDY)
    assert found.verdict == [
        "Nothing is requested any more: there is no routing rule, and no usable coupling entry names it."
    ]
    assert [ending.state for ending in found.endings] == ["withdrawn"]


def test_a_row_that_people_have_deleted_is_not_said_to_stand(explained: Explained) -> None:
    site = explained.site
    site.rule("7", patient_id="HRT-[0-9]+")
    site.series(STUDY, PatientID="HRT-1")
    site.run()
    site.person_deletes_transfer(STUDY, 1)
    site.run()
    found = explained.explain(STUDY)
    gone = "somebody has deleted or changed"
    assert found.verdict[0].endswith(f": {gone} its row in REDCap, instance 1.")
    assert found.endings[0].words.endswith(f"has no row in REDCap any more that says so: {gone} it.")
    site.run(after=2 * 86_400)
    assert site.attention() == {"row deleted or changed in REDCap": 1}


def test_a_rule_that_came_too_late_is_told_to_need_a_replay(explained: Explained) -> None:
    site = explained.site
    site.series(STUDY, PatientID="HRT-1")
    site.run()
    site.rule("1", patient_id="HRT-1")
    site.run()
    (line,) = explained.explain(STUDY).verdict
    assert line.startswith("Routing rule 1 would now have it requested for Heart Study")
    assert "fiona-ledger replay" in line


def test_what_is_near_is_named(explained: Explained) -> None:
    site = explained.site
    site.rule("1", called="fiona", patient_id="HRT")
    site.entry("2", accession="0 a1")
    site.entry("3", accession="B9")
    site.series(STUDY, PatientID="HRT", AccessionNumber="A1")
    site.run()
    found = explained.explain(STUDY)
    assert found.verdict[-1] == (
        "Near misses: routing rule 1 (called AE title differs by case only), coupling entry 2 (accession number "
        "differs by blanks, case and leading zeros only)."
    )
    assert found.other_entries == 1


def test_only_entries_that_have_to_do_with_the_study_are_read(explained: Explained) -> None:
    """A list may be long, and each entry read is one unsealed."""
    site = explained.site
    site.entry("1", accession="A1")
    site.entry("2", accession="0 a1")
    site.entry("3", study=f" {STUDY[:3]} {STUDY[3:]}")
    site.entry("4", accession="B9", study="1.2.9")
    site.entry("5", accession="B9")
    site.series(STUDY, AccessionNumber="A1")
    site.run()
    with explained.opened() as work:
        (evidence,) = gather(work, [STUDY], FROM_THE_BEGINNING, with_identities=True)
        assert sorted(entries_meeting(work, evidence, ["A1"])) == ["1", "2", "3"]
        assert set(in_force(work, ["1", "3"]).entries) == {"1", "3"}
        assert set(in_force(work).entries) == {"1", "2", "3", "4", "5"}


def test_an_entry_that_waits_for_a_vanished_study_says_so(explained: Explained) -> None:
    site = explained.site
    site.series(STUDY)
    site.series("1.2.9")
    site.run()
    site.vanish(STUDY)
    site.run()
    site.entry("5", study=STUDY)
    site.run()
    found = explained.explain(STUDY)
    assert not found.on_disk
    assert "coupling entry 5 names it, but its files have vanished" in found.verdict[0]
    assert "The study's files vanished from disk." in words(found)


def test_a_rule_without_an_answer_in_time_is_told(explained: Explained) -> None:
    site = explained.site
    site.time_limit = 0.02
    site.rule("1", patient_id="(a|aa|a?)+$")
    site.series(STUDY, PatientID="a" * 60 + "!")
    site.run()
    found = explained.explain(STUDY)
    assert "Routing rule 1 ran out of time on it: it matches nothing." in found.verdict
    assert "Routing rule 1 ran out of time, and matched nothing." in words(found)


def test_a_study_that_is_held_says_for_what(explained: Explained) -> None:
    explained.site.series(STUDY)
    explained.site.run()
    explained.append(StudyHeld(study=STUDY, project=BRAIN, reason="no PatientID"))
    found = explained.explain(STUDY)
    assert f"It waits for an ID of {BRAIN}: no PatientID." in found.verdict


def test_a_study_that_others_have_requested_says_so(explained: Explained) -> None:
    explained.site.series(STUDY)
    explained.site.run()
    explained.append(StudyRequestedByOthers(study=STUDY))
    found = explained.explain(STUDY)
    assert found.verdict[0] == "Somebody else has requested transfers of it in REDCap: see the timeline."
    assert words(found)[-1].startswith("Somebody else has requested a transfer of it in REDCap")


def test_series_of_two_patients_are_told_of_apart(explained: Explained) -> None:
    site = explained.site
    site.rule("1", patient_id="HRT")
    site.series(STUDY, PatientID="HRT")
    site.series(STUDY, "1.2.3.2", PatientID="XYZ")
    site.run()
    found = explained.explain(STUDY)
    assert sorted(account.rules[0].standing for account in found.origins) == ["matches", "same AE title"]


def test_a_forgotten_patient_leaves_the_timeline_and_no_answer_about_patterns(explained: Explained) -> None:
    site = explained.site
    site.rule("1", patient_id="HRT")
    site.rule("2", patient_id="X")
    site.entry("1", accession="A1", subject="H-1", project=BRAIN)
    site.series(STUDY, PatientID="HRT", AccessionNumber="A1")
    site.series("1.2.4", PatientID="HRT")
    site.run()
    explained.forget("HRT")
    found = explained.explain(STUDY)
    assert [account.origin.forgotten for account in found.origins] == [True]
    assert {rule.conditions[2].state for rule in found.origins[0].rules} == {"forgotten"}
    assert "Requested for Heart Study" in " ".join(words(found))
    assert len(found.verdict) == 2


def test_a_forgotten_study_that_nobody_asked_for(explained: Explained) -> None:
    site = explained.site
    site.rule("1", patient_id="X")
    site.series(STUDY, PatientID="HRT")
    site.run()
    explained.forget("HRT")
    assert "whose it is has been forgotten" in explained.explain(STUDY).verdict[0]


def test_an_accession_number_of_several_studies_lists_them(explained: Explained) -> None:
    site = explained.site
    site.series(STUDY, AccessionNumber=" A1 ")
    site.series("1.2.4", AccessionNumber="A1")
    site.run()
    with pytest.raises(ConfigurationError) as several:
        explained.explain("A1")
    assert "2 studies have the accession number A1" in str(several.value)
    assert STUDY in str(several.value)
    assert "1.2.4" in str(several.value)


def test_an_unknown_name_tells_what_is_known_of_it(explained: Explained) -> None:
    site = explained.site
    site.series(STUDY, AccessionNumber="A1")
    site.entry("3", accession="B7")
    folder = site.receiver.raw / "1.2.99"
    folder.mkdir()
    (folder / "1.2.99.1.json").write_text("{")
    site.receiver.age(folder / "1.2.99.1.json", 300)
    site.receiver.age(folder, 300)
    site.run()
    for name, told in (
        ("1.2.99", "was rejected: 1.2.99/1.2.99.1.json"),
        ("B7", "Coupling entry 3 names it and waits"),
        ("0a1", "A1 is known: it differs by case and leading zeros"),
        ("9.9.9", "Check the number."),
        (" ", "found nothing"),
        ("\x1b[2J", "not printable"),
        ("' or 1=1", "No study in the ledger"),
    ):
        with pytest.raises(ConfigurationError) as unknown:
            explained.explain(name)
        assert told in str(unknown.value)


def test_rejected_files_are_part_of_the_timeline(explained: Explained) -> None:
    site = explained.site
    site.series(STUDY)
    bad = site.receiver.raw / STUDY / "1.2.3.2.json"
    bad.write_text("{")
    site.receiver.age(bad, 300)
    site.receiver.age(bad.parent, 300)
    site.run()
    assert "The file 1.2.3/1.2.3.2.json was rejected" in first_with(explained.explain(STUDY), "FileRejected")


class StudyTeleported(OfStudy, frozen=True, kw_only=True):
    """What a later version of the program may record."""

    planet: str


def test_an_event_of_a_later_version_is_told_plainly(explained: Explained) -> None:
    explained.site.series(STUDY)
    explained.site.run()
    head = explained.site.head()
    explained.append(StudyTeleported(study=STUDY, planet="Mars"))
    assert words(explained.explain(STUDY))[-1] == (
        f"StudyTeleported: see `fiona-ledger export --from {head + 1} --to {head + 1}`."
    )


def test_what_an_operator_decided_is_the_reason(explained: Explained) -> None:
    site = explained.site
    site.series(STUDY, PatientID="HRT")
    site.run()
    explained.append(
        DecidedByHand(study=STUDY, project=HEART, event_name="", action="retract", by="ada", reason="wrong patient")
    )
    site.rule("1", patient_id="HRT")
    site.run()
    found = explained.explain(STUDY)
    assert found.verdict[0].startswith("Withdrawn by hand for Heart Study: rules do not ask for it again")
    assert first_with(found, "DecidedByHand") == (
        "ada decided by hand that Heart Study is not to be requested: wrong patient"
    )


def test_an_entry_whose_subject_was_forgotten_is_not_said_to_ask_for_another_name(explained: Explained) -> None:
    site = explained.site
    site.entry("1", accession="A1", subject="H-1")
    site.series(STUDY, PatientID="ADA", AccessionNumber="A1")
    site.run()
    site.series("1.2.4", PatientID="BOB", AccessionNumber="A1")
    site.run()
    explained.forget("BOB")
    found = explained.explain(STUDY)
    (line,) = found.verdict
    assert line.startswith("Requested for Heart Study, because of coupling entry 1")
    assert found.entries[0].notes == ("its subject ID was forgotten, so that it cannot be compared",)


def test_long_stretches_of_one_kind_are_cut_on_the_screen(explained: Explained) -> None:
    site = explained.site
    for number in range(7):
        site.series(STUDY, f"1.2.3.{number}")
    site.run()
    first, *_ = grouped(explained.explain(STUDY).timeline)
    assert [moment.words[:15] for moment in first.shown] == ["Series 1.2.3.0 ", "Series 1.2.3.6 "]
    assert first.left_out == 5


def test_explaining_records_nothing(explained: Explained) -> None:
    explained.site.rule("1", patient_id="HRT")
    explained.site.series(STUDY, PatientID="HRT")
    explained.site.run()
    head, tables = explained.site.head(), explained.site.projections()
    explained.explain(STUDY)
    assert (explained.site.head(), explained.site.projections()) == (head, tables)


def test_a_study_of_two_patients_says_so(explained: Explained) -> None:
    site = explained.site
    site.rule("7", patient_id="HRT-[0-9]+")
    site.series(STUDY, "1.2.3.1", PatientID="HRT-1")
    site.series(STUDY, "1.2.3.2", PatientID="HRT-2")
    site.run()
    found = explained.explain(STUDY)
    assert found.verdict[0] == (
        "Its series are of 2 patients (A: 1.2.3.1; B: 1.2.3.2): while that lasts, nothing asks for it but a coupling "
        "entry with its study UID."
    )
    assert "HRT" not in " ".join((*words(found), *found.verdict))
    compared = explained.compare(row("8", allowed_patientid="HRT.*"))
    assert (compared.changes, compared.of_two_patients) == ([], 1)
