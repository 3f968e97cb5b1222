"""No ID is drawn for a patient who withdrew from the project."""

from typing import Any

import pytest

from processors.autoid import assign, draw
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


def test_whoever_withdrew_by_the_id_that_autoid_gives_is_known_by_it(site: AutoidSite) -> None:
    site.give("7", "PID-1", "H-0007")
    site.study("1.2.9", "PID-9")
    site.run()
    withdraws(site, pseudonym="H-0007")
    site.study("1.2.1")
    site.run()

    assert (site.transfers("1.2.1"), site.count("IdGenerated")) == ({}, 1)
    assert site.query("select study, reason from gateway.held_study") == [("1.2.1", "participant withdrew")]
    assert site.attention() == {}
    assert len(site.events("ParticipantWithdrew")) == 2, "expected the patient to have withdrawn, too"


def test_an_id_that_was_withdrawn_is_given_to_nobody(site: AutoidSite) -> None:
    site.project(pattern="[ab]")
    site.study("1.2.1")
    site.run()
    mine = site.id_of("PID-1")
    withdraws(site, study="1.2.1")
    other = ({"a", "b"} - {mine}).pop()
    withdraws(site, pseudonym=other)
    site.study("1.2.2", "PID-2")
    site.run()

    assert site.transfers("1.2.2") == {}
    assert site.held() == {"1.2.2": "all IDs of the naming pattern are in use"}


def test_a_study_that_waits_is_no_longer_shown_when_its_patient_withdraws(site: AutoidSite) -> None:
    site.project(pattern="(?=")
    site.study("1.2.1")
    site.run()
    assert list(site.held()) == ["1.2.1"]
    withdraws(site, patient="PID-1")
    assert site.held() == {}
    site.project()
    site.run()
    assert (site.held(), site.count("IdGenerated")) == ({}, 0)


def test_a_study_of_theirs_that_leaves_the_disk_waits_for_nothing(site: AutoidSite) -> None:
    site.run()
    withdraws(site, patient="PID-1")
    site.study("1.2.1")
    site.run()
    site.vanish("1.2.1")
    site.run()
    site.run_after_a_while()

    assert (site.attention(), site.count("IdGenerated")) == ({}, 0)


@pytest.mark.parametrize(("module", "step"), [(assign, "adopt"), (draw, "reserve"), (assign, "request_transfers")])
def test_who_withdraws_while_a_run_gives_ids_gets_none(
    site: AutoidSite, monkeypatch: pytest.MonkeyPatch, module: Any, step: str
) -> None:
    site.run()
    site.study("1.2.1")
    proper = getattr(module, step)

    def meanwhile(*args: Any, **named: Any) -> Any:
        monkeypatch.setattr(module, step, proper)
        withdraws(site, patient="PID-1")
        return proper(*args, **named)

    monkeypatch.setattr(module, step, meanwhile)
    site.run()
    site.run()

    assert site.transfers("1.2.1") == {}
    assert site.count("IdGenerated") == (step == "request_transfers")
    assert site.attention() == {}


def test_a_study_that_turns_out_to_be_somebody_else_s_gets_an_id_and_is_shown(site: AutoidSite) -> None:
    """It was requested without a word."""
    site.run()
    withdraws(site, patient="PID-1")
    site.study("1.2.1")
    site.run()
    site.study("1.2.1", "PID-9")
    site.run_after_a_while()
    assert len(site.transfers("1.2.1")) == 1
    assert site.attention() == {"participant withdrew": 1}
    site.assert_sound()
