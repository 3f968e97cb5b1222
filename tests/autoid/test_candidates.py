"""Which studies get an ID, and which are none of this program's business."""

import pytest

from processors.errors import ConfigurationError
from tests.autoid.conftest import MakeSite
from tests.autoid.sites import AETITLE, IDLE, AutoidSite
from tests.flow.harness import BRAIN, HEART, Asked


def arrived_without_a_project(site: AutoidSite) -> None:
    """A study that is in the ledger before anybody wants an ID for it."""
    site.remove_project()
    site.study("1.2.1")
    site.run()


@pytest.mark.parametrize(("days", "given"), [(13.9, True), (14.1, False)])
def test_a_study_is_given_an_id_within_fourteen_days_of_its_arrival(
    site: AutoidSite,
    days: float,
    given: bool,  # noqa: FBT001 - the answer in a table
) -> None:
    arrived_without_a_project(site)
    site.project()
    site.days_go_by(days)
    site.run()
    assert bool(site.transfers("1.2.1")) is given


def test_the_window_is_the_configurations(site: AutoidSite) -> None:
    arrived_without_a_project(site)
    site.window_days = 30
    site.project()
    site.days_go_by(29)
    site.run()
    assert site.requested("1.2.1") == site.id_of("PID-1")


def test_what_counts_is_when_a_study_arrived_and_not_when_it_grew(site: AutoidSite) -> None:
    arrived_without_a_project(site)
    site.days_go_by(15)
    site.grow("1.2.1")
    site.project()
    site.run()
    assert site.transfers("1.2.1") == {}


def test_import_all_drops_the_window_for_its_project_alone(site: AutoidSite) -> None:
    arrived_without_a_project(site)
    site.study("1.2.2", called="BRAIN")
    site.run()
    site.days_go_by(400)
    site.project("1")
    site.project("2", name=BRAIN, pattern="B[0-9]{3}", aetitle="BRAIN")
    site.run(all_of=HEART)
    assert site.requested("1.2.1") == site.id_of("PID-1")
    assert site.transfers("1.2.2") == {}


@pytest.mark.parametrize("name", ["NOSUCH", "", " ", HEART.lower()])
def test_import_all_of_a_project_that_takes_no_part_is_refused(site: AutoidSite, name: str) -> None:
    """A misspelt name used to pass for a project without old studies."""
    site.project("2", name=BRAIN, pattern="B[0-9]{3}", aetitle="BRAIN")
    site.project("3", name="Third", use=False)
    site.project("4", name="", aetitle="NAMELESS")
    with pytest.raises(ConfigurationError) as raised:
        site.run(all_of=name)
    expected = f"Expected a project that takes part in auto-ID ({BRAIN}, {HEART}), found {name!r}."
    assert str(raised.value) == expected


def test_import_all_knows_a_project_that_was_made_just_now(site: AutoidSite) -> None:
    site.run()
    site.project("2", name=BRAIN, pattern="B[0-9]{3}", aetitle="BRAIN")
    site.run(all_of=BRAIN)


def test_a_held_study_waits_for_as_long_as_it_takes(site: AutoidSite) -> None:
    """It used to stay on the list, promised an ID, and be passed over once its window was over."""
    site.project(pattern="H-1")
    site.study("1.2.1", "PID-1")
    site.study("1.2.2", "PID-2")
    site.run()
    site.days_go_by(40)
    site.project(pattern="H-[12]")
    site.run()
    assert (site.requested("1.2.2"), site.held()) == ("H-2", {})


@pytest.mark.parametrize("called", ["heart", "HEART2", "XHEART", "", "HE ART"])
def test_the_ae_title_must_be_the_same_to_the_letter(site: AutoidSite, called: str) -> None:
    site.study("1.2.1", called=called)
    site.run()
    assert (site.transfers("1.2.1"), site.held()) == ({}, {})


def test_padding_around_ae_titles_does_not_count(site: AutoidSite) -> None:
    site.project(aetitle=f" {AETITLE} ")
    site.study("1.2.1", called=f"{AETITLE} \x00")
    site.run()
    assert site.requested("1.2.1") == site.id_of("PID-1")


@pytest.mark.parametrize("lacking", [{"use": False}, {"pattern": ""}, {"pattern": "  "}, {"aetitle": ""}])
def test_a_project_that_does_not_ask_for_ids_gets_none(site: AutoidSite, lacking: dict[str, str]) -> None:
    site.project(**lacking)  # type: ignore[arg-type]
    site.study("1.2.1")
    site.study("1.2.2", called="")
    site.run()
    assert (site.transfers("1.2.1"), site.transfers("1.2.2"), site.attention()) == ({}, {}, {})


def test_a_coupled_study_gets_no_id(site: AutoidSite) -> None:
    site.entry(study="1.2.1", subject="C-1", project=BRAIN)
    site.study("1.2.1")
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(BRAIN, "C-1")}
    assert site.used() == {}


def test_a_routed_study_gets_no_id(site: AutoidSite) -> None:
    site.rule(project=BRAIN, called=AETITLE, patient_id="PID-1")
    site.study("1.2.1")
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(BRAIN, "PID-1")}
    assert site.used() == {}


def test_a_study_that_a_person_has_requested_gets_no_id_and_is_noted(site: AutoidSite) -> None:
    site.person_requests("1.2.1", BRAIN, "B-77")
    site.study("1.2.1")
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(BRAIN, "B-77")}
    assert (site.used(), [event["study"] for event in site.events("TransferObserved")]) == ({}, ["1.2.1"])


def test_a_study_that_a_person_has_requested_is_asked_about_once(site: AutoidSite) -> None:
    site.person_requests("1.2.1", BRAIN, "B-77")
    site.study("1.2.1")
    site.run()
    site.run()
    assert site.asked() == IDLE
    assert site.count("TransferObserved") == 1


def test_a_persons_request_counts_in_a_transfers_project_of_its_own(make_site: MakeSite) -> None:
    site = make_site(separate_transfers=True)
    site.project()
    site.person_requests("1.2.1", BRAIN, "B-77")
    site.study("1.2.1")
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(BRAIN, "B-77")}
    assert site.used() == {}


def test_many_waiting_studies_are_looked_up_in_few_calls(site: AutoidSite) -> None:
    for number in range(60):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.person_requests("1.2.33", BRAIN, "B-77")
    site.run()
    assert site.asked() <= 19
    assert len(site.autoid_rows()) == 59


def test_a_study_whose_coupling_was_withdrawn_gets_its_id(site: AutoidSite) -> None:
    """It used to be lost: coupled by mistake, withdrawn before it was sent, and then wanted by nobody."""
    site.entry(study="1.2.1", subject="H-9001")
    site.study("1.2.1")
    site.run()
    site.entry(study="9.9.9", subject="H-9001")
    site.run()
    assert site.states("1.2.1") == ["withdrawn", "placed"]
    (asked,) = [asked for asked in site.transfers("1.2.1").values() if asked.name]
    assert asked == Asked(HEART, site.id_of("PID-1"))


def test_a_study_whose_coupling_was_withdrawn_after_it_was_sent_gets_no_id(site: AutoidSite) -> None:
    site.entry(study="1.2.1", subject="H-9001")
    site.study("1.2.1")
    site.run()
    site.sender_sends("1.2.1", 1)
    site.entry(study="9.9.9", subject="H-9001")
    site.run()
    site.run()
    assert site.states("1.2.1") == ["closed"]
    assert site.transfers("1.2.1") == {1: Asked(HEART, "", sent=True)}
    assert site.used() == {}


def test_a_study_that_grows_after_its_request_is_not_requested_again(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.run()
    site.grow("1.2.1")
    site.series("1.2.1", "1.2.1.2", called=AETITLE)
    site.run()
    assert site.count("TransferRequested") == 1
    assert site.requested("1.2.1") == site.id_of("PID-1")


def test_the_request_says_which_id_it_was_made_for(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.run()
    (request,) = site.events("TransferRequested")
    ((type_,),) = site.query("select type from ledger.event where position = :at", at=request["cause"]["position"])
    assert (request["cause"]["kind"], request["cause"]["record_id"], type_) == ("autoid", "1", "IdGenerated")
    assert request["event_name"] == ""


def test_auto_id_alone_serves_studies_that_are_known(site: AutoidSite) -> None:
    arrived_without_a_project(site)
    site.project()
    site.study("1.2.2")
    site.run(only_autoid=True)
    assert site.requested("1.2.1") == site.id_of("PID-1")
    assert site.transfers("1.2.2") == {}
