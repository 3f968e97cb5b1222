"""No ID is drawn for a patient who withdrew from the project."""

from tests.autoid.sites import AutoidSite
from tests.operations.withdrawing import withdraws


def test_a_patient_who_withdrew_gets_no_id(site: AutoidSite) -> None:
    site.run()
    withdraws(site, patient="PID-1")
    site.study("1.2.1")
    site.study("1.2.2", "PID-2")
    site.run()

    assert (site.count("IdGenerated"), site.transfers("1.2.1")) == (1, {})
    assert site.query("select study, reason from gateway.held_study") == [("1.2.1", "participant withdrew")]
    assert site.attention() == {}
    site.run_after_a_while()
    assert site.count("StudyHeld") == 1


def test_an_id_that_the_patient_has_is_not_requested_again(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.run()
    withdraws(site, study="1.2.1")
    site.study("1.2.2")
    site.run()

    assert [row.name for row in site.transfers("1.2.1").values() if row.name] == []
    assert site.transfers("1.2.2") == {}
    site.assert_sound()
