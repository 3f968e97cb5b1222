"""What is missing from one export: nothing is drawn, held or released because of it."""

import pytest

from processors.errors import ConfigurationError
from tests.autoid.sites import AETITLE, PROJECT_UNUSABLE, AutoidSite, elsewhere
from tests.flow.harness import BRAIN, HEART, Asked

DAY = 86_400


def test_no_id_is_drawn_for_a_project_before_it_is_known_whether_it_is_gone(site: AutoidSite) -> None:
    site.run()
    with site.left_out("projects"):
        site.study("1.2.1")
        report = site.run()
        assert (site.used(), site.transfers("1.2.1"), report.attention) == ({}, {}, {})
    site.run()
    assert site.requested("1.2.1") == site.id_of("PID-1")
    assert site.count("AutoidProjectRemoved") == 0
    site.assert_sound()


def test_a_project_that_two_runs_miss_is_gone(site: AutoidSite) -> None:
    site.run()
    site.remove_project()
    site.study("1.2.1")
    for _ in range(3):
        site.run()
    assert (site.used(), site.count("AutoidProjectDoubted"), site.count("AutoidProjectRemoved")) == ({}, 1, 1)


def test_a_held_study_is_not_released_because_its_project_was_left_out_once(site: AutoidSite) -> None:
    site.study("1.2.1", "")
    site.run()
    with site.left_out("projects"):
        site.run()
        assert site.count("StudyReleased") == 0
        site.run()
        assert site.count("StudyReleased") == 1


def test_the_window_does_not_close_while_a_project_is_missing(site: AutoidSite) -> None:
    site.run()
    with site.left_out("projects"):
        site.study("1.2.1")
        site.run()
    site.run(after=15 * DAY)
    assert site.requested("1.2.1") == site.id_of("PID-1")


def test_what_was_out_of_the_window_before_stays_so(site: AutoidSite) -> None:
    site.project(use=False)
    site.study("1.2.1")
    site.run()
    site.days_go_by(15)
    with site.left_out("projects"):
        site.run()
    site.days_go_by(15)
    site.run()
    site.project()
    with site.left_out("projects"):
        site.run()
    site.run(after=DAY)
    site.run()
    assert (site.used(), site.held()) == ({}, {})


def test_another_project_with_its_ae_title_is_not_mended_by_that(site: AutoidSite) -> None:
    """It used to draw IDs for studies that both claimed."""
    site.project("2", name=BRAIN, pattern="B-[0-9]{4}")
    site.study("1.2.1")
    site.run()
    with site.left_out("projects", "1"):
        site.run()
        assert (site.used(BRAIN), site.held()) == ({}, {"1.2.1": PROJECT_UNUSABLE})
        site.run()
        assert site.requested("1.2.1", project=BRAIN)


def test_a_project_made_anew_under_another_record_id_draws_when_the_old_one_is_gone(site: AutoidSite) -> None:
    site.run()
    site.remove_project("1")
    site.project("2")
    site.study("1.2.1")
    assert (site.run().attention, site.used()) == ({}, {})
    site.run()
    assert site.requested("1.2.1") == site.id_of("PID-1")


def test_asking_for_all_studies_of_a_doubted_project_says_to_start_that_again(site: AutoidSite) -> None:
    site.run()
    with site.left_out("projects"), pytest.raises(ConfigurationError, match="latest export of projects"):
        site.run(only_autoid=True, all_of=HEART)


@pytest.mark.parametrize(("project", "subject"), [(HEART, "H-9001"), (BRAIN, "B-1")])
def test_no_id_is_drawn_for_a_study_whose_entry_is_missing_from_one_export(
    site: AutoidSite, project: str, subject: str
) -> None:
    """It used to be given one, and was requested again under the entry's pseudonym once that was back."""
    site.entry("7", study="1.2.1", subject=subject, project=project)
    site.run()
    with site.left_out("coupling"):
        site.study("1.2.1")
        site.run()
        assert (site.used(), site.transfers("1.2.1")) == ({}, {})
    site.run()
    assert (site.used(), site.transfers("1.2.1")) == ({}, {1: Asked(project, subject)})
    site.assert_sound()


def test_a_study_gets_its_id_once_its_entry_is_gone_for_good(site: AutoidSite) -> None:
    site.entry("7", study="1.2.1", subject="H-9001")
    site.run()
    with site.left_out("coupling"):
        site.study("1.2.1")
        site.run()
        site.study("1.2.2", "PID-2")
        site.run()
    assert site.requested("1.2.1") == site.id_of("PID-1")
    assert site.requested("1.2.2") == site.id_of("PID-2")


def test_no_id_is_drawn_for_a_study_while_a_rule_for_it_cannot_be_used(site: AutoidSite) -> None:
    site.rule("7", project=BRAIN, called=AETITLE, patient_id="PID-[0-9]")
    site.run()
    site.rule("7", project=BRAIN, called=AETITLE, patient_id="PID-[0-9")
    site.study("1.2.1")
    site.run()
    site.run()
    assert (site.used(), site.transfers("1.2.1")) == ({}, {})
    site.rule("7", project=BRAIN, called=AETITLE, patient_id="PID-[0-9]")
    site.run()
    assert (site.used(), site.transfers("1.2.1")) == ({}, {1: Asked(BRAIN, "PID-1")})


def test_what_waits_at_one_site_is_decided_there_when_another_has_seen_the_rule_again(site: AutoidSite) -> None:
    other = elsewhere(site.machine, site="north", raw=site.receiver.raw.parent / "north", key_file=site.key_file)
    other.raw.mkdir()
    site.rule("7", project=BRAIN, patient_id="PID-1")
    site.run()
    with site.left_out("routing"):
        site.series("1.2.3")
        site.run()
    assert other.run() is not None
    assert site.transfers("1.2.3") == {}
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(BRAIN, "PID-1")}
    site.assert_sound()
