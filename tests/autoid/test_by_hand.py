"""What an operator decided about a study that auto-ID had requested, or a replay finds."""

from processors.operations.replay import Scope
from tests.autoid.sites import AutoidSite
from tests.flow.harness import HEART, Asked
from tests.operations.operator import amend_by_hand, replay_all


def test_a_withdrawn_request_is_not_made_again(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.run()
    amend_by_hand(site, "1.2.1")
    site.series("1.2.1", "1.2.1.2")
    site.run_after_a_while()
    site.run(all_of=HEART)
    assert site.transfers("1.2.1") == {}
    assert site.held() == {}


def test_the_patients_other_studies_keep_their_id(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.run()
    amend_by_hand(site, "1.2.1")
    site.study("1.2.2")
    site.run()
    assert site.requested("1.2.2") == site.id_of("PID-1")


def test_a_pseudonym_given_by_hand_is_drawn_for_nobody(site: AutoidSite) -> None:
    site.project(pattern="H-[01]")
    site.study("1.2.1")
    site.run()
    other = {"H-0": "H-1", "H-1": "H-0"}[site.id_of("PID-1")]
    amend_by_hand(site, "1.2.1", to=other)
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(HEART, other)}
    assert site.held() == {"1.2.2": "all IDs of the naming pattern are in use"}


def test_a_replay_places_a_deleted_request_again_with_the_same_id(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.run()
    given = site.id_of("PID-1")
    site.person_deletes_transfer("1.2.1", 1)
    replay_all(site, Scope(project=HEART))
    assert site.transfers("1.2.1") == {2: Asked(HEART, given)}
    assert site.count("IdGenerated") == 1
