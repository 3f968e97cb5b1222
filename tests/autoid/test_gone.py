"""Studies that left the disk before they got an ID: held, with nothing drawn, until they are back."""

import pytest

from tests.autoid.sites import GONE, IDLE, NO_PATIENT_ID, PROJECT_UNUSABLE, AutoidSite
from tests.flow.harness import HEART

YEAR = 365 * 86_400


def gone_before_its_project(site: AutoidSite, patient_id: str = "PID-1") -> None:
    """A study that arrives and leaves before anybody wants an ID for it."""
    site.remove_project()
    site.study("1.2.1", patient_id)
    site.run()
    site.vanish("1.2.1")
    site.run()


def test_a_study_that_is_gone_is_held_with_nothing_drawn(site: AutoidSite) -> None:
    """It used to be passed over without a word, and to fall out of the window."""
    gone_before_its_project(site)
    site.project()
    report = site.run()
    assert site.held() == {"1.2.1": GONE}
    assert report.attention == {"held study": 1}
    assert (site.transfers("1.2.1"), site.used(), site.autoid_rows()) == ({}, {}, {})


@pytest.mark.parametrize("days", [1, 400])
def test_a_study_that_was_gone_gets_its_id_when_it_is_back(site: AutoidSite, days: int) -> None:
    gone_before_its_project(site)
    site.project()
    site.run()
    site.clock.advance(days * 86_400)
    site.come_back("1.2.1")
    site.run()
    assert (site.held(), site.requested("1.2.1")) == ({}, site.id_of("PID-1"))
    site.assert_sound()


def test_that_a_study_is_gone_is_told_once_and_costs_little(site: AutoidSite) -> None:
    gone_before_its_project(site)
    site.project()
    site.run()
    for _ in range(3):
        site.run_after_a_while()
        assert site.asked() == IDLE + 1
    assert site.count("StudyHeld") == 1


def test_an_old_study_that_is_gone_is_held_only_where_all_are_asked_for(site: AutoidSite) -> None:
    gone_before_its_project(site)
    site.days_go_by(365)
    site.project()
    site.run()
    assert site.held() == {}
    site.run(all_of=HEART)
    assert (site.held(), site.used()) == ({"1.2.1": GONE}, {})
    site.come_back("1.2.1")
    site.run()
    assert (site.held(), site.requested("1.2.1")) == ({}, site.id_of("PID-1"))


def test_a_study_that_leaves_while_it_is_held_is_told_as_gone_and_waits(site: AutoidSite) -> None:
    site.project(pattern="H-1")
    site.give("1", "OLD", "H-1")
    site.study("1.2.1")
    site.run()
    site.vanish("1.2.1")
    site.run_after_a_while()
    assert site.held() == {"1.2.1": GONE}
    site.project(pattern="H-[12]")
    site.run()
    assert site.held() == {"1.2.1": GONE}
    site.come_back("1.2.1")
    site.run()
    assert (site.held(), site.requested("1.2.1")) == ({}, "H-2")


def test_a_study_that_is_back_may_lack_other_things(site: AutoidSite) -> None:
    gone_before_its_project(site, "")
    site.project(pattern="H-[0-9]*")
    site.run()
    assert site.held() == {"1.2.1": PROJECT_UNUSABLE}
    site.project()
    site.run()
    assert site.held() == {"1.2.1": GONE}
    site.come_back("1.2.1")
    site.run()
    assert site.held() == {"1.2.1": NO_PATIENT_ID}


def test_a_study_that_leaves_after_its_request_is_nobodys_business(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.run()
    site.vanish("1.2.1")
    site.run()
    assert (site.held(), site.requested("1.2.1")) == ({}, site.id_of("PID-1"))
