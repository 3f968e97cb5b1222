"""Replay: with today's rules over all that is recorded, as often as one likes."""

import pytest

from processors.errors import ConfigurationError
from processors.operations.replay import Scope
from tests.flow.conftest import MakeSite
from tests.flow.harness import BRAIN, HEART, Asked, Killed, Site, Steps, without_minutes
from tests.operations.operator import acknowledge, forget_patient, replay_all

EVERYTHING = Scope()


def redcap_of(site: Site) -> dict[str, object]:
    """What Incoming holds, but for minutes."""
    return {
        study: (site.study_row(study), site.series_rows(study), without_minutes(site.transfer_rows(study)))
        for study in site.incoming.records
    }


def settled(site: Site) -> None:
    """The next run finds nothing left to do."""
    head = site.head()
    site.run()
    assert site.head() == head
    site.assert_sound()


@pytest.fixture
def arrived(site: Site) -> Site:
    """Two studies that no rule has been made for yet."""
    site.series("1.2.1", PatientID="PID-7")
    site.series("1.2.1", "1.2.1.2", PatientID="PID-7")
    site.series("1.2.2", PatientID="PID-9", AccessionNumber="ACC-2")
    site.run()
    return site


def test_a_rule_made_later_asks_for_what_had_arrived_before(arrived: Site) -> None:
    arrived.rule(patient_id="PID-7")
    arrived.run()
    assert arrived.transfers("1.2.1") == {}
    done = replay_all(arrived)
    assert arrived.transfers("1.2.1") == {1: Asked(HEART, "PID-7")}
    assert arrived.transfers("1.2.2") == {}
    assert done.report.decided is not None
    assert done.report.decided.requested == 1
    settled(arrived)


def test_a_second_replay_asks_for_nothing(arrived: Site) -> None:
    arrived.rule(patient_id="PID-7")
    replay_all(arrived)
    before = redcap_of(arrived)
    done = replay_all(arrived)
    assert done.report.decided is not None
    assert (done.report.decided.requested, redcap_of(arrived)) == (0, before)


def test_other_projects_get_nothing(arrived: Site) -> None:
    arrived.rule("1", patient_id="PID-7")
    arrived.rule("2", project=BRAIN, patient_id="PID-7")
    replay_all(arrived)
    assert arrived.transfers("1.2.1") == {1: Asked(HEART, "PID-7")}


def test_without_a_project_rows_are_written_and_nothing_is_requested(arrived: Site) -> None:
    arrived.rule(patient_id="PID-7")
    arrived.incoming.put([{"study_instance_uid": "1.2.1", "study_description": "scribbled over"}])
    done = replay_all(arrived, EVERYTHING)
    assert arrived.study_row("1.2.1").get("study_description") is None
    assert arrived.transfers("1.2.1") == {}
    assert (done.report.decided, done.replayed.studies) == (None, 2)
    assert not any(call.project in ("routing", "coupling") for call in arrived.calls)


def test_it_needs_no_file(arrived: Site) -> None:
    arrived.rule(patient_id="PID-7")
    for file in arrived.receiver.raw.rglob("*.json"):
        file.unlink()
    replay_all(arrived)
    assert arrived.transfers("1.2.1") == {1: Asked(HEART, "PID-7")}


def test_a_vanished_study_is_requested_only_when_that_is_asked_for(arrived: Site) -> None:
    arrived.vanish("1.2.2")
    arrived.entry(accession="ACC-2", subject="H-002")
    arrived.run()
    replay_all(arrived)
    assert arrived.transfers("1.2.2") == {}
    replay_all(arrived, Scope(project=HEART, include_vanished=True))
    assert arrived.transfers("1.2.2") == {1: Asked(HEART, "H-002")}


def test_only_studies_of_the_time_are_replayed(arrived: Site) -> None:
    arrived.clock.advance(1800)
    between = arrived.clock()
    arrived.clock.advance(1800)
    arrived.series("1.2.3", PatientID="PID-7")
    arrived.run()
    arrived.rule(patient_id="PID-7")
    assert replay_all(arrived, Scope(project=HEART, until=between)).replayed.studies == 2
    assert arrived.transfers("1.2.3") == {}
    assert replay_all(arrived, Scope(project=HEART, since=between)).replayed.studies == 1
    assert arrived.transfers("1.2.3") == {1: Asked(HEART, "PID-7")}


def test_rows_that_were_deleted_come_back_under_the_next_instances(arrived: Site) -> None:
    arrived.person_deletes("1.2.2")
    arrived.person_deletes_series("1.2.1", 1)
    done = replay_all(arrived, EVERYTHING)
    assert sorted(arrived.series_rows("1.2.1")) == [2, 3]
    assert sorted(arrived.series_rows("1.2.2")) == [2]
    assert done.report.delivered is not None
    assert done.report.delivered.restored == 3
    settled(arrived)


def test_what_was_reported_as_missing_is_settled_by_its_return(arrived: Site) -> None:
    arrived.person_deletes("1.2.2")
    arrived.grow("1.2.2")
    arrived.run()
    assert arrived.attention() == {"row deleted or changed in REDCap": 1}
    replay_all(arrived, EVERYTHING)
    assert arrived.attention() == {}
    assert arrived.series_rows("1.2.2")


def test_what_somebody_meant_to_delete_stays_deleted(arrived: Site) -> None:
    arrived.person_deletes("1.2.2")
    arrived.grow("1.2.2")
    arrived.run()
    acknowledge(arrived)
    replay_all(arrived, EVERYTHING)
    assert "1.2.2" not in arrived.incoming.records


@pytest.fixture
def requested(arrived: Site) -> Site:
    """A study that is requested for the project by its rule."""
    arrived.rule(patient_id="PID-7")
    replay_all(arrived)
    return arrived


def test_a_request_that_was_deleted_is_placed_again_in_a_new_instance(requested: Site) -> None:
    requested.person_deletes_transfer("1.2.1", 1)
    replay_all(requested)
    assert requested.transfers("1.2.1") == {2: Asked(HEART, "PID-7")}
    assert requested.states("1.2.1") == ["placed"]
    settled(requested)


@pytest.mark.parametrize("known_before", [True, False], ids=["requested before", "requested by the replay"])
def test_what_was_meant_to_be_deleted_comes_back_when_a_replay_asks_for_it(
    arrived: Site, *, known_before: bool
) -> None:
    """The record, its series, and what the project asks for: nothing could be sent from less."""
    if known_before:
        arrived.rule(patient_id="PID-7")
        replay_all(arrived)
    arrived.person_deletes("1.2.1")
    arrived.grow("1.2.1")
    arrived.run()
    acknowledge(arrived)
    assert "1.2.1" not in arrived.incoming.records
    arrived.rule(patient_id="PID-7")
    replay_all(arrived)
    assert list(arrived.transfers("1.2.1").values()) == [Asked(HEART, "PID-7")]
    assert arrived.series_rows("1.2.1")
    settled(arrived)


def test_a_request_that_the_rules_no_longer_ask_for_is_not_placed_again(requested: Site) -> None:
    requested.person_deletes_transfer("1.2.1", 1)
    requested.rule(patient_id="PID-7", active=False)
    requested.rule("2", patient_id="PID-8")
    replay_all(requested)
    assert requested.transfers("1.2.1") == {}
    assert requested.attention() == {"row deleted or changed in REDCap": 1}


def test_a_request_of_another_project_is_not_placed_again(requested: Site) -> None:
    requested.rule("2", project=BRAIN, patient_id="PID-9")
    requested.person_deletes_transfer("1.2.1", 1)
    replay_all(requested, Scope(project=BRAIN))
    assert requested.transfers("1.2.1") == {}
    assert requested.transfers("1.2.2") == {1: Asked(BRAIN, "PID-9")}


def test_what_is_known_to_have_been_sent_is_not_sent_again(requested: Site) -> None:
    requested.sender_sends("1.2.1", 1)
    requested.run()
    requested.person_deletes_transfer("1.2.1", 1)
    replay_all(requested)
    assert requested.transfers("1.2.1") == {}


def test_what_a_person_made_of_our_row_is_not_overwritten(requested: Site) -> None:
    requested.person_requests("1.2.1", HEART, "H-900", instance=1)
    replay_all(requested)
    assert requested.transfers("1.2.1") == {1: Asked(HEART, "H-900")}
    assert requested.attention() == {"contested by a person": 1, "row deleted or changed in REDCap": 1}


def test_a_request_that_people_made_before_is_found(arrived: Site) -> None:
    arrived.person_requests("1.2.1", HEART, "PID-7")
    arrived.rule(patient_id="PID-7")
    replay_all(arrived)
    assert arrived.transfers("1.2.1") == {1: Asked(HEART, "PID-7")}


def test_contradictions_are_reported_for_the_project_alone(arrived: Site) -> None:
    arrived.rule("1", patient_id="PID-7")
    arrived.rule("2", patient_name="Doe")
    arrived.rule("3", project=BRAIN, patient_id="PID-7")
    arrived.rule("4", project=BRAIN, patient_name="Doe")
    replay_all(arrived)
    assert [(row["project"], row["kind"]) for row in arrived.events("ConflictFound")] == [(HEART, "equals")] * 1
    assert arrived.transfers("1.2.1") == {}


def test_a_conflict_of_another_project_stays_open(site: Site) -> None:
    site.rule("1", project=BRAIN, patient_id="PID-1")
    site.rule("2", project=BRAIN, patient_name="Doe")
    site.series("1.2.1")
    site.run()
    site.rule("3", patient_id="PID-1")
    replay_all(site)
    assert site.attention() == {"conflict": 1}
    assert site.transfers("1.2.1") == {1: Asked(HEART, "PID-1")}


def test_a_project_that_nobody_names_is_refused(arrived: Site) -> None:
    arrived.rule(patient_id="PID-7")
    head = arrived.head()
    with pytest.raises(ConfigurationError, match="found 'Hart Study'") as raised:
        replay_all(arrived, Scope(project="Hart Study"))
    assert HEART in str(raised.value)
    assert [row["type"] for row in new_events(arrived, head)] == ["RoutingRuleChanged"]


def new_events(site: Site, after: int) -> list[dict[str, str]]:
    rows = site.query("select type from ledger.event where position > :after order by position", after=after)
    return [{"type": row[0]} for row in rows]


def test_killed_at_any_step_it_ends_in_the_same_state(make_site: MakeSite) -> None:
    site = make_site(batch_rows=3)
    for number in range(1, 5):
        site.series(f"1.2.{number}", PatientID=f"PID-{number}")
        site.series(f"1.2.{number}", f"1.2.{number}.2", PatientID=f"PID-{number}")
    site.run()
    site.rule(patient_id="PID-[12]")
    site.person_deletes("1.2.3")
    fatal, killed = 1, True
    while killed:
        try:
            replay_all(site, steps=Steps(fatal=fatal))
            killed = False
        except Killed:
            fatal += 5
    assert fatal > 20
    assert {study: site.transfers(study) for study in ("1.2.1", "1.2.2", "1.2.3", "1.2.4")} == {
        "1.2.1": {1: Asked(HEART, "PID-1")},
        "1.2.2": {1: Asked(HEART, "PID-2")},
        "1.2.3": {},
        "1.2.4": {},
    }
    assert len(site.series_rows("1.2.3")) == 2
    assert site.query("select * from gateway.replay") == []
    assert len(site.events("ReplayStarted")) == len(site.events("ReplayCompleted"))
    settled(site)


def test_an_interrupted_replay_goes_on_after_the_studies_that_it_had_written(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.operations.replay.BATCH", 2)
    for number in range(1, 7):
        site.series(f"1.2.{number}")
    site.run()
    first = replay_all(site, EVERYTHING)
    imports = sum(call.action == "import" for call in site.calls)
    assert (first.replayed.written_before, imports) == (0, 3)
    steps = Steps()
    replay_all(site, EVERYTHING, steps=steps)
    with pytest.raises(Killed):
        replay_all(site, EVERYTHING, steps=Steps(fatal=len(steps.names) - 8))
    again = replay_all(site, EVERYTHING)
    assert 2 <= again.replayed.written_before < 6
    assert sum(call.action == "import" for call in site.calls) == (6 - again.replayed.written_before) / 2
    # Another scope is another replay.
    with pytest.raises(Killed):
        replay_all(site, EVERYTHING, steps=Steps(fatal=len(steps.names) - 8))
    assert replay_all(site, Scope(since=site.clock())).replayed.written_before == 0
    assert replay_all(site, EVERYTHING).replayed.written_before == 0


def test_transfers_of_a_project_of_their_own_are_placed_and_restored(make_site: MakeSite) -> None:
    site = make_site(separate_transfers=True)
    site.series("1.2.1", PatientID="PID-7")
    site.run()
    site.rule(patient_id="PID-7")
    replay_all(site)
    assert site.transfers("1.2.1") == {1: Asked(HEART, "PID-7")}
    site.person_deletes_transfer("1.2.1", 1)
    site.person_deletes("1.2.1")
    replay_all(site)
    assert site.transfers("1.2.1") == {2: Asked(HEART, "PID-7")}
    assert site.series_rows("1.2.1")


def test_of_a_forgotten_patient_rows_are_written_without_a_name_and_nothing_is_requested(requested: Site) -> None:
    forget_patient(requested, "PID-7")
    requested.person_deletes("1.2.1")
    replay_all(requested)
    assert "study_patient_id" not in requested.study_row("1.2.1")
    assert len(requested.series_rows("1.2.1")) == 2
    assert requested.transfers("1.2.1") == {}
