from typing import cast

import pytest
from sqlalchemy import text

from ledger import store
from ledger.errors import KeyProblem
from ledger.vault import Vault
from processors.demo.simulator import Fault
from processors.errors import ConfigurationError, ServiceError
from processors.explain.recorded import FROM_THE_BEGINNING
from processors.explain.search import find_study
from processors.operations.forget.data_subjects import UnknownDataSubject
from processors.operations.forget.external_copies import RedcapCopy
from processors.operations.forget.forget import compact
from processors.operations.status import status
from processors.routing.evidence import gather
from tests.autoid.sites import key_of
from tests.flow.harness import BRAIN, HEART, Asked
from tests.forget.sites import REASON, PrivateSite, traces

TEACHING = "Teaching"
ADA, ADAS_NAME = "19151210-ADA", "Lovelace^Ada"
GRACE, GRACES_NAME = "19061209-GRACE", "Hopper^Grace"
EVERYBODY = "19[0-9]{6}-[A-Z]+"


def two_patients(site: PrivateSite) -> None:
    """Ada has two studies, one of them coupled; Grace has one. All are addressed to the auto-ID project or ruled."""
    site.rule(patient_id=EVERYBODY, project=BRAIN)
    site.series("1.1", PatientID=ADA, PatientName=ADAS_NAME, AccessionNumber="ACC-A")
    site.entry("7", accession="ACC-A", project=TEACHING, subject="T-7311")
    site.study("1.2", ADA, PatientName=ADAS_NAME)
    site.study("1.3", GRACE, PatientName=GRACES_NAME)
    site.run()


def test_whatever_led_to_a_patient_is_gone_and_nothing_of_others(site: PrivateSite) -> None:
    two_patients(site)
    mine, others = traces(ADA, ADAS_NAME, "T-7311"), {GRACE, GRACES_NAME, key_of(GRACE)}
    assert site.finds(mine) == {ADA, ADAS_NAME, key_of(ADA), "T-7311"}
    site.forget_patients(ADA)
    assert site.finds(mine) == set()
    assert site.finds(others) == others
    site.assert_sound()


def test_what_was_forgotten_is_told_by_an_event_that_names_nobody(site: PrivateSite) -> None:
    two_patients(site)
    done = site.forget_patients(ADA)
    (event,) = site.events("SubjectForgotten")
    assert {key: event[key] for key in ("what", "name", "by", "reason", "studies")} == {
        "what": "patient",
        "name": "",
        "by": "operator",
        "reason": REASON,
        "studies": 2,
    }
    assert {kind: len(subjects) for kind, subjects in event["subjects"].items()} == {
        "accession": 1,
        "patient": 1,
        "coupling": 1,
        "link": 1,
    }
    told = {subject for subjects in event["subjects"].values() for subject in subjects}
    forgotten = site.query("select subject::text from ledger.subject where wrapped_key is null and lookup is null")
    assert told == {row[0] for row in forgotten}
    assert (done.destroyed, done.positions) == (4, [site.head()])


def test_an_accession_number_is_forgotten_with_the_last_study_that_has_it(site: PrivateSite) -> None:
    site.series("1.1", PatientID=ADA, AccessionNumber="ACC-A")
    site.series("1.2", PatientID=GRACE, AccessionNumber=" ACC-A")
    site.run()

    def found() -> str:
        with site.gateway() as gateway, gateway.begin() as work:
            return find_study(work, "ACC-A")

    with pytest.raises(ConfigurationError, match="2 studies have"):
        found()
    site.forget_patients(ADA)
    assert site.finds({"ACC-A"}) == {"ACC-A"}, "it is Grace's as well"
    site.forget_patients(GRACE)
    assert site.finds({"ACC-A"}) == set()
    with pytest.raises(ConfigurationError, match="No study"):
        found()


def test_what_was_derived_from_a_patient_is_nothing_that_a_returning_one_is_joined_by(site: PrivateSite) -> None:
    """Keyed hashes of the identity used to be equal before and after."""
    site.series("1.1", PatientID=ADA, PatientName=ADAS_NAME, AccessionNumber="ACC-A")
    site.run()
    site.forget_patients(ADA)
    site.series("1.2", PatientID=ADA, PatientName=ADAS_NAME, AccessionNumber="ACC-A")
    site.run()
    keyed = ("fingerprint", "study_fingerprint", "identity_fingerprint", "accession")
    before, after = [{event[name] for name in keyed} for event in site.events("SeriesDiscovered")]
    assert not before & after


def test_a_patient_id_that_was_corrected_and_is_nobodys_is_forgotten_with_the_right_one(site: PrivateSite) -> None:
    """The name used to stay readable under the wrong one, and nobody was told."""
    site.series("1.1", PatientID="WRONG-1", PatientName=ADAS_NAME)
    site.run()
    site.series("1.1", PatientID=ADA, PatientName=ADAS_NAME)
    site.run()
    (owner,) = site.forget_patients(ADA).data_subjects
    assert (len(owner.subjects["patient"]), owner.elsewhere) == (2, ())
    assert site.finds(traces(ADA, ADAS_NAME, "WRONG-1")) == set()


def test_one_that_somebody_has_is_left_and_told_of(site: PrivateSite) -> None:
    site.series("1.1", PatientID=GRACE, PatientName=ADAS_NAME)
    site.series("1.2", PatientID=GRACE, PatientName=GRACES_NAME)
    site.run()
    site.series("1.1", PatientID=ADA, PatientName=ADAS_NAME)
    site.run()
    (owner,) = site.forget_patients(ADA).data_subjects
    assert owner.elsewhere == ("1.1",)
    assert site.finds({ADA, ADAS_NAME, GRACE}) == {ADAS_NAME, GRACE}


def test_where_a_forgotten_patient_is_named_and_others_can_read_it_is_listed_by_position(site: PrivateSite) -> None:
    site.series("1.1", PatientID=ADA, PatientName=ADAS_NAME, StudyDescription=f"MR of {ADAS_NAME.lower()}")
    site.series("1.2", PatientID=GRACE, SeriesDescription=f"compare ({ADA})", StudyDescription=f"{ADA}9")
    site.run()
    (_of_ada, of_grace) = site.query("""
        select array_agg(position order by position) from ledger.event where type = 'SeriesDiscovered'
    """)[0][0]
    assert site.forget_patients(ADA).external_copies.mentions == ([of_grace], [])
    assert site.finds({ADAS_NAME.lower()}) == set()


def test_a_part_of_a_name_is_found_wherever_it_stands(site: PrivateSite) -> None:
    """The name was looked for as it stands in DICOM alone, as nobody writes it."""
    site.series("1.1", PatientID=ADA, PatientName="Quxson^Zedekiah^^Dr")
    site.series("1.2", PatientID=GRACE, PatientName="Quxson^Grace", StudyDescription="mother of QUXSON")
    site.series("1.3", PatientID=GRACE, StudyDescription="see Quxson_Z; Quxsons and Drs")
    site.series("1.4", PatientID=GRACE, StudyDescription="Quxsons and Dr")
    site.rule(patient_name="Quxson.*", called="NOWHERE")
    site.run()
    amended = site.query("select position from ledger.event where type = 'RoutingRuleChanged'")
    said = site.query("""
        select position from ledger.event
         where type = 'SeriesDiscovered' and stream in ('study/1.2', 'study/1.3') order by position
    """)
    expected = sorted(position for (position,) in [*amended, *said])
    assert site.forget_patients(ADA).external_copies.mentions == (expected, [])


@pytest.mark.parametrize("reason", ["for Zedekiah Quxson", "call by QUXSON", f"case_{ADA}_17"])
def test_a_reason_with_a_part_of_the_name_is_refused(site: PrivateSite, reason: str) -> None:
    """It was kept for ever."""
    site.series("1.1", PatientID=ADA, PatientName="Quxson^Zedekiah")
    site.run()
    head = site.head()
    with pytest.raises(ConfigurationError, match="--reason holds the PatientID or name"):
        site.forget_patients(ADA, reason=reason)
    assert site.head() == head


def test_redcaps_rows_are_listed_and_left(site: PrivateSite) -> None:
    two_patients(site)
    before = {name: project.rows() for name, project in site.simulator.projects.items()}
    record = next(name for name, row in site.autoid_rows().items() if row.key == key_of(ADA))
    places, folders, _ = site.forget_patients(ADA).external_copies
    assert sorted((place.project, place.record_id, place.instance or 0) for place in places) == [
        ("autoid", record, 0),
        ("coupling", "7", 0),
        ("incoming", "1.1", 0),
        ("incoming", "1.1", 1),
        ("incoming", "1.1", 2),
        ("incoming", "1.2", 0),
        ("incoming", "1.2", 1),
    ]
    assert folders == ["1.1", "1.2"]
    assert {name: project.rows() for name, project in site.simulator.projects.items()} == before


def test_runs_go_on_and_write_of_whom_was_forgotten_only_that_nothing_is_to_be_sent(
    site: PrivateSite,
) -> None:
    two_patients(site)
    others = site.transfers("1.3")
    site.forget_patients(ADA)
    assert site.run().attention == {"unusable coupling entry": 1}
    assert {study: site.transfers(study) for study in ("1.1", "1.2", "1.3")} == {"1.1": {}, "1.2": {}, "1.3": others}
    head = site.head()
    site.run()
    assert site.head() == head
    site.assert_sound()


def test_what_was_requested_of_the_forgotten_is_told_and_decided_by_hand(site: PrivateSite) -> None:
    two_patients(site)
    ended = [tuple(row) for row in site.query("select study, project from gateway.transfer where study <> '1.3'")]
    done = site.forget_patients(ADA)
    assert sorted((each.study, each.project) for each in done.requests) == sorted(ended)
    told = [(each["project"], each["event_name"], each["by"], each["reason"]) for each in site.events("DecidedByHand")]
    assert sorted(told) == sorted((project, None, "operator", REASON) for _, project in ended)
    assert {each["reason"] for each in site.events("TransferRetracted")} == {"the patient was forgotten"}


def test_what_was_sent_is_closed_so_that_it_is_not_sent_again(site: PrivateSite) -> None:
    two_patients(site)
    (instance,) = site.transfers("1.2")
    site.sender_sends("1.2", instance)
    site.forget_patients(ADA)
    site.run()
    assert site.transfers("1.2") == {instance: Asked(HEART, "", sent=True)}
    assert site.attention() == {"retracted after it was sent": 1, "unusable coupling entry": 1}


def test_what_cannot_be_ended_yet_is_shown_until_it_is(site: PrivateSite) -> None:
    two_patients(site)
    site.incoming.lock("1.1")
    site.forget_patients(ADA)
    site.run()
    assert site.attention()["not ended yet"] == 2
    site.incoming.unlock("1.1")
    site.clock.advance(3600)
    site.run()
    assert "not ended yet" not in site.attention()
    assert {asked.name for asked in site.transfers("1.1").values()} <= {""}


def test_what_is_held_is_given_up_and_nothing_asks_for_it_again(site: PrivateSite) -> None:
    site.series("1.1", PatientID=ADA, PatientName=ADAS_NAME, AccessionNumber="ACC-A")
    site.entry("7", accession="ACC-A", project=BRAIN, subject="ADA-1")
    site.run()
    assert site.attention() == {"pseudonym does not fit": 1}
    site.forget_patients(ADA)
    site.series("1.1", "1.1.2", PatientID="", PatientName="", AccessionNumber="ACC-A")
    site.run()
    assert (site.attention(), site.transfers("1.1")) == ({"unusable coupling entry": 1}, {})


def test_who_couples_a_forgotten_patients_study_later_asks_anew(site: PrivateSite) -> None:
    two_patients(site)
    site.forget_patients(ADA)
    site.run()
    site.entry("8", study="1.1", project=BRAIN, subject="B-0042")
    site.run()
    assert Asked(BRAIN, "B-0042") in site.transfers("1.1").values()


def test_a_request_that_was_not_placed_yet_is_retracted(site: PrivateSite) -> None:
    site.rule(patient_id=ADA, project=BRAIN)
    site.series("1.1", PatientID=ADA)
    site.run_killed_before_import()
    assert site.states("1.1") == ["requested"]
    site.forget_patients(ADA)
    site.run()
    assert (site.states("1.1"), site.transfers("1.1")) == (["withdrawn"], {})
    assert "study_patient_id" not in site.study_row("1.1")
    site.assert_sound()


def test_the_row_of_a_request_whose_import_was_not_confirmed_is_ended(site: PrivateSite) -> None:
    """It is in REDCap, and the ledger does not know: nobody could recognise it any more when it is sent."""
    site.rule(patient_id=ADA, project=BRAIN)
    site.series("1.1", PatientID=ADA)
    site.simulator.inject(Fault(kind="reset", project="incoming", action="import", after_commit=True))
    with pytest.raises(ServiceError):
        site.run()
    assert site.states("1.1") == ["requested"]
    site.forget_patients(ADA)
    site.run()
    assert list(site.transfers("1.1").values()) == []


def test_who_comes_back_after_being_forgotten_is_somebody_new(site: PrivateSite) -> None:
    two_patients(site)
    earlier = site.query("select subject from ledger.event where stream = 'study/1.2' and subject is not null")
    site.forget_patients(ADA)
    for record in [name for name, row in site.autoid_rows().items() if row.key == key_of(ADA)]:
        site.autoid.delete(record)
    old = site.requested("1.3")
    site.study("1.9", ADA, PatientName=ADAS_NAME)
    site.run()
    later = site.query("select subject from ledger.event where stream = 'study/1.9' and subject is not null")
    assert not set(earlier) & set(later)
    assert site.id_of(ADA) == site.requested("1.9") != old
    assert site.forget_patients(ADA).destroyed == 2
    assert site.finds(traces(ADA, ADAS_NAME)) == set()


def test_a_study_to_which_a_forgotten_patient_comes_back_is_judged_by_what_can_be_read(site: PrivateSite) -> None:
    two_patients(site)
    site.forget_patients(ADA)
    site.series("1.2", "1.2.77", PatientID=ADA, PatientName=ADAS_NAME)
    site.run()
    with site.gateway() as gateway, gateway.begin() as work:
        (evidence,) = gather(work, ["1.2"], FROM_THE_BEGINNING, with_identities=True)
    assert [(each.patient_id, each.patient_name) for each in evidence.gained if each.patient_id] == [(ADA, ADAS_NAME)]


def test_an_id_of_a_forgotten_patient_is_never_anybody_elses(site: PrivateSite) -> None:
    site.project(pattern="H-[0-9]")
    site.study("1.0", ADA)
    site.run()
    taken = site.requested("1.0")
    site.forget_patients(ADA)
    for record in list(site.autoid_rows()):
        site.autoid.delete(record)
    for number in range(9):
        site.study(f"2.{number}", f"OTHER-{number}")
    site.run()
    assert taken not in {site.requested(f"2.{number}") for number in range(9)}
    assert taken in site.used()


def test_a_forgotten_patients_entry_that_is_left_in_autoid_raises_no_alarm(site: PrivateSite) -> None:
    """It used to be read as a new patient who claims an ID in use."""
    two_patients(site)
    mine = site.requested("1.2")
    site.forget_patients(ADA)
    site.study("1.8", "SOMEBODY-ELSE")
    assert site.run().attention == {"unusable coupling entry": 1}
    assert site.finds({key_of(ADA)}) == set()
    assert site.requested("1.8") != mine


def test_nor_does_a_second_entry_of_the_same_patient(site: PrivateSite) -> None:
    """It used to be taken for another patient's, who contradicts the ledger."""
    for record in ("3", "4"):
        site.give(record, ADA, "H-0042")
    site.study("1.1", ADA)
    site.run()
    site.forget_patients(ADA)
    site.study("1.8", "SOMEBODY-ELSE")
    assert site.run().attention == {}
    assert site.finds({key_of(ADA)}) == set()


def test_that_somebody_else_is_given_a_forgotten_patients_id_is_still_noticed(site: PrivateSite) -> None:
    site.study("1.1", ADA)
    site.run()
    site.forget_patients(ADA)
    site.give("77", GRACE, site.requested("1.1"))
    site.study("1.3", GRACE)
    assert site.run().attention == {"contradiction in AutoID": 1, "held study": 1}
    assert site.transfers("1.3") == {}


def test_a_study_of_two_patients_forgets_the_pseudonym_with_either(site: PrivateSite) -> None:
    """It used to be sealed for the first patient only, whatever it said about the second."""
    site.entry(study="1.1", subject="B-7312", project=BRAIN)
    site.series("1.1", "1.1.1", PatientID=ADA, PatientName=ADAS_NAME)
    site.series("1.1", "1.1.2", PatientID=GRACE, PatientName=GRACES_NAME)
    site.run()
    assert site.transfers("1.1") == {1: Asked(BRAIN, "B-7312")}
    site.forget_patients(GRACE)
    assert site.finds(traces(GRACE, GRACES_NAME, "B-7312")) == set()
    assert site.finds({ADA, ADAS_NAME}) == {ADA, ADAS_NAME}
    site.run()
    site.assert_sound()


def test_a_study_that_is_its_patients_only_one_is_forgotten_with_the_patient(site: PrivateSite) -> None:
    two_patients(site)
    done = site.forget_study("1.3")
    assert done.data_subjects[0].studies == ("1.3",)
    assert site.finds(traces(GRACE, GRACES_NAME)) == set()
    assert site.finds({ADA, ADAS_NAME}) == {ADA, ADAS_NAME}
    assert site.events("SubjectForgotten")[0]["name"] == "1.3"


def test_a_study_of_a_patient_with_others_is_refused_and_nothing_changes(site: PrivateSite) -> None:
    two_patients(site)
    head = site.head()
    with pytest.raises(ConfigurationError, match=r"cannot be forgotten alone.*1 more.*--patient-id-stdin"):
        site.forget_study("1.2")
    assert (site.head(), site.finds({ADA})) == (head, {ADA})


def test_a_study_without_a_patient_id_is_forgotten_alone(site: PrivateSite) -> None:
    site.series("1.1", PatientID="", PatientName=ADAS_NAME)
    site.series("1.2", PatientID="", PatientName=GRACES_NAME)
    site.run()
    site.forget_study("1.1")
    assert site.finds({ADAS_NAME, GRACES_NAME}) == {GRACES_NAME}


def test_a_study_with_a_placeholder_is_forgotten_alone_and_not_by_it(site: PrivateSite) -> None:
    site.give("1", "UNKNOWN", "H-0001")
    site.study("1.1", "UNKNOWN", PatientName=ADAS_NAME)
    site.study("1.2", "UNKNOWN", PatientName=GRACES_NAME)
    site.run()
    with pytest.raises(UnknownDataSubject, match="a placeholder"):
        site.forget_patients("0000")
    site.forget_study("1.1", reason="case 0, patient unknown")
    left = "".join(site.unsealed())
    assert (ADAS_NAME in left, GRACES_NAME in left) == (False, True)


def test_what_was_sealed_before_it_was_called_a_placeholder_is_forgotten_by_it(site: PrivateSite) -> None:
    site.study("1.1", "PHANTOM", PatientName=ADAS_NAME)
    site.run()
    site.placeholders = ("PHANTOM",)
    site.forget_patients("PHANTOM")
    assert not any(part in "".join(site.unsealed()) for part in (ADAS_NAME, "PHANTOM"))
    assert site.query("select subject from ledger.subject where kind = 'link' and wrapped_key is not null") == []


def test_that_two_names_came_under_one_patient_id_is_shown_until_the_patient_is_forgotten(site: PrivateSite) -> None:
    site.series("1.1", PatientID=ADA, PatientName=ADAS_NAME)
    site.series("1.2", PatientID=ADA, PatientName=GRACES_NAME)
    site.run()
    assert site.attention() == {"one PatientID, two names": 1}
    site.forget_patients(ADA)
    site.run()
    assert site.attention() == {}
    site.series("1.3", PatientID=ADA, PatientName="Turing^Alan")
    site.run()
    assert site.attention() == {}


def test_a_study_that_was_forgotten_before_leaves_nothing_to_do(site: PrivateSite) -> None:
    two_patients(site)
    site.forget_study("1.3")
    head = site.head()
    again = site.forget_study("1.3")
    assert (again.destroyed, again.positions, site.head()) == (0, [], head)


def test_after_a_projects_links_are_forgotten_its_ids_stay_in_use(site: PrivateSite) -> None:
    two_patients(site)
    ids = site.used()
    assert site.finds({key_of(ADA), key_of(GRACE)}) == {key_of(ADA), key_of(GRACE)}
    done = site.forget_project(HEART)
    assert done.destroyed == 2
    assert site.finds({key_of(ADA), key_of(GRACE)}) == set()
    assert site.finds({ADA, GRACE}) == {ADA, GRACE}
    assert site.used() == ids
    assert {place.project for place in done.external_copies.rows} == {"autoid"}
    assert site.run().attention == {}
    site.assert_sound()


def test_after_that_a_patient_who_comes_back_gets_a_new_id(site: PrivateSite) -> None:
    two_patients(site)
    old = site.requested("1.3")
    site.forget_project(HEART)
    for record in list(site.autoid_rows()):
        site.autoid.delete(record)
    site.study("1.9", GRACE)
    site.run()
    assert site.requested("1.9") == site.id_of(GRACE) != old


def test_a_project_that_was_forgotten_before_leaves_nothing_to_do(site: PrivateSite) -> None:
    two_patients(site)
    site.forget_project(HEART)
    head = site.head()
    assert (site.forget_project(HEART).destroyed, site.head()) == (0, head)


def test_links_of_many_patients_are_told_in_portions(site: PrivateSite) -> None:
    for number in range(1_001):
        site.give(str(number + 1), f"P-{number}", f"H-{number:04}")
    site.study("1.1", "P-0")
    site.run()
    assert site.forget_project(HEART).destroyed == 1_001
    assert [len(event["subjects"]["link"]) for event in site.events("SubjectForgotten")] == [1_000, 1]


@pytest.mark.parametrize("given", [["NOBODY"], [ADA, "NOBODY"], [ADA, "   "], [ADA, ""]])
def test_of_a_list_with_somebody_unknown_nobody_is_forgotten(site: PrivateSite, given: list[str]) -> None:
    two_patients(site)
    head = site.head()
    with pytest.raises(ConfigurationError, match=f"^Line {len(given)} of the input.*Nothing was changed") as caught:
        site.forget_patients(*given)
    assert ADA not in str(caught.value)
    assert (site.head(), site.finds({ADA})) == (head, {ADA})


def test_unknown_studies_and_projects_are_said_to_be_so(site: PrivateSite) -> None:
    two_patients(site)
    with pytest.raises(UnknownDataSubject, match=r"no study '9\.9'"):
        site.forget_study("9.9")
    with pytest.raises(UnknownDataSubject, match="no auto-ID project 'NONE'"):
        site.forget_project("NONE")


def test_a_patient_whom_only_autoid_knows_is_forgotten_too(site: PrivateSite) -> None:
    site.give("3", ADA, "H-0042")
    site.study("1.3", GRACE)
    site.run()
    done = site.forget_patients(ADA)
    assert done.external_copies.rows == [RedcapCopy("autoid", "3", None, "a patient's hash and ID")]
    assert site.finds({key_of(ADA)}) == set()


def test_a_patient_id_counts_to_the_letter_and_its_likes_are_mentioned(site: PrivateSite) -> None:
    site.series("1.1", PatientID="P1")
    site.series("1.2", PatientID="P1 ")
    site.run()
    (owner,) = site.forget_patients("P1").data_subjects
    assert (owner.alike, owner.studies) == (True, ("1.1",))
    with pytest.raises(UnknownDataSubject, match="does know line 1 with other blanks"):
        site.forget_patients(" P1")
    (owner,) = site.forget_patients("P1 ").data_subjects
    assert (owner.alike, owner.studies) == (False, ("1.2",))


@pytest.mark.parametrize("reason", ["", "  ", f"{ADA} asked for it", f"asked by {ADA.lower()}."])
def test_a_reason_that_says_nothing_or_names_the_patient_is_refused(site: PrivateSite, reason: str) -> None:
    two_patients(site)
    with pytest.raises(ConfigurationError, match="--reason"):
        site.forget_patients(ADA, reason=reason)
    assert site.finds({ADA}) == {ADA}


def test_the_reason_for_forgetting_a_study_may_not_name_its_patient(site: PrivateSite) -> None:
    two_patients(site)
    with pytest.raises(ConfigurationError, match="--reason holds"):
        site.forget_study("1.3", reason=f"{GRACES_NAME} asked for it")


def test_a_held_study_of_a_forgotten_patient_is_held_no_longer(site: PrivateSite) -> None:
    site.project(pattern="H-[0-9]")
    for number in range(11):
        site.study(f"1.{number}", f"P-{number}")
    site.run()
    ((held, _reason),) = site.held().items()
    site.forget_patients(f"P-{held.removeprefix('1.')}")
    site.run()
    assert site.held() == {}


def test_where_somebody_holds_the_table_it_is_not_written_anew(site: PrivateSite) -> None:
    two_patients(site)
    with site.gateway() as reader, reader.begin() as work:
        work.execute(text("select count(*) from ledger.subject"))
        with site.gateway() as gateway:
            assert not compact(gateway.database, patience_seconds=0.05)


def test_what_needs_no_key_works_without_one(site: PrivateSite) -> None:
    def no_key() -> Vault:
        raise KeyProblem("nobody here may read it")

    two_patients(site)
    with site.gateway() as gateway:
        gateway.vault = cast("Vault", no_key)
        assert status(gateway).totals.studies == 3
        gateway.catch_up()
        with gateway.begin() as work:
            assert len(list(store.read(work.connection))) == site.head()


def test_an_entry_whose_number_was_forgotten_is_listed_until_it_is_changed(site: PrivateSite) -> None:
    """Another patient's study of the number was not requested, and nobody was told."""
    site.series("1.1", PatientID=ADA, PatientName=ADAS_NAME, AccessionNumber="ACC-A")
    site.entry("7", accession="ACC-A", project=BRAIN, subject="ADA-1")
    site.entry("8", study="1.1", project=TEACHING, subject="T-7311")
    site.run()
    assert _unusable(site) == []
    site.forget_patients(ADA)
    site.series("1.2", PatientID=GRACE, PatientName=GRACES_NAME, AccessionNumber="ACC-A")
    site.run()
    assert site.transfers("1.2") == {}
    assert _unusable(site) == [("7",)]
    site.entry("7", study="1.2", project=BRAIN, subject="B-0042")
    site.run()
    assert _unusable(site) == []
    assert site.transfers("1.2") == {1: Asked(BRAIN, "B-0042")}


def _unusable(site: PrivateSite) -> list[tuple[str]]:
    return site.query("select subject from audit.attention where kind = 'unusable coupling entry'")
