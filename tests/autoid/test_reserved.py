"""An ID that a transfer request of the project already carries is never drawn, whoever made the request."""

import pytest

from processors.demo.simulator import Fault
from processors.errors import ServiceError
from tests.autoid.conftest import MakeSite
from tests.autoid.sites import EXHAUSTED, AutoidSite
from tests.flow.harness import BRAIN, HEART


def test_an_id_that_a_person_has_given_is_not_drawn(site: AutoidSite) -> None:
    site.project(pattern="H-[1-3]")
    site.person_requests("9.9.1", HEART, "H-1")
    site.person_requests("9.9.2", HEART, " H-3 ", event="baseline")
    site.study("1.2.1")
    site.run()
    assert site.requested("1.2.1") == "H-2"
    assert site.used() == {"H-1": "reserved", "H-2": "generated", "H-3": "reserved"}


def test_an_id_given_by_a_person_between_two_runs_is_not_drawn(site: AutoidSite) -> None:
    site.project(pattern="H-[1-3]")
    site.study("1.2.1", "PID-1")
    site.run()
    taken = next(value for value in ("H-1", "H-2", "H-3") if value not in site.used())
    site.person_requests("9.9.1", HEART, taken)
    site.study("1.2.2", "PID-2")
    site.run()
    assert {site.id_of("PID-1"), site.id_of("PID-2"), taken} == {"H-1", "H-2", "H-3"}


def test_an_id_that_a_person_gave_in_another_project_is_free(site: AutoidSite) -> None:
    site.project(pattern="H-1")
    site.person_requests("9.9.1", BRAIN, "H-1")
    site.study("1.2.1")
    site.run()
    assert site.requested("1.2.1") == "H-1"


def test_a_persons_request_in_a_transfers_project_of_its_own_counts(make_site: MakeSite) -> None:
    site = make_site(separate_transfers=True)
    site.project(pattern="H-[1-2]")
    site.person_requests("9.9.1", HEART, "H-1")
    site.study("1.2.1")
    site.run()
    assert site.requested("1.2.1") == "H-2"


def test_a_name_that_the_pattern_does_not_give_is_not_written_down(site: AutoidSite) -> None:
    """It may be a patient's: people and rules use names as pseudonyms."""
    site.person_requests("9.9.1", HEART, "Doe^Jane^Secret")
    site.study("1.2.1")
    site.run()
    assert "Doe^Jane^Secret" not in site.everything_stored()


def test_when_the_pattern_changes_older_requests_are_looked_at_again(site: AutoidSite) -> None:
    site.person_requests("9.9.1", HEART, "K-1")
    site.study("1.2.1", "PID-1")
    site.run()
    site.clock.advance(3 * 86_400)
    site.project(pattern="K-[1-2]")
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.requested("1.2.2") == "K-2"


def test_an_id_that_the_coupling_list_gave_is_not_drawn(site: AutoidSite) -> None:
    site.project(pattern="H-[1-2]")
    site.entry(study="1.2.1", subject="H-1")
    site.study("1.2.1", "PID-1")
    site.study("1.2.2", "PID-2")
    site.run()
    assert (site.requested("1.2.1"), site.requested("1.2.2")) == ("H-1", "H-2")


def refuse_transfers_of(site: AutoidSite, study: str) -> None:
    """REDCap refuses whatever names this record: a person has locked it."""
    site.incoming.lock(study)


@pytest.mark.parametrize("by", ["coupling", "rule"])
def test_an_id_is_not_drawn_that_a_request_of_ours_carries_which_redcap_has_not_taken(
    site: AutoidSite, by: str
) -> None:
    """Only REDCap used to be asked."""
    site.project(pattern="H-[1-2]")
    if by == "coupling":
        site.entry(study="1.2.1", subject="H-1")
        site.study("1.2.1", "PID-1", called="ELSEWHERE")
    else:
        site.rule(called="ELSEWHERE", patient_id="H-1")
        site.study("1.2.1", "H-1", called="ELSEWHERE")
    refuse_transfers_of(site, "1.2.1")
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.transfers("1.2.1") == {}
    assert site.states("1.2.1") == ["requested"]
    assert site.requested("1.2.2") == "H-2"


def test_all_ids_on_their_way_are_exhausted_ones(site: AutoidSite) -> None:
    site.project(pattern="H-1")
    site.entry(study="1.2.1", subject="H-1")
    site.study("1.2.1", "PID-1", called="ELSEWHERE")
    refuse_transfers_of(site, "1.2.1")
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.held() == {"1.2.2": EXHAUSTED}


def test_requests_of_other_projects_on_their_way_reserve_nothing(site: AutoidSite) -> None:
    site.project(pattern="H-1")
    site.entry(study="1.2.1", subject="H-1", project=BRAIN)
    site.study("1.2.1", "PID-1", called="ELSEWHERE")
    refuse_transfers_of(site, "1.2.1")
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.requested("1.2.2") == "H-1"


def test_the_first_look_reads_all_requests_and_later_ones_what_has_changed(site: AutoidSite) -> None:
    for number in range(30):
        site.person_requests(f"9.9.{number}", HEART, f"H-{number:04}")
    site.study("1.2.1", "PID-1")
    site.run()
    site.clock.advance(3 * 86_400)
    site.person_requests("9.9.99", HEART, "H-0099")
    site.study("1.2.2", "PID-2")
    site.run()
    looks = [call.records for call in site.calls if "transfer_name" in call.fields and call.action == "export"]
    assert min(looks) <= 3  # of 33 records: the person's, ours of this run; the delivery asks for ours alone
    assert site.used()["H-0099"] == "reserved"


def test_a_look_that_fails_ends_the_run_before_anything_is_drawn(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.simulator.inject(Fault(kind="status", project="projects", times=None))
    with pytest.raises(ServiceError):
        site.run()
    site.simulator.clear_faults()
    # The first export is for the requests of the waiting study, the second for everybody's.
    site.simulator.inject(
        Fault(kind="status", project="incoming", content="record", action="export", nth=2, times=None)
    )
    with pytest.raises(ServiceError):
        site.run(only_autoid=True)
    assert [call.action for call in site.calls if (call.project, call.content) == ("autoid", "record")] == ["export"]
    assert site.count("IdGenerated") == 0
