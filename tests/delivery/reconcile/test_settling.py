"""Differences settled: ours written again, or theirs recorded."""

import pytest

from processors.demo.simulator import Fault
from processors.errors import ServiceError
from tests.delivery.reconcile.conftest import MakeSite, Reconciler, Told, kinds
from tests.flow.harness import BRAIN, HEART, Asked, Killed, Site, Steps

STUDY = "1.2.3"


@pytest.fixture(autouse=True)
def delivered(site: Site) -> None:
    site.rule(patient_id="PID-1")
    site.series(STUDY, f"{STUDY}.1")
    site.series(STUDY, f"{STUDY}.2")
    site.run()


def change(site: Site, instrument: str = "", instance: int | None = None, **fields: str) -> None:
    place = {"study_instance_uid": STUDY}
    if instrument:
        place |= {"redcap_repeat_instrument": instrument, "redcap_repeat_instance": str(instance)}
    site.incoming.put([place | fields])


# -- ours again -------------------------------------------------------------------------------------------


def test_what_was_changed_is_written_again(site: Site, reconciler: Reconciler) -> None:
    change(site, study_description="theirs")
    change(site, "series", 2, series_num_files="999")
    reconciler.restore()
    assert reconciler.told() == []
    assert site.study_row(STUDY).get("study_description") != "theirs"
    site.assert_sound()


def test_a_request_for_a_closed_project_is_not_placed_again(site: Site, reconciler: Reconciler) -> None:
    site.person_deletes_transfer(STUDY, 1)
    reconciler.restore(closed=[HEART])
    assert site.transfers(STUDY) == {}
    reconciler.restore()
    assert [*site.transfers(STUDY).values()] == [Asked(HEART, "PID-1")]


def test_deleted_rows_come_back(site: Site, reconciler: Reconciler) -> None:
    site.person_deletes_series(STUDY, 1)
    site.person_deletes_transfer(STUDY, 1)
    reconciler.restore()
    assert reconciler.told() == []
    assert {row["series_instance_uid"] for row in site.series_rows(STUDY).values()} == {f"{STUDY}.1", f"{STUDY}.2"}
    assert set(site.transfers(STUDY).values()) == {Asked(HEART, "PID-1")}
    site.assert_sound()


def test_what_was_stored_and_never_recorded_is_known_again(site: Site, reconciler: Reconciler) -> None:
    """It was listed as deleted, for ever, though it stood in REDCap, under another instance."""
    site.rule("2", project=BRAIN, patient_id="PID-1")
    site.series(STUDY, f"{STUDY}.3")
    site.run()
    site.person_deletes(STUDY)
    site.simulator.inject(Fault(kind="status", status=500, action="import", after_commit=True, times=3))
    with pytest.raises(ServiceError):
        reconciler.restore()
    site.simulator.clear_faults()
    site.run()
    site.run()
    assert (site.attention(), reconciler.told()) == ({}, [])
    assert sorted(site.transfers(STUDY).values()) == [Asked(BRAIN, "PID-1"), Asked(HEART, "PID-1")]
    site.clock.advance(60)
    reconciler.restore()
    site.run(after=3600)
    assert (site.attention(), len(site.transfers(STUDY))) == ({}, 2)
    site.assert_sound()


def test_a_deleted_record_comes_back_whole(site: Site, reconciler: Reconciler) -> None:
    before = site.study_row(STUDY)
    site.person_deletes(STUDY)
    reconciler.restore()
    assert reconciler.told() == []
    assert site.study_row(STUDY) == before
    assert len(site.series_rows(STUDY)) == 2
    assert list(site.transfers(STUDY).values()) == [Asked(HEART, "PID-1")]


def test_a_record_whose_absence_was_noticed_before_is_no_longer_a_problem(site: Site, reconciler: Reconciler) -> None:
    site.person_deletes(STUDY)
    site.grow(STUDY)
    site.run()
    assert site.attention() == {"row deleted or changed in REDCap": 1}
    reconciler.restore()
    site.run()
    assert site.attention() == {}
    assert reconciler.told() == []


def test_what_was_sent_is_not_placed_again(site: Site, reconciler: Reconciler) -> None:
    site.sender_sends(STUDY, 1)
    site.run()
    site.person_deletes_transfer(STUDY, 1)
    (different,) = reconciler.found().differences
    assert different.note == "It was sent: it is not placed again."
    reconciler.restore()
    assert site.transfers(STUDY) == {}
    assert kinds(reconciler.told()) == [("transfer", "missing")]


def test_what_may_have_been_sent_before_anybody_looked_is_not_placed_again(site: Site, reconciler: Reconciler) -> None:
    site.query("update gateway.look set since = looked_at + interval '1 day' returning 1")
    site.person_deletes_transfer(STUDY, 1)
    (different,) = reconciler.found().differences
    assert "may have been sent" in different.note
    reconciler.restore()
    assert site.transfers(STUDY) == {}


def test_what_people_wrote_in_place_of_ours_is_never_overwritten(site: Site, reconciler: Reconciler) -> None:
    site.person_requests(STUDY, BRAIN, "THEIRS", instance=1)
    reconciler.restore()
    assert site.transfers(STUDY) == {1: Asked(BRAIN, "THEIRS"), 2: Asked(HEART, "PID-1")}
    assert len(site.events("TransferObserved")) == 1
    assert reconciler.told() == [], "theirs is known by the look that is taken before"


def test_rows_of_others_are_left_alone(site: Site, reconciler: Reconciler) -> None:
    change(site, "series", 9, series_instance_uid="9.9.9", series_description="theirs")
    site.incoming.put([{"study_instance_uid": "9.9.9", "study_description": "by hand"}])
    before = reconciler.told()
    reconciler.restore()
    assert reconciler.told() == before
    assert site.series_rows(STUDY)[9]["series_description"] == "theirs"


def test_killed_at_any_step_restoring_goes_on(site: Site, reconciler: Reconciler) -> None:
    site.person_deletes(STUDY)
    fatal = 0
    while True:
        fatal += 1
        try:
            reconciler.restore(Steps(fatal=fatal))
        except Killed:
            continue
        break
    assert fatal > 3
    assert reconciler.told() == []
    assert list(site.transfers(STUDY).values()) == [Asked(HEART, "PID-1")]
    site.assert_sound()


def test_transfers_in_a_project_of_their_own_come_back_there(make_site: MakeSite) -> None:
    site = make_site(separate_transfers=True)
    site.series("1.2.8")
    site.rule(patient_id="PID-1")
    site.run()
    reconciler = Reconciler(site)
    site.transfer_project.delete("1.2.8")
    reconciler.restore()
    assert list(site.transfers("1.2.8").values()) == [Asked(HEART, "PID-1")]
    assert reconciler.told(study="1.2.8") == []


# -- theirs -------------------------------------------------------------------------------------------------


def test_what_was_accepted_differs_no_more(site: Site, reconciler: Reconciler) -> None:
    change(site, study_description="theirs")
    change(site, "series", 2, series_num_files="999")
    change(site, "series", 9, series_instance_uid=f"{STUDY}.1")
    site.incoming.put([{"study_instance_uid": "9.9.9", "study_description": "by hand"}])
    assert len(reconciler.told()) == 4
    reconciler.accept()
    assert reconciler.told() == []
    accepted = site.events("DifferenceAccepted")
    assert {(event["kind"], event["by"], event["reason"]) for event in accepted} == {
        ("study", "admin", "it is so"),
        ("series", "admin", "it is so"),
        ("record", "admin", "it is so"),
    }
    assert "theirs" not in site.everything_stored()
    site.assert_sound()


def test_another_change_of_theirs_differs_again(site: Site, reconciler: Reconciler) -> None:
    change(site, study_description="theirs")
    reconciler.accept()
    change(site, study_description="theirs again")
    assert reconciler.told() == [Told(STUDY, "study", "changed", fields=("study_description",))]


def test_a_change_of_ours_differs_again_if_theirs_comes_back(site: Site, reconciler: Reconciler) -> None:
    """The new row overwrites theirs; that somebody changes it back was not accepted."""
    change(site, "series", 2, series_num_files="999")
    reconciler.accept()
    site.grow(STUDY, f"{STUDY}.2")
    site.run()
    assert reconciler.told() == []
    change(site, "series", 2, series_num_files="999")
    assert kinds(reconciler.told()) == [("series", "changed")]


def test_accepted_absence_is_acknowledged(site: Site, reconciler: Reconciler) -> None:
    site.person_deletes_series(STUDY, 2)
    site.person_deletes_transfer(STUDY, 1)
    reconciler.accept()
    assert reconciler.told() == []
    assert len(site.events("RowMissing")) == len(site.events("Acknowledged")) == 2
    site.grow(STUDY, f"{STUDY}.2")
    site.run()
    assert site.attention() == {}
    site.assert_sound()


def test_an_absence_noticed_before_is_acknowledged_and_not_told_twice(site: Site, reconciler: Reconciler) -> None:
    site.person_deletes(STUDY)
    site.grow(STUDY)
    site.run()
    reconciler.accept()
    assert [event["kind"] for event in site.events("RowMissing")] == ["study", "transfer"]
    assert site.attention() == {}
    assert reconciler.told() == []
    reconciler.restore()
    assert STUDY not in site.incoming.records


def test_requests_of_others_are_recorded_with_what_became_of_them(site: Site, reconciler: Reconciler) -> None:
    site.person_requests(STUDY, BRAIN, "THEIRS")
    site.sender_sends(STUDY, 2)
    reconciler.accept()
    assert reconciler.told() == []
    assert [event["instance"] for event in site.events("TransferObserved")] == [2]
    assert [event["request"] for event in site.events("TransferSent")] == [None]
    assert "THEIRS" not in site.everything_stored()


def test_a_rewritten_request_is_accepted_as_gone_and_as_theirs(site: Site, reconciler: Reconciler) -> None:
    site.person_requests(STUDY, HEART, "OTHER", instance=1)
    reconciler.accept()
    assert reconciler.told() == []
    assert [event["kind"] for event in site.events("RowMissing")] == ["transfer"]
    assert len(site.events("TransferObserved")) == 1
    site.run()
    assert site.attention() == {}
