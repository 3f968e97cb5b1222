"""No ID is drawn for a project that is closed."""

from tests.autoid.sites import AutoidSite

CLOSED = "project is closed"


def close(site: AutoidSite, *, active: str = "0", ends: str = "") -> None:
    site.simulator.projects["projects"].put(
        [{"record_id": "1", "project_active": active, "project_rec_end_date": ends}]
    )


def test_a_closed_project_draws_no_id_and_its_studies_are_held(site: AutoidSite) -> None:
    close(site)
    site.study("1.2.1")
    site.run()

    assert (site.held(), site.count("IdGenerated"), site.transfers("1.2.1")) == ({"1.2.1": CLOSED}, 0, {})


def test_an_approval_that_has_ended_closes_it(site: AutoidSite) -> None:
    close(site, active="1", ends="2026-03-01")
    site.study("1.2.1")
    site.run()

    assert (site.held(), site.count("IdGenerated")) == ({"1.2.1": CLOSED}, 0)


def test_reopened_it_draws_them(site: AutoidSite) -> None:
    close(site)
    site.study("1.2.1")
    site.run()
    close(site, active="1")
    site.run()

    assert (site.held(), site.requested("1.2.1")) == ({}, site.id_of("PID-1"))
    site.assert_sound()


def test_an_id_that_stands_is_not_requested_for_another_study(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.run()
    close(site)
    site.study("1.2.2")
    site.run()

    assert (site.held(), site.transfers("1.2.2")) == ({"1.2.2": CLOSED}, {})
