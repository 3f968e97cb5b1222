"""One export is not the truth: REDCap can leave records out of it without a word."""

from collections.abc import Iterator
from itertools import count
from uuid import uuid4

import pytest

from ledger.database import Database
from ledger.vault import Vault
from processors.explain import explanation
from processors.explain.near_miss import Matching
from processors.gateway import Gateway
from processors.observed_list import before_exports, compared
from processors.operations.dry_run import planned_changes
from processors.operations.replay import Scope
from processors.operations.status import status
from processors.redcap import NoRateLimit, Redcap
from processors.routing.configured_checks import LASTING
from processors.routing.sync import observe
from tests.flow.harness import BRAIN, HEART, ZONE, Asked, Site, VisibleSteps
from tests.flow.test_routing import HOSTILE
from tests.operations.operator import amend_by_hand, rehearse, replay_all


@pytest.fixture
def gateway(site: Site) -> Iterator[Gateway]:
    """A hold on the site's ledger, of a run of its own."""
    database = Database(site.database_url)
    with database.begin() as connection:
        vault = Vault.open(connection, site.key_file)
    yield Gateway(database=database, vault=vault, site="main", clock=site.clock, run=uuid4(), zone=ZONE)
    database.close()


@pytest.fixture
def ruled(site: Site) -> Site:
    """A site with one rule, that has been read."""
    site.rule("7", patient_id="PID-1")
    site.run()
    return site


@pytest.fixture
def coupled(site: Site) -> Site:
    """A site with one entry, that has been read, and a request because of it."""
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    return site


# -- what is missing once ----------------------------------------------------------------------------------


def test_a_rule_that_was_left_out_once_is_applied_to_what_arrived_meanwhile(ruled: Site) -> None:
    """The study used to go nowhere, for ever."""
    with ruled.left_out("routing"):
        ruled.series("1.2.3")
        report = ruled.run()
        assert (ruled.transfers("1.2.3"), report.attention) == ({}, {})
        assert ruled.events("RoutingRuleDoubted") == [{"record_id": "7"}]
    ruled.run()
    assert ruled.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}
    assert (ruled.events("RoutingRuleReturned"), ruled.events("RoutingRuleRemoved")) == ([{"record_id": "7"}], [])
    head = ruled.head()
    ruled.run()
    assert ruled.head() == head
    ruled.assert_sound()


@pytest.mark.parametrize("mended", ["PID-1", "PID-[0-9]"])
def test_a_rule_that_cannot_be_used_for_a_while_is_applied_to_what_arrived_meanwhile(ruled: Site, mended: str) -> None:
    """A slip of the pen, mended a minute later, and the study went nowhere, with nothing to show for it."""
    ruled.rule("7", patient_id="PID-[")
    ruled.series("1.2.3", PatientID="PID-1")
    ruled.series("1.2.4", PatientID="OTHER-1")
    assert ruled.run().attention == {"unusable rule": 1}
    waiting = ruled.run()
    assert waiting.attention == {"unusable rule": 1}
    assert waiting.decided is not None
    assert waiting.decided.studies == 0
    assert ruled.transfers("1.2.3") == {}
    ruled.rule("7", patient_id=mended)
    assert ruled.run().attention == {}
    assert (ruled.transfers("1.2.3"), ruled.transfers("1.2.4")) == ({1: Asked(HEART, "PID-1")}, {})
    head = ruled.head()
    ruled.run()
    assert ruled.head() == head
    ruled.assert_sound()


def test_so_it_is_with_what_only_the_mended_rule_asks_for(ruled: Site) -> None:
    """The slip was made while the pattern was extended: what it was extended for went nowhere."""
    ruled.series("1.2.1", PatientID="KNEE-0")
    ruled.run()
    ruled.rule("7", patient_id="PID-1|KNEE-[")
    ruled.series("1.2.3", PatientID="KNEE-1")
    ruled.run()
    ruled.rule("7", patient_id="PID-1|KNEE-[0-9]")
    ruled.run()
    assert ruled.transfers("1.2.3") == {1: Asked(HEART, "KNEE-1")}
    assert ruled.transfers("1.2.1") == {}, "it was there before"
    ruled.series("1.2.4", PatientID="KNEE-2")
    ruled.run()
    amend_by_hand(ruled, "1.2.3")
    head = ruled.head()
    ruled.run()
    assert ruled.head() == head
    ruled.assert_sound()


def test_so_it_is_with_a_new_rule_that_could_not_be_used_at_first(site: Site) -> None:
    site.run()
    site.rule("7", patient_id="PID-[")
    site.series("1.2.3", PatientID="PID-1")
    site.run()
    site.rule("7", patient_id="PID-[0-9]")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}
    site.assert_sound()


def test_how_many_studies_wait_for_an_unusable_rule_is_told(ruled: Site) -> None:
    ruled.rule("7", patient_id="PID-[")
    for number in (3, 4):
        ruled.series(f"1.2.{number}", PatientID="PID-1")
    ruled.run()
    ((details,),) = ruled.query("select details from audit.attention")
    assert details.endswith("Studies that wait for it: 2.")


def test_an_entry_that_returns_is_heeded_though_a_rule_beside_it_cannot_be_used(ruled: Site) -> None:
    ruled.entry(accession="ACC-1", subject="H-001")
    ruled.rule("7", patient_id="PID-[")
    ruled.run()
    with ruled.left_out("coupling"):
        ruled.series("1.2.3", AccessionNumber="ACC-1")
        ruled.run()
        assert ruled.transfers("1.2.3") == {}
    ruled.run()
    assert ruled.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_nothing_waits_for_a_rule_that_is_removed_once_it_cannot_be_used(ruled: Site) -> None:
    ruled.rule("7", patient_id="PID-[")
    ruled.series("1.2.3")
    ruled.run()
    ruled.remove_rule("7")
    for _ in range(2):
        ruled.run()
    assert ruled.query("select count(*) from gateway.deferred_decision") == [(0,)]
    assert ruled.transfers("1.2.3") == {}
    ruled.assert_sound()


def test_what_stands_by_a_rule_stands_while_that_cannot_be_used(ruled: Site) -> None:
    ruled.series("1.2.3")
    ruled.run()
    ruled.rule("7", patient_id="PID-[")
    ruled.series("1.2.3", "1.2.3.2")
    ruled.run()
    assert ruled.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}
    assert ruled.query("select count(*) from gateway.deferred_decision") == [(0,)]


def test_an_entry_that_was_left_out_once_is_applied_to_what_arrived_meanwhile(site: Site) -> None:
    site.entry(accession="ACC-1", subject="H-001")
    site.run()
    with site.left_out("coupling"):
        site.series("1.2.3", AccessionNumber="ACC-1")
        site.run()
        assert site.transfers("1.2.3") == {}
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    site.assert_sound()


def test_an_entry_that_is_left_out_keeps_its_request(coupled: Site) -> None:
    coupled.rule(patient_id="PID-1")
    with coupled.left_out("coupling"):
        coupled.series("1.2.3", "1.2.3.2")
        report = coupled.run()
        assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
        assert report.attention == {}
    coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert coupled.attention() == {}


@pytest.mark.parametrize("end", ["returns", "is gone"])
def test_a_rule_does_not_take_the_place_of_a_doubted_entry(site: Site, end: str) -> None:
    site.entry(accession="ACC-1", subject="H-001")
    site.rule(patient_id="PID-1")
    site.run()
    with site.left_out("coupling"):
        site.series("1.2.3", AccessionNumber="ACC-1")
        site.run()
        assert site.transfers("1.2.3") == {}
        if end == "is gone":
            site.run()
            assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}
            return
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


@pytest.mark.parametrize("end", ["returns", "is gone"])
def test_a_rule_is_no_rival_before_it_is_known_whether_it_is_gone(site: Site, end: str) -> None:
    site.rule("1", patient_id="PID-1")
    site.rule("2", patient_name="Doe")
    site.run()
    with site.left_out("routing", "2"):
        site.series("1.2.3", PatientName="Doe")
        report = site.run()
        assert (site.transfers("1.2.3"), report.attention) == ({}, {})
        if end == "is gone":
            assert site.run().attention == {}
            assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}
            return
    assert site.run().attention == {"conflict": 1}
    assert site.transfers("1.2.3") == {}


def test_an_open_conflict_stays_open_while_one_side_of_it_is_doubted(site: Site) -> None:
    site.rule("1", patient_id="PID-1")
    site.rule("2", patient_name="Doe")
    site.series("1.2.3", PatientName="Doe")
    site.run()
    with site.left_out("routing", "2"):
        site.series("1.2.3", "1.2.3.2")
        assert site.run().attention == {"conflict": 1}
    assert site.run().attention == {"conflict": 1}
    assert site.transfers("1.2.3") == {}


def test_what_is_asked_for_without_the_doubted_as_well_is_placed_at_once(site: Site) -> None:
    site.rule("1", patient_id="PID-1")
    site.rule("2", patient_id="PID-.*")
    site.rule("3", project=BRAIN, patient_id="PID-1")
    site.run()
    with site.left_out("routing", "2"):
        site.series("1.2.3")
        site.run()
        assert set(site.transfers("1.2.3").values()) == {Asked(HEART, "PID-1"), Asked(BRAIN, "PID-1")}
        assert site.events("DecisionDeferred") == []


def test_an_export_that_is_empty_removes_nothing(site: Site) -> None:
    site.rule("1", patient_id="PID-1")
    site.rule("2", patient_id="PID-1", event="late")
    site.entry(accession="ACC-1", project=BRAIN, subject="B-001")
    site.run()
    with site.left_out("routing"), site.left_out("coupling"):
        site.series("1.2.3", AccessionNumber="ACC-1")
        site.run()
        assert site.transfers("1.2.3") == {}
    site.run()
    asked = {Asked(HEART, "PID-1"), Asked(HEART, "PID-1", "late"), Asked(BRAIN, "B-001")}
    assert set(site.transfers("1.2.3").values()) == asked
    assert site.events("RoutingRuleRemoved") == site.events("CouplingEntryRemoved") == []


def test_a_rule_that_ran_out_of_time_and_is_doubted_is_told_of_when_it_is_back(site: Site) -> None:
    site.time_limit = 0.1
    site.rule("1", patient_name=HOSTILE)
    site.run()
    with site.left_out("routing"):
        site.series("1.2.3", PatientName="a" * 390 + "!")
        assert site.run().attention == {}
    assert site.run().attention == {"rule ran out of time": 1}
    site.rule("1", patient_name="a+!")
    assert site.run().attention == {}
    assert site.transfers("1.2.3") == {1: Asked(HEART, "a" * 390 + "!")}


# -- what returns otherwise, or is gone ----------------------------------------------------------------------


def test_an_entry_that_returns_changed_is_the_same_entry_corrected(coupled: Site) -> None:
    with coupled.left_out("coupling"):
        coupled.run()
    coupled.entry(accession="ACC-9", subject="H-001")
    coupled.run()
    assert [asked.name for asked in coupled.transfers("1.2.3").values()] == [""]


def test_an_entry_that_returns_changed_is_applied_as_it_reads_to_what_arrived_meanwhile(site: Site) -> None:
    site.entry(accession="ACC-1", subject="H-001")
    site.run()
    with site.left_out("coupling"):
        site.series("1.2.3", AccessionNumber="ACC-1")
        site.run()
    site.entry(accession="ACC-1", project=BRAIN, subject="B-001")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(BRAIN, "B-001")}


def test_a_rule_that_returns_changed_is_applied_as_it_reads_to_what_waited_for_it(ruled: Site) -> None:
    with ruled.left_out("routing"):
        ruled.series("1.2.3")
        ruled.run()
    ruled.rule("7", project=BRAIN, patient_id="PID-1", event="first")
    ruled.run()
    assert ruled.transfers("1.2.3") == {1: Asked(BRAIN, "PID-1", "first")}
    assert ruled.query("select study from gateway.deferred_decision") == []


def test_a_rule_that_two_runs_miss_is_gone_and_what_waited_goes_nowhere(ruled: Site) -> None:
    with ruled.left_out("routing"):
        ruled.series("1.2.3")
        ruled.run()
        ruled.run()
        (removed,) = ruled.events("RoutingRuleRemoved")
        assert removed == {"record_id": "7", "changed_by": None, "changed_at": None}
        assert ruled.query("select study from gateway.deferred_decision") == []
    ruled.run()
    assert ruled.transfers("1.2.3") == {}
    ruled.assert_sound()


def test_an_entry_made_anew_under_another_record_id_is_followed_when_the_old_one_is_gone(coupled: Site) -> None:
    """The old pseudonym ends at once: if the old entry is still there, the two contradict each other."""
    coupled.remove_entry("1")
    coupled.entry("2", accession="ACC-1", subject="H-002")
    report = coupled.run()
    assert (coupled.transfers("1.2.3"), report.attention) == ({}, {})
    coupled.run()
    assert [asked for asked in coupled.transfers("1.2.3").values() if asked.name] == [Asked(HEART, "H-002")]


def test_an_entry_made_anew_with_the_same_words_changes_nothing(coupled: Site) -> None:
    coupled.remove_entry("1")
    coupled.entry("2", accession="ACC-1", subject="H-001")
    for _ in range(3):
        assert coupled.run().attention == {}
        assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_an_entry_that_is_corrected_while_another_is_doubted_waits_for_it_where_they_meet(coupled: Site) -> None:
    """What was asked for before ends at once: it is not right whether or not the other is gone."""
    coupled.entry("2", accession="ACC-1", project=BRAIN, subject="B-001")
    coupled.run()
    with coupled.left_out("coupling", "2"):
        coupled.entry("1", accession="ACC-1", project=BRAIN, subject="B-002")
        coupled.run()
        assert [asked for asked in coupled.transfers("1.2.3").values() if asked.name] == []
        coupled.run()
        after = {asked for asked in coupled.transfers("1.2.3").values() if asked.name}
        assert after == {Asked(BRAIN, "B-002")}


def record_and_be_killed(site: Site, changes: int) -> None:
    """A run that is killed as soon as it has recorded so many contents of entries, before it decides."""
    for step in count(1):
        assert site.run_killed_at(step, steps=VisibleSteps)
        if len(site.events("CouplingEntryChanged")) == changes:
            return


def test_a_corrected_entry_whose_correction_was_not_decided_yet_is_applied_when_it_returns(coupled: Site) -> None:
    """What it asked for before ends at once: it has given that up, whether or not it is gone."""
    coupled.entry(accession="ACC-1", subject="H-002")
    record_and_be_killed(coupled, 2)
    with coupled.left_out("coupling"):
        coupled.run(after=0)
        assert [asked for asked in coupled.transfers("1.2.3").values() if asked.name] == []
    coupled.run()
    assert [asked for asked in coupled.transfers("1.2.3").values() if asked.name] == [Asked(HEART, "H-002")]


CORRECTIONS = [
    {"accession": "ACC-2", "subject": "H-001"},
    {"accession": "ACC-1", "subject": "H-002"},
    {"accession": "ACC-1", "subject": "H-001", "project": BRAIN},
    {"accession": "ACC-1", "subject": "H-001", "event": "followup"},
    {"study": "1.2.9", "subject": "H-001"},
]


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_a_correction_that_was_not_decided_yet_counts_though_its_entry_is_gone(
    coupled: Site, correction: dict[str, str]
) -> None:
    coupled.entry(**correction)
    record_and_be_killed(coupled, 2)
    coupled.remove_entry()
    for _ in range(3):
        coupled.run(after=0)
        assert [asked for asked in coupled.transfers("1.2.3").values() if asked.name] == []
    coupled.assert_sound()


def test_one_that_changed_its_date_alone_leaves_its_request_when_it_goes(coupled: Site) -> None:
    coupled.entry(accession="ACC-1", subject="H-001", date="2026-03-02 09:00")
    record_and_be_killed(coupled, 2)
    coupled.remove_entry()
    for _ in range(3):
        coupled.run()
        assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_a_correction_that_was_not_decided_yet_counts_though_its_record_id_is_another_entry_s(coupled: Site) -> None:
    coupled.entry(accession="ACC-2", subject="H-001")
    record_and_be_killed(coupled, 2)
    coupled.remove_entry()
    for changes in (0, 1):
        for step in count(1):
            assert coupled.run_killed_at(step, steps=VisibleSteps, after=0)
            if len(coupled.events("CouplingEntryDoubted" if changes == 0 else "CouplingEntryRemoved")) == 1:
                break
    coupled.entry(accession="ACC-3", subject="H-003")
    coupled.run()
    assert [asked for asked in coupled.transfers("1.2.3").values() if asked.name] == []
    coupled.assert_sound()


def test_what_another_still_asks_for_stands_though_the_corrected_entry_is_gone(coupled: Site) -> None:
    coupled.entry("2", accession="ACC-1", subject="H-001")
    coupled.run()
    coupled.entry(accession="ACC-2", subject="H-001")
    record_and_be_killed(coupled, 3)
    coupled.remove_entry()
    for _ in range(3):
        coupled.run()
        assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_a_correction_that_waits_for_a_rule_counts_though_its_entry_is_gone_meanwhile(ruled: Site) -> None:
    """The rule has the word once the entry has given it up, and is missing from one export."""
    ruled.entry(accession="ACC-1", subject="H-001")
    ruled.series("1.2.3", AccessionNumber="ACC-1")
    ruled.run()
    with ruled.left_out("routing"):
        ruled.entry(accession="ACC-2", subject="H-001")
        ruled.run()
        assert ruled.transfers("1.2.3") == {}, "it was not taken yet"
        ruled.remove_entry()
    ruled.run()
    ruled.run()
    assert [asked for asked in ruled.transfers("1.2.3").values() if asked.name] == [Asked(HEART, "PID-1")]
    ruled.assert_sound()


def test_a_study_that_vanishes_while_it_waits_is_decided_when_it_is_back(ruled: Site) -> None:
    with ruled.left_out("routing"):
        ruled.series("1.2.3")
        ruled.run()
    ruled.vanish("1.2.3")
    ruled.run()
    assert ruled.transfers("1.2.3") == {}
    head = ruled.head()
    ruled.run()
    assert ruled.head() == head
    ruled.come_back("1.2.3")
    ruled.run()
    assert ruled.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}


def test_what_ends_whether_or_not_a_rule_is_gone_ends_at_once(ruled: Site) -> None:
    """It stood, sendable, under an ID that the study no longer has, until the rule's fate was known."""
    ruled.series("1.2.3", PatientID="PID-1")
    ruled.rule("7", patient_id="PID-.*")
    ruled.run()
    ruled.series("1.2.3", PatientID="PID-2")
    with ruled.left_out("routing"):
        report = ruled.run()
        assert ruled.transfers("1.2.3") == {}
        assert report.attention == {"study changed": 1}
    ruled.run()
    assert list(ruled.transfers("1.2.3").values()) == [Asked(HEART, "PID-2")]
    ruled.assert_sound()


# -- what counts as another export -----------------------------------------------------------------------------


def test_a_run_that_misses_it_twice_has_seen_one_slip(ruled: Site, gateway: Gateway) -> None:
    with (
        ruled.left_out("routing"),
        Redcap(url=ruled.simulator.url, tokens=ruled.tokens, rate_limit=NoRateLimit()) as redcap,
    ):
        with gateway.begin() as work:
            before = before_exports(work)
        first, second = observe(gateway, redcap, before), observe(gateway, redcap, before)
        assert first.doubted == second.doubted
        assert [rule.record_id for rule in second.rules] == ["7"]
    assert ruled.events("RoutingRuleRemoved") == []


def test_an_export_that_began_before_the_doubt_does_not_confirm_it(ruled: Site, gateway: Gateway) -> None:
    with ruled.left_out("routing"):
        ruled.run()
    ((doubt,),) = ruled.query("select doubted_position from gateway.rule")
    with gateway.begin() as work:
        before = compared(work, "gateway.rule", {}, asked_at=doubt - 1)
        after = compared(work, "gateway.rule", {}, asked_at=doubt)
    assert ((before.removed, before.doubted), (after.removed, after.doubted)) == (([], ["7"]), (["7"], []))


def test_a_doubt_stands_though_its_run_is_killed_at_any_step(ruled: Site) -> None:
    for step in count(1):
        study = f"1.2.3.{step}"
        with ruled.left_out("routing"):
            ruled.series(study)
            killed = ruled.run_killed_at(step, steps=VisibleSteps)
        ruled.run()
        assert ruled.transfers(study) == {1: Asked(HEART, "PID-1")}, step
        if not killed:
            break
    assert ruled.events("RoutingRuleRemoved") == []
    ruled.assert_sound()


def test_what_waited_is_requested_once_though_the_run_that_settles_it_is_killed_at_any_step(ruled: Site) -> None:
    for step in count(1):
        study = f"1.2.3.{step}"
        with ruled.left_out("routing"):
            ruled.series(study)
            ruled.run()
        killed = ruled.run_killed_at(step, steps=VisibleSteps)
        ruled.run()
        assert ruled.transfers(study) == {1: Asked(HEART, "PID-1")}, step
        if not killed:
            break
    ruled.assert_sound()


# -- what operators do meanwhile -------------------------------------------------------------------------------


def test_what_was_retracted_while_its_entry_was_doubted_stays_so_when_it_returns(coupled: Site) -> None:
    with coupled.left_out("coupling"):
        coupled.run()
        amend_by_hand(coupled, "1.2.3")
    coupled.run()
    coupled.series("1.2.3", "1.2.3.2")
    coupled.run()
    assert {asked.name for asked in coupled.transfers("1.2.3").values()} <= {""}


def test_a_replay_requests_nothing_because_of_what_is_doubted_before_it_returns(site: Site) -> None:
    site.series("1.2.3")
    site.run()
    site.rule("7", patient_id="PID-1")
    site.run()
    with site.left_out("routing"):
        replay_all(site, Scope(project=HEART))
        assert site.transfers("1.2.3") == {}
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}


def test_a_replay_does_not_restore_a_row_that_only_the_doubted_asks_for(coupled: Site) -> None:
    coupled.person_deletes_transfer("1.2.3", 1)
    with coupled.left_out("coupling"):
        replay_all(coupled)
        assert coupled.transfers("1.2.3") == {}
    coupled.run()
    assert set(coupled.transfers("1.2.3").values()) == {Asked(HEART, "H-001")}
    assert coupled.query("select 1 from gateway.deferred_decision") == []


def test_nor_does_any_run_once_the_doubted_is_gone(coupled: Site) -> None:
    coupled.person_deletes_transfer("1.2.3", 1)
    with coupled.left_out("coupling"):
        replay_all(coupled)
        coupled.run()
        coupled.run()
    assert coupled.transfers("1.2.3") == {}
    assert coupled.query("select 1 from gateway.deferred_decision") == []


def test_what_a_replay_has_left_for_later_stands_unless_it_is_gone(coupled: Site) -> None:
    with coupled.left_out("coupling"):
        replay_all(coupled)
    coupled.run()
    assert coupled.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert coupled.states("1.2.3") == ["placed"]


def test_a_dry_run_tells_what_would_be_doubted_and_records_nothing(ruled: Site) -> None:
    ruled.series("1.2.3")
    head = ruled.head()
    with ruled.left_out("routing"):
        changes = rehearse(ruled)
        assert [(change.study, change.change, change.why) for change in changes] == [
            ("", "doubt, and decide nothing by it", "routing rule 7 is missing from REDCap's export"),
            ("1.2.3", "leave undecided", "it depends on what is not usable: routing rule 7"),
        ]
    assert ruled.head() == head


def test_a_dry_run_tells_what_would_be_taken_for_removed(ruled: Site) -> None:
    with ruled.left_out("routing"):
        ruled.run()
        (change,) = rehearse(ruled)
    assert change.why == "routing rule 7 is missing once more from REDCap's export"
    assert ruled.events("RoutingRuleRemoved") == []


# -- what is told of it ------------------------------------------------------------------------------------------


def test_status_tells_of_doubts_as_information(ruled: Site, gateway: Gateway) -> None:
    with ruled.left_out("routing"):
        ruled.series("1.2.3")
        ruled.run()
    found = status(gateway)
    (doubts,) = found.doubts
    assert (doubts.list, list(doubts.records), doubts.studies) == ("routing rules", ["7"], 1)
    assert (doubts.since, found.attention) == (ruled.clock.now, [])
    ruled.run()
    assert status(gateway).doubts == []


def test_explain_tells_that_a_rule_is_missing_and_what_was_left_open(ruled: Site, gateway: Gateway) -> None:
    with ruled.left_out("routing"):
        ruled.series("1.2.3")
        ruled.run()
    told = _explained(gateway, "1.2.3")
    assert told.verdict[0] == (
        "Routing rule 7 is missing from REDCap's latest export, or cannot be used as it reads; what it would decide "
        "waits until that is settled."
    )
    words = "Not decided for Heart Study yet: REDCap's latest export lacks routing rule 7, or has it unusable."
    assert words in [moment.words for moment in told.timeline]
    ruled.run()
    told = _explained(gateway, "1.2.3")
    assert not any("missing" in line for line in told.verdict)


def test_the_events_of_a_doubt_are_what_a_dry_run_would_tell(ruled: Site, gateway: Gateway) -> None:
    head = ruled.head()
    with ruled.left_out("routing"):
        ruled.run()
    with gateway.begin() as work:
        assert [change.change for change in planned_changes(work, head)] == ["doubt, and decide nothing by it"]


def _explained(gateway: Gateway, study: str) -> explanation.Explanation:
    with gateway.begin() as work:
        return explanation.explain(work, study, Matching("prefix", 0.5), checks=LASTING, holds_split=False)


def test_what_a_study_says_otherwise_while_a_rule_is_doubted_has_its_consequence_when_the_rule_is_gone(
    site: Site,
) -> None:
    site.rule("1", patient_id="P-.*")
    site.series("1.2.3", PatientID="P-001", PatientName="Somebody")
    site.run()
    site.rule("2", patient_name="P-001")
    site.run()
    site.series("1.2.3", PatientID="Q-002", PatientName="P-001")
    site.remove_rule("2")
    site.run()
    assert [asked.name for asked in site.transfers("1.2.3").values()] == ["P-001"]
    report = site.run()
    assert [asked.name for asked in site.transfers("1.2.3").values()] == [""]
    assert report.attention["study changed"] == 1
