"""Studies that cannot get an ID are held with the reason, shown to everybody, and released when it goes."""

import pytest

from processors.demo.simulator import Fault
from tests.autoid.conftest import MakeSite
from tests.autoid.sites import AETITLE, EXHAUSTED, IDLE, NO_PATIENT_ID, PROJECT_UNUSABLE, AutoidSite
from tests.flow.harness import BRAIN, HEART, Asked

BLANK = [None, "", "   ", "\t \n", "\u00a0\u2003", "\x00\x00"]


@pytest.mark.parametrize("patient_id", BLANK)
def test_a_study_without_patient_id_is_held(site: AutoidSite, patient_id: str | None) -> None:
    site.study("1.2.1", patient_id)
    site.run()
    assert site.held() == {"1.2.1": NO_PATIENT_ID}
    assert (site.transfers("1.2.1"), site.used(), site.autoid_rows()) == ({}, {}, {})


def test_studies_without_patient_id_are_never_merged(site: AutoidSite) -> None:
    for number, patient_id in enumerate(BLANK):
        site.study(f"1.2.{number}", patient_id)
    site.study("1.2.99", "PID-1")
    report = site.run()
    assert len(site.held()) == len(BLANK)
    assert report.needs_attention
    assert site.requested("1.2.99") == site.id_of("PID-1")
    assert len(site.autoid_rows()) == 1


def test_a_study_that_has_got_its_patient_id_gets_its_id(site: AutoidSite) -> None:
    site.study("1.2.1", "")
    site.run()
    site.series("1.2.1", PatientID="PID-1")
    site.run()
    assert (site.held(), site.requested("1.2.1")) == ({}, site.id_of("PID-1"))


def test_two_projects_with_one_ae_title_hold_its_studies_until_that_is_mended(site: AutoidSite) -> None:
    site.project("2", name=BRAIN, pattern="B[0-9]{3}")
    site.study("1.2.1")
    site.run()
    assert site.held() == {"1.2.1": PROJECT_UNUSABLE}
    assert site.attention() == {"held study": 1, "unusable auto-ID project": 2}
    assert site.transfers("1.2.1") == {}
    site.project("2", name=BRAIN, pattern="B[0-9]{3}", aetitle="BRAIN")
    site.run()
    assert (site.attention(), site.requested("1.2.1")) == ({}, site.id_of("PID-1"))


def test_the_other_of_two_projects_may_keep_the_ae_title(site: AutoidSite) -> None:
    site.project("2", name=BRAIN, pattern="B[0-9]{3}")
    site.study("1.2.1")
    site.run()
    site.project("1", use=False)
    site.run()
    assert (site.attention(), site.requested("1.2.1", project=BRAIN)) == ({}, site.id_of("PID-1", project=BRAIN))


def test_other_projects_go_on_beside_two_with_one_ae_title(site: AutoidSite) -> None:
    site.project("2", name=BRAIN, pattern="B[0-9]{3}")
    site.project("3", name="Third", pattern="T[0-9]{3}", aetitle="THIRD")
    site.study("1.2.1")
    site.study("1.2.3", called="THIRD")
    site.run()
    assert site.held() == {"1.2.1": PROJECT_UNUSABLE}
    assert site.requested("1.2.3", project="Third") == site.id_of("PID-1", project="Third")


@pytest.mark.parametrize("pattern", ["[0-9]{401}", "B-[0-9]{0,400}", "([ab]{201})\\1", "(a|[0-9]{401})"])
def test_a_pattern_of_ids_that_are_too_long_cannot_be_used(site: AutoidSite, pattern: str) -> None:
    """Our own row was somebody else's: it was cut where it was read, and its patient was held beside it."""
    site.project(pattern=pattern)
    site.study("1.2.1")
    site.run()
    assert (site.held(), site.attention()["unusable auto-ID project"]) == ({"1.2.1": PROJECT_UNUSABLE}, 1)
    ((details,),) = site.query("select details from audit.attention where kind = 'unusable auto-ID project'")
    assert "expected IDs of at most 400 characters" in details


@pytest.mark.parametrize("pattern", ["[0-9]{400}", "([ab]{200})\\1", "([0-9]{2}){0,200}"])
def test_ids_as_long_as_a_pseudonym_may_be_are_given(site: AutoidSite, pattern: str) -> None:
    site.project(pattern=pattern)
    site.study("1.2.1")
    site.run()
    site.run()
    site.study("1.2.2")
    site.run()
    assert site.requested("1.2.2") == site.requested("1.2.1") == site.id_of("PID-1")
    assert site.attention() == {}


@pytest.mark.parametrize("pattern", ["H-[0-9]*", "H-(", "H-(?=x)", "H-[^0-9]", "H-[9-0]"])
def test_a_pattern_that_cannot_be_used_holds_the_projects_studies(site: AutoidSite, pattern: str) -> None:
    site.project(pattern=pattern)
    site.study("1.2.1")
    site.run()
    assert site.held() == {"1.2.1": PROJECT_UNUSABLE}
    ((details,),) = site.query("select details from audit.attention where kind = 'unusable auto-ID project'")
    assert details.startswith("project_patient_naming cannot be used: expected ")
    site.project(pattern="H-[0-9]{4}")
    site.run()
    assert (site.attention(), site.requested("1.2.1")) == ({}, site.id_of("PID-1"))


def test_a_project_without_name_holds_its_studies(site: AutoidSite) -> None:
    site.project(name="")
    site.study("1.2.1")
    site.run()
    assert site.held() == {"1.2.1": PROJECT_UNUSABLE}


def test_a_held_study_that_is_coupled_by_hand_is_released(site: AutoidSite) -> None:
    site.study("1.2.1", "")
    site.run()
    site.entry(study="1.2.1", subject="H-9001")
    site.run()
    assert (site.held(), site.transfers("1.2.1")) == ({}, {1: Asked(HEART, "H-9001")})


@pytest.mark.parametrize("separate", [False, True], ids=["in incoming", "in a project of their own"])
def test_a_held_study_that_a_person_requests_in_redcap_is_released(make_site: MakeSite, separate: bool) -> None:  # noqa: FBT001 - a table
    """A study without PatientID used to stay on the list, whatever was done about it in REDCap."""
    site = make_site(separate_transfers=separate)
    site.project()
    site.study("1.2.1", "")
    site.run()
    site.person_requests("1.2.1", HEART, "H-9001")
    site.run_after_a_while()
    assert (site.held(), site.transfers("1.2.1")) == ({}, {1: Asked(HEART, "H-9001")})
    assert site.used() == {}


@pytest.mark.parametrize("how", ["removed", "switched off", "readdressed"])
def test_a_study_that_no_project_claims_any_more_is_released(site: AutoidSite, how: str) -> None:
    """It used to stay on the list for ever, waiting for a project that had given up."""
    site.project(pattern="H-[0-9]*")
    site.study("1.2.1")
    site.run()
    assert site.held() == {"1.2.1": PROJECT_UNUSABLE}
    if how == "removed":
        site.remove_project()
        site.run()
    else:
        site.project(pattern="H-[0-9]*", use=how != "switched off", aetitle="OTHER")
    site.run()
    assert site.held() == {}
    assert site.transfers("1.2.1") == {}


def test_a_held_study_whose_patient_is_forgotten_is_released(site: AutoidSite) -> None:
    site.project(pattern="H-1")
    site.study("1.2.1", "PID-1")
    site.study("1.2.2", "PID-2")
    site.run()
    (held,) = site.held()
    forget = """
        update ledger.subject set wrapped_key = null, lookup = null
         where subject in (select subject from ledger.event where stream = :stream)
    """
    with site._database.begin() as connection:
        connection.exec_driver_sql(forget.replace(":stream", f"'study/{held}'"))
    site.run()
    assert site.held() == {}


def test_why_a_study_is_held_is_told_once(site: AutoidSite) -> None:
    site.project(pattern="H-1")
    site.study("1.2.1", "")
    site.study("1.2.2", "PID-2")
    site.study("1.2.3", "PID-3")
    site.run()
    for _ in range(3):
        site.run_after_a_while()
    assert site.count("StudyHeld") == 2
    assert sorted(site.held().values()) == [EXHAUSTED, NO_PATIENT_ID]


def test_when_the_reason_changes_the_new_one_is_shown(site: AutoidSite) -> None:
    site.project(pattern="H-[0-9]*")
    site.study("1.2.1", "")
    site.run()
    site.project(pattern="H-[0-9]")
    site.run()
    assert site.held() == {"1.2.1": NO_PATIENT_ID}


def test_holding_costs_few_calls(site: AutoidSite) -> None:
    site.project("1", pattern="H-1")
    site.project("2", name=BRAIN, pattern="B[0-9]*", aetitle="BRAIN")
    site.study("1.2.1", "PID-1")
    site.study("1.2.2", "PID-2")
    site.study("1.2.3", "")
    site.study("1.2.4", "PID-4", called="BRAIN")
    site.run()
    assert len(site.held()) == 3
    for _ in range(5):
        site.run()
        assert site.asked() == IDLE


def test_studies_held_for_good_cost_one_call_more_now_and_then(site: AutoidSite) -> None:
    site.study("1.2.1", "")
    site.run()
    site.run_after_a_while()
    assert site.asked() == IDLE + 1


def test_what_was_held_for_a_passing_reason_is_tried_again_within_a_quarter_of_an_hour(site: AutoidSite) -> None:
    site.project(pattern="H-1")
    site.give("1", "OLD", "H-1")
    site.study("1.2.1")
    site.run()
    assert site.held() == {"1.2.1": EXHAUSTED}
    minutes = 0
    tried = False
    while not tried:
        minutes += 1
        site.run()
        tried = any(call.project == "autoid" for call in site.calls)
    assert 9 <= minutes <= 15


def test_a_run_in_which_redcap_fails_releases_nobody(site: AutoidSite) -> None:
    site.study("1.2.1", "")
    site.run()
    site.simulator.inject(Fault(kind="status", project="projects", times=None))
    with pytest.raises(Exception, match="500"):
        site.run()
    assert site.held() == {"1.2.1": NO_PATIENT_ID}


def test_a_held_study_of_another_site_is_left_to_it(site: AutoidSite) -> None:
    site.study("1.2.1", "")
    site.run()
    site.name = "other"
    site.series("9.9.9", called=AETITLE, PatientID="PID-9")
    site.run()
    assert site.held() == {"1.2.1": NO_PATIENT_ID}


def test_what_is_wrong_with_a_pattern_is_told_on_one_line(site: AutoidSite) -> None:
    """It quoted the pattern, which may hold what somebody typed into it, and stands on no page."""
    site.project(pattern="Ole-[0-9")
    site.run()
    found = "expected a closing ] for this set, found the end of the pattern (at character 5)"
    told = f"project_patient_naming cannot be used: {found}"
    assert site.query("select problems from gateway.autoid_project") == [([told],)]
    assert site.query("select details from audit.attention where kind = 'unusable auto-ID project'") == [(told,)]
