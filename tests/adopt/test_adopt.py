"""Adoption: what REDCap holds is recorded once, and the runs that follow repeat nothing of it."""

import hashlib
import json
import signal

import pytest

from processors.delivery import actual
from processors.demo.simulator import Fault
from processors.demo.simulator.project import Rights
from processors.errors import ConfigurationError, Refused, Unanswered
from tests.adopt.sites import AdoptingSite
from tests.flow.harness import BRAIN, HEART, Asked, Killed, Steps, VisibleSteps

EVENTS = ("StudyAdopted", "TransferAdopted", "AdoptionCompleted")


def years_of_work(site: AdoptingSite, studies: int) -> None:
    """Records of so many studies, each second one requested, each fourth one sent."""
    for number in range(studies):
        study = f"1.2.{number}"
        site.scripts_wrote(study, series=1 + number % 3)
        if number % 2 == 0:
            site.scripts_requested(study, f"H-{number:03}", sent=number % 4 == 0)


def test_what_redcap_holds_is_recorded_with_its_instances(site: AdoptingSite) -> None:
    site.scripts_wrote("1.2.1", series=2)
    site.scripts_requested("1.2.1", "H-001", event="baseline", sent=True)
    site.scripts_requested("1.2.1", "B-001", project=BRAIN)
    adopted = site.adopt()
    assert (adopted.studies, adopted.series, adopted.transfers, adopted.ids) == (1, 2, 2, 0)
    series = {"1.2.1.1": 1, "1.2.1.2": 2}
    assert site.events("StudyAdopted") == [{"study": "1.2.1", "arrived": None, "series": series, "patient": None}]
    assert site.adopted("1.2.1") == [(1, HEART, "baseline", True), (2, BRAIN, "", False)]
    assert site.events("TransferAdopted")[1]["requested"] == "2026-03-01 07:30"
    site.assert_sound()


def test_hundreds_of_records_are_read_in_batches_and_nothing_is_written(site: AdoptingSite) -> None:
    years_of_work(site, 620)
    adopted = site.adopt()
    assert (adopted.studies, adopted.transfers) == (620, 310)
    exports = [call for call in site.calls if call.content == "record" and call.project == "incoming"]
    assert len(exports) == 4, "the ids, two batches, and the ids once more"
    assert {call.action for call in site.calls} == {"export"}
    site.assert_sound()


def test_pseudonyms_are_sealed(site: AdoptingSite) -> None:
    site.scripts_wrote("1.2.1")
    site.scripts_requested("1.2.1", "19151210-0001")
    site.adopt()
    assert "19151210-0001" not in site.everything_stored()


def test_adopting_again_records_only_what_is_new(site: AdoptingSite) -> None:
    years_of_work(site, 6)
    site.adopt()
    assert site.adopt().studies == 0
    assert site.counted(*EVENTS) == [6, 3, 2]
    site.scripts_wrote("1.2.9")
    site.scripts_requested("1.2.1", "H-101")
    adopted = site.adopt()
    assert (adopted.studies, adopted.transfers) == (1, 1)
    assert site.counted(*EVENTS) == [7, 4, 3]
    site.assert_sound()


def test_adopting_again_notices_requests_that_were_changed_sent_or_withdrawn(site: AdoptingSite) -> None:
    years_of_work(site, 8)
    site.adopt()
    site.person_requests("1.2.0", HEART, "H-999", instance=1)
    site.sender_sends("1.2.2", 1)
    site.person_deletes_transfer("1.2.6", 1)
    assert site.adopt().transfers == 2
    assert site.adopted("1.2.2") == [(1, HEART, "", True)]
    assert site.adopted("1.2.6") == []
    assert site.events("AdoptedTransferGone") == [{"study": "1.2.6", "instance": 1}]
    head = site.head()
    site.adopt()
    assert site.head() == head + 1, "that it was completed"


def test_transfers_are_read_where_they_are_kept(apart: AdoptingSite) -> None:
    apart.scripts_wrote("1.2.1", series=2)
    apart.scripts_requested("1.2.1", "H-001")
    adopted = apart.adopt()
    assert (adopted.studies, adopted.series, adopted.transfers) == (1, 2, 1)
    assert apart.adopted("1.2.1") == [(1, HEART, "", False)]


def test_records_that_are_no_studies_and_withdrawn_requests_are_left_alone(site: AdoptingSite) -> None:
    site.incoming.put([{"study_instance_uid": "Doe Jane", "study_description": "a trial"}])
    site.scripts_wrote("1.2.1")
    site.transfer_project.put(
        [
            {
                "study_instance_uid": "1.2.1",
                "redcap_repeat_instrument": "transfers",
                "redcap_repeat_instance": "1",
                "transfer_error_message": "withdrawn",
            }
        ]
    )
    adopted = site.adopt()
    assert (adopted.studies, adopted.transfers, adopted.no_uids) == (1, 0, 1)
    assert "Doe" not in site.everything_stored()


# What the runs after it do


def test_studies_on_disk_that_were_adopted_are_only_upserted(site: AdoptingSite) -> None:
    site.rule("1", called="FIONA", patient_id="PID-[0-9]+")
    for number in range(1, 4):
        study = f"1.2.{number}"
        site.series(study, PatientID=f"PID-{number}")
        site.scripts_wrote(study, series=2)
        site.scripts_requested(study, f"PID-{number}", sent=number == 1)
    before = site.all_transfer_rows()
    site.adopt()
    report = site.run()
    assert site.all_transfer_rows() == before
    assert report.decided is not None
    assert report.decided.requested == 0
    assert site.count("TransferRequested") == 0
    for number in range(1, 4):
        assert sorted(site.series_rows(f"1.2.{number}")) == [1, 2]
        assert "study_description" not in site.study_row(f"1.2.{number}"), "as the summary has it"
    site.run()
    assert site.attention() == {}
    site.assert_sound()


def test_late_series_go_on_counting_where_the_scripts_stopped(site: AdoptingSite) -> None:
    site.scripts_wrote("1.2.1", series=3)
    site.adopt()
    site.person_deletes_series("1.2.1", 3)
    site.series("1.2.1", "1.2.1.4")
    site.run()
    assert site.series_rows("1.2.1")[4]["series_instance_uid"] == "1.2.1.4"


def test_what_people_deleted_after_the_adoption_is_not_written_again(site: AdoptingSite) -> None:
    site.scripts_wrote("1.2.1", series=2)
    site.scripts_wrote("1.2.2")
    site.adopt()
    site.person_deletes_series("1.2.1", 1)
    site.person_deletes("1.2.2")
    site.series("1.2.1")
    site.series("1.2.2")
    site.run()
    assert sorted(site.series_rows("1.2.1")) == [2]
    assert "1.2.2" not in site.incoming.records
    assert site.attention() == {"row deleted or changed in REDCap": 2}


def test_what_a_rule_asks_for_beside_an_adopted_request_is_placed_after_it(site: AdoptingSite) -> None:
    site.rule("1", patient_id="PID-1", project=BRAIN)
    site.series("1.2.1")
    site.scripts_wrote("1.2.1")
    site.scripts_requested("1.2.1", "H-001")
    site.adopt()
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(HEART, "H-001"), 2: Asked(BRAIN, "PID-1")}


def test_a_rule_that_disagrees_with_an_adopted_request_is_contested_and_shown(site: AdoptingSite) -> None:
    site.rule("1", patient_id="PID-1")
    site.series("1.2.1")
    site.scripts_wrote("1.2.1")
    site.scripts_requested("1.2.1", "H-001")
    site.adopt()
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(HEART, "H-001")}
    assert site.attention() == {"contested by a person": 1}


def test_an_entry_corrected_after_the_adoption_amends_nothing_of_the_scripts(site: AdoptingSite) -> None:
    site.entry("1", study="1.2.1", subject="H-001")
    site.rule("1", patient_id="PID-1")
    site.series("1.2.1")
    site.scripts_wrote("1.2.1")
    site.scripts_requested("1.2.1", "H-001")
    site.adopt()
    site.run()
    assert site.attention() == {}, "the entry outranks the rule, and what it asks for stands"
    site.entry("1", study="1.2.1", subject="H-002")
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(HEART, "H-001")}
    assert site.attention() == {"contested by a person": 1}
    site.entry("1", study="1.2.1", subject="H-001")
    site.run()
    assert site.attention() == {}
    assert site.transfers("1.2.1") == {1: Asked(HEART, "H-001")}
    site.assert_sound()


def test_what_a_person_asks_for_in_place_of_an_adopted_request_counts_and_not_the_adopted_one(
    site: AdoptingSite,
) -> None:
    site.series("1.2.1")
    site.scripts_wrote("1.2.1")
    site.scripts_requested("1.2.1", "H-001")
    site.adopt()
    site.run()
    site.person_requests("1.2.1", HEART, "H-002", instance=1)
    site.run()
    site.entry("1", study="1.2.1", subject="H-001")
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(HEART, "H-002")}
    assert site.attention() == {"contested by a person": 1}


def test_an_adopted_request_whose_pseudonym_was_forgotten_is_neither_adopted_nor_placed_again(
    site: AdoptingSite,
) -> None:
    site.scripts_wrote("1.2.1")
    site.scripts_requested("1.2.1", "PID-1")
    site.adopt()
    with site.machine.gateway() as gateway, gateway.begin() as work:
        (event,) = work.connection.exec_driver_sql(
            "select subject from ledger.event where type = 'TransferAdopted'"
        ).scalars()
        gateway.vault.forget(work.connection, [event])
    site.adopt()
    assert site.count("TransferAdopted") == 1
    site.rule("1", patient_id="PID-1")
    site.series("1.2.1")
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(HEART, "PID-1")}


def test_a_study_discovered_before_is_adopted_and_what_this_system_wrote_is_not(site: AdoptingSite) -> None:
    site.rule("1", patient_id="PID-1")
    site.series("1.2.1")
    site.run()
    site.scripts_requested("1.2.1", "B-001", project=BRAIN)
    adopted = site.adopt()
    assert (adopted.studies, adopted.transfers) == (0, 1)
    assert site.adopted("1.2.1") == [(2, BRAIN, "", False)]


# Generated IDs


def test_adopted_ids_are_used_and_adopted_requests_keep_studies_from_getting_one(site: AdoptingSite) -> None:
    site.project()
    site.give("1", "PID-1", "H-0001")
    site.scripts_wrote("1.2.5")
    site.scripts_requested("1.2.5", "B-005", project=BRAIN)
    assert site.adopt().ids == 1
    site.study("1.2.1", "PID-1")
    site.study("1.2.2", "PID-2")
    site.study("1.2.5", "PID-5")
    site.run()
    assert site.requested("1.2.1") == "H-0001"
    assert site.requested("1.2.2") != "H-0001"
    assert site.transfers("1.2.5") == {1: Asked(BRAIN, "B-005")}
    assert len(site.autoid_rows()) == 2
    site.assert_no_id_twice()
    site.assert_sound()


def test_no_id_is_drawn_that_an_adopted_request_carries(site: AdoptingSite) -> None:
    site.project(pattern="H-[12]")
    site.scripts_wrote("1.2.5")
    site.scripts_requested("1.2.5", "H-1", sent=True)
    site.adopt()
    site.study("1.2.1", "PID-1")
    site.run()
    assert site.requested("1.2.1") == "H-2"


# Interrupted


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    # The size is no argument anywhere. What happens between two batches happens between small ones, too.
    monkeypatch.setattr(actual, "BATCH", 4)


@pytest.mark.usefixtures("small_batches")
def test_killed_at_any_step_the_next_adoption_goes_on_and_records_nothing_twice(site: AdoptingSite) -> None:
    years_of_work(site, 6)
    site.give("1", "PID-1", "H-0001")
    step = 1
    while site.adoption_killed_at(step, VisibleSteps) and not site.count("AdoptionCompleted"):
        step += 1
    assert step > 7
    assert site.counted(*EVENTS, "IdAdopted") == [6, 3, 1, 1]
    (completed,) = site.events("AdoptionCompleted")
    assert (completed["studies"], completed["transfers"], completed["ids"]) == (6, 3, 1)
    site.assert_sound()


class KilledAtCall(Steps):
    """Kills an adoption before the call of that number (from 1) while it reads what REDCap holds."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._left = number

    def take(self) -> None:
        if self.phase == "Reading what REDCap holds of them":
            self._left -= 1
            if self._left == 0:
                raise Killed
        super().take()


@pytest.mark.usefixtures("small_batches")
def test_a_killed_adoption_goes_on_with_the_studies_it_has_not_read(site: AdoptingSite) -> None:
    years_of_work(site, 6)
    with pytest.raises(Killed):
        site.adopt(KilledAtCall(4))  # after the dictionary, the first batch and its missing data codes
    assert site.counted(*EVENTS) == [4, 2, 0]
    site.scripts_wrote("1.2.0.1")  # before the place that was reached
    site.adopt()
    read = [call.records for call in site.calls if call.content == "record" and call.project == "incoming"]
    assert read == [7, 3, 7], "the ids, what was left, and the ids once more"
    assert site.counted(*EVENTS) == [7, 3, 1]
    assert site.events("AdoptionCompleted")[0]["studies"] == 7


def test_a_process_killed_in_the_middle_keeps_no_lock_and_no_half_batch(site: AdoptingSite) -> None:
    years_of_work(site, 510)
    process = site.operator.start_adopting(fatal=14)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert site.counted(*EVENTS) in ([0, 0, 0], [500, 250, 0], [510, 255, 0])
    site.adopt()
    assert site.counted(*EVENTS) == [510, 255, 1]


def test_an_adoption_left_for_days_begins_anew(site: AdoptingSite) -> None:
    years_of_work(site, 4)
    assert site.adoption_killed_at(12)
    site.clock.advance(2 * 86_400)
    site.person_requests("1.2.1", HEART, "H-001")
    site.adopt()
    assert site.adopted("1.2.1") == [(1, HEART, "", False)]


@pytest.mark.usefixtures("small_batches")
def test_redcap_down_midway_is_a_service_error_and_the_next_adoption_goes_on(site: AdoptingSite) -> None:
    years_of_work(site, 6)
    site.simulator.inject(Fault(kind="status", status=500, project="incoming", content="record", nth=3, times=None))
    with pytest.raises(Unanswered):
        site.adopt()
    site.simulator.clear_faults()
    site.adopt()
    assert site.counted(*EVENTS) == [6, 3, 1]


# What cannot be


def test_a_missing_token_is_a_configuration_error(site: AdoptingSite) -> None:
    del site.simulator.projects["incoming"]
    with pytest.raises(ConfigurationError, match=r"redcap\.tokens\.incoming"):
        site.operator.adopt()


def test_missing_rights_end_it_before_anything_is_taken_for_absent(site: AdoptingSite) -> None:
    site.scripts_wrote("1.2.1")
    site.incoming.rights = Rights(export=False)
    with pytest.raises(Refused):
        site.adopt()
    assert site.count("StudyAdopted") == 0


def test_an_entry_made_after_the_adoption_is_requested_even_where_an_adopted_request_said_the_same(
    site: AdoptingSite,
) -> None:
    site.scripts_wrote("1.2.1")
    site.scripts_requested("1.2.1", "H-001")
    site.series("1.2.1", AccessionNumber="ACC-1")
    site.adopt()
    site.person_deletes_transfer("1.2.1", 1)
    site.entry(accession="ACC-1", subject="H-001")
    site.run()
    assert [asked.name for asked in site.transfers("1.2.1").values()] == ["H-001"]


def script_rows(study: str, types: object) -> list[dict[str, object]]:
    """A study as the scripts wrote it: every field that they know, the list as Python writes JSON."""
    return [
        {
            "study_instance_uid": study,
            "study_patient_name": hashlib.sha256(b"Doe^Jane").hexdigest(),
            "study_patient_id": hashlib.sha256(b"PID-1").hexdigest(),
            "study_aetitle_sender": "CT1",
            "study_aetitle_addressed": "FIONA",
            "study_arrival_date": "2025-11-03 04:05",
            "incoming_studies_complete": "2",
        },
        {
            "study_instance_uid": study,
            "redcap_repeat_instrument": "series",
            "redcap_repeat_instance": "1",
            "series_instance_uid": f"{study}.1",
            "series_description": "ax",
            "series_classify_types": "" if types is None else json.dumps(types),
            "series_complete": "2",
        },
    ]


@pytest.mark.parametrize("types", [None, [], ["MR", "T1 \u00f8"]])
def test_a_first_run_after_adopting_rewrites_no_row_that_says_the_same(
    site: AdoptingSite, types: list[str] | None
) -> None:
    """Every series used to be rewritten, for a blank after a comma, and every study with today as its arrival date."""
    site.incoming.put(script_rows("1.2.3", types))
    written = site.incoming.rows()
    site.series("1.2.3", SeriesDescription="ax", ClassifyType=types)
    site.adopt()
    site.run()
    assert {call.action for call in site.calls} == {"export"}
    assert site.incoming.rows() == written
    assert len(site.events("StudyDelivered")) == 1
    site.series("1.2.3", SeriesDescription="sag")
    site.run()
    assert site.series_rows("1.2.3")[1]["series_description"] == "sag"
    assert site.study_row("1.2.3")["study_arrival_date"] == "2025-11-03 04:05"
    site.assert_sound()


@pytest.mark.parametrize("nth", [1, 2])
def test_what_one_export_leaves_out_is_adopted_all_the_same(site: AdoptingSite, nth: int) -> None:
    """Its pseudonym could be given to another patient, and an hour later the ledger was taken for a restored one."""
    for number in (1, 2, 3):
        site.scripts_wrote(f"1.2.{number}")
        site.scripts_requested(f"1.2.{number}", f"H-00{number}", sent=True)
    site.simulator.inject(Fault(kind="missing_record", nth=nth, project="incoming", content="record"))
    assert site.adopt().studies == 3
    assert site.query("select count(*) from gateway.adopted_transfer") == [(3,)]


def test_a_row_without_a_name_asks_for_nothing(site: AdoptingSite) -> None:
    """A row of ours that had been closed was told as somebody's live request, after a restore."""
    site.scripts_wrote("1.2.1")
    site.scripts_requested("1.2.1", "")
    sent = site.scripts_requested("1.2.1", "", project=BRAIN, sent=True)
    site.adopt()
    assert [row[0] for row in site.adopted("1.2.1")] == [sent]
    site.person_requests("1.2.1", HEART, "", event="later")
    site.run()
    assert site.query("select instance, sends from audit.request_of_others") == [(sent, 1)]
