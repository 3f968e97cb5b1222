"""What people delete in REDCap: noticed when it is touched, reported once, not written again."""

from collections.abc import Callable

import pytest

from processors.demo.simulator import Fault
from processors.operations.replay import Scope
from tests.delivery.reconcile.conftest import Reconciler
from tests.flow.conftest import MakeSite
from tests.flow.harness import BRAIN, HEART, Asked, Site
from tests.operations.operator import acknowledge, amend_by_hand, replay_all

DELETED = "row deleted or changed in REDCap"


def test_a_deleted_record_is_reported_once_and_not_written_again(site: Site) -> None:
    site.series("1.2.3")
    site.run()
    site.person_deletes("1.2.3")
    site.series("1.2.3", "1.2.3.2")
    assert site.run().attention == {"row deleted or changed in REDCap": 1}
    site.series("1.2.3", "1.2.3.3")
    site.grow("1.2.3")
    assert site.run().attention == {"row deleted or changed in REDCap": 1}
    assert "1.2.3" not in site.incoming.records
    assert len(site.events("RowMissing")) == 1


@pytest.mark.parametrize("noticed", [False, True])
def test_whoever_asks_for_a_deleted_record_gets_all_of_it_back(site: Site, *, noticed: bool) -> None:
    site.series("1.2.3", "1.2.3.1", AccessionNumber="ACC-1")
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    site.run()
    before = site.study_row("1.2.3"), site.series_rows("1.2.3")
    site.person_deletes("1.2.3")
    if noticed:
        site.grow("1.2.3")
        assert site.run().attention == {"row deleted or changed in REDCap": 1}
    site.entry(accession="ACC-1")
    assert site.run().attention == {}
    assert (site.study_row("1.2.3"), len(site.series_rows("1.2.3"))) == (before[0], len(before[1]))
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    site.assert_sound()


@pytest.mark.parametrize("acknowledged", [False, True])
def test_whoever_puts_a_deleted_record_back_gets_all_of_its_rows(requested: Site, *, acknowledged: bool) -> None:
    """What came meanwhile used to wait for ever, and nothing showed it."""
    requested.person_deletes("1.2.3")
    requested.series("1.2.3", "1.2.3.3", AccessionNumber="ACC-1")
    requested.run()
    if acknowledged:
        acknowledge(requested)
    requested.incoming.put([{"study_instance_uid": "1.2.3"}])
    requested.run(after=3_600)
    assert requested.study_row("1.2.3")["study_arrival_date"]
    series = [row["series_instance_uid"] for row in requested.series_rows("1.2.3").values()]
    assert sorted(series) == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    assert requested.transfers("1.2.3") == {}
    assert requested.attention() == {DELETED: 1}
    requested.assert_sound()


def test_a_record_that_was_taken_for_deleted_by_mistake_gets_its_late_series(requested: Site) -> None:
    """It stands there as it was, and nothing in REDCap's log tells so."""
    kept = requested.incoming.records["1.2.3"]
    requested.person_deletes("1.2.3")
    requested.grow("1.2.3", "1.2.3.1")
    requested.run()
    requested.incoming.records["1.2.3"] = kept
    requested.series("1.2.3", "1.2.3.3", AccessionNumber="ACC-1")
    requested.run(after=3_600)
    series = [row["series_instance_uid"] for row in requested.series_rows("1.2.3").values()]
    assert sorted(series) == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    assert _asked(requested) == [Asked(HEART, "H-001")]
    assert requested.attention() == {}


def test_deleted_records_are_looked_for_once_an_hour(requested: Site) -> None:
    def looks() -> int:
        looked_up = ("study_instance_uid", "study_arrival_date")
        return len([call for call in requested.calls if call.fields == looked_up])

    requested.run()
    assert looks() == 0
    requested.person_deletes("1.2.3")
    requested.grow("1.2.3", "1.2.3.1")
    requested.run()
    counted = []
    for after in (60, 60, 3_600):
        requested.run(after=after)
        counted.append(looks())
    assert counted == [1, 0, 1]


def test_a_deleted_record_is_not_brought_back_by_a_request_that_was_made_before(site: Site) -> None:
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_deletes("1.2.3")
    site.grow("1.2.3")
    site.run()
    site.entry(accession="ACC-1", subject="")
    site.run()
    assert "1.2.3" not in site.incoming.records


def test_what_the_sender_carries_out_after_its_row_was_deleted_is_told_of_the_request(site: Site) -> None:
    """It had copied the row into its queue."""
    site.series("1.2", "1.2.1")
    site.entry("1", study="1.2", project=HEART, subject="SUBJ-1")
    site.run()
    site.person_deletes_transfer("1.2", 1)
    site.sender_sends("1.2", 1)
    site.run(after=120)
    assert site.query("select ours, state, instance from gateway.outcome") == [(True, "sent", 1)]
    assert site.query("select sent from audit.transfer") == [(True,)]


def test_a_deleted_record_does_not_hold_up_others(site: Site) -> None:
    site.series("1.2.3")
    site.run()
    site.person_deletes("1.2.3")
    site.grow("1.2.3")
    site.series("1.2.4")
    site.run()
    assert list(site.incoming.records) == ["1.2.4"]


def test_a_deleted_series_row_is_reported_once_and_not_written_again(site: Site) -> None:
    site.series("1.2.3", "1.2.3.1")
    site.series("1.2.3", "1.2.3.2")
    site.run()
    (gone,) = [n for n, row in site.series_rows("1.2.3").items() if row["series_instance_uid"] == "1.2.3.2"]
    site.person_deletes_series("1.2.3", gone)
    for _ in range(2):
        site.grow("1.2.3", "1.2.3.2")
        assert site.run().attention == {"row deleted or changed in REDCap": 1}
    assert [row["series_instance_uid"] for row in site.series_rows("1.2.3").values()] == ["1.2.3.1"]
    assert len(site.events("RowMissing")) == 1


def test_the_other_series_of_the_study_are_still_written(site: Site) -> None:
    site.series("1.2.3", "1.2.3.1")
    site.run()
    site.person_deletes_series("1.2.3", 1)
    site.grow("1.2.3", "1.2.3.1")
    site.series("1.2.3", "1.2.3.2")
    site.run()
    assert {n: row["series_instance_uid"] for n, row in site.series_rows("1.2.3").items()} == {2: "1.2.3.2"}


def test_a_row_that_was_deleted_unnoticed_and_sent_all_the_same_is_reported(site: Site) -> None:
    """The sender held a copy. That the study was sent was told, and not that its row had been deleted before."""
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_deletes_transfer("1.2.3", 1)
    site.sender_sends("1.2.3", 1)
    assert site.run(after=3_600).attention == {"row deleted or changed in REDCap": 1}
    site.run(after=3_600)
    assert (len(site.events("TransferSent")), len(site.events("RowMissing"))) == (1, 1)


@pytest.fixture
def requested(site: Site) -> Site:
    """A study that is requested by a coupling entry."""
    return _requested(site)


@pytest.fixture
def apart(make_site: MakeSite) -> Site:
    """The same, with the transfers in a REDCap project of their own."""
    return _requested(make_site(separate_transfers=True))


def _requested(site: Site) -> Site:
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", "1.2.3.1", AccessionNumber="ACC-1")
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    site.run()
    return site


def _asked(site: Site) -> list[Asked]:
    """What the sender would carry out."""
    return [row for row in site.transfers("1.2.3").values() if row.project and row.name]


# -- the record is gone from Incoming, and the transfers are in a project of their own


def test_a_correction_beside_a_late_series_is_placed_and_brings_the_record_back(apart: Site) -> None:
    apart.person_deletes("1.2.3")
    apart.series("1.2.3", "1.2.3.3", AccessionNumber="ACC-1")
    apart.entry(accession="ACC-1", subject="H-003")
    assert DELETED not in apart.run().attention
    assert _asked(apart) == [Asked(HEART, "H-003")]
    assert apart.study_row("1.2.3")
    assert len(apart.series_rows("1.2.3")) == 3
    apart.assert_sound()


@pytest.mark.parametrize("told", ["not at all", "as deleted", "and acknowledged"])
def test_whoever_asks_for_it_anew_gets_the_record_back(apart: Site, told: str) -> None:
    before = apart.study_row("1.2.3")
    apart.person_deletes("1.2.3")
    if told != "not at all":
        apart.grow("1.2.3")
        assert apart.run().attention == {DELETED: 1}
    if told == "and acknowledged":
        acknowledge(apart)
    apart.entry("2", accession="ACC-1", project=BRAIN, subject="B-001")
    assert apart.run().attention == {}
    assert _asked(apart) == [Asked(HEART, "H-001"), Asked(BRAIN, "B-001")]
    assert apart.study_row("1.2.3") == before
    assert len(apart.series_rows("1.2.3")) == 2
    apart.assert_sound()


def test_an_operator_who_reassigns_gets_the_record_back(apart: Site) -> None:
    apart.person_deletes("1.2.3")
    amend_by_hand(apart, "1.2.3", to="H-009")
    assert _asked(apart) == [Asked(HEART, "H-009")]
    assert len(apart.series_rows("1.2.3")) == 2


def test_what_ends_brings_no_record_back(apart: Site) -> None:
    apart.person_deletes("1.2.3")
    amend_by_hand(apart, "1.2.3")
    apart.run()
    assert _asked(apart) == []
    assert "1.2.3" not in apart.incoming.records


def test_a_request_brings_the_record_back_though_that_run_was_killed(apart: Site) -> None:
    apart.person_deletes("1.2.3")
    apart.entry(accession="ACC-1", subject="H-003")
    apart.run_killed_before_import()
    apart.run()
    assert _asked(apart) == [Asked(HEART, "H-003")]
    assert len(apart.series_rows("1.2.3")) == 2


# -- a row of transfers is gone, or says something else


@pytest.mark.parametrize("place", ["requested", "apart"])
def test_a_deleted_transfer_is_told_by_the_next_run_once(place: str, request: pytest.FixtureRequest) -> None:
    site: Site = request.getfixturevalue(place)
    site.person_deletes_transfer("1.2.3", 1)
    assert site.run().attention == {DELETED: 1}
    for _ in range(2):
        assert site.run().attention == {DELETED: 1}
    assert site.events("RowMissing") == [{"study": "1.2.3", "kind": "transfer", "key": _request_of(site)}]
    assert _asked(site) == []
    site.assert_sound()


def _request_of(site: Site) -> str:
    return str(site.query("select position from gateway.transfer")[0][0])


@pytest.mark.parametrize(
    "changed",
    [
        {"transfer_project_name": BRAIN},
        {"transfer_event_name": "baseline"},
        {"transfer_name": "H-002"},
        {"transfer_name": ""},
    ],
)
def test_a_transfer_that_a_person_changes_is_told_by_the_next_run_once(
    requested: Site, changed: dict[str, str]
) -> None:
    _rewrite(requested, changed)
    for _ in range(2):
        assert requested.run().attention[DELETED] == 1
    assert len(requested.events("RowMissing")) == 1


def _rewrite(site: Site, fields: dict[str, str]) -> None:
    row = site.transfer_project.records["1.2.3"].instances["transfers"][1]
    place = {"study_instance_uid": "1.2.3", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    site.transfer_project.delete_instance("1.2.3", "transfers", 1)
    site.transfer_project.put([{**place, **{name: value for name, value in (row | fields).items() if value}}])


def test_a_row_that_is_back_as_it_was_needs_nobody_any_more(requested: Site) -> None:
    row = dict(requested.transfer_project.records["1.2.3"].instances["transfers"][1])
    requested.person_deletes_transfer("1.2.3", 1)
    requested.run()
    place = {"study_instance_uid": "1.2.3", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    requested.transfer_project.put([{**place, **row}])
    assert requested.run().attention == {}
    requested.run()
    assert len(requested.events("RowRestored")) == 1
    requested.assert_sound()


@pytest.mark.parametrize("grows", [False, True])
def test_what_a_person_asks_for_after_ours_was_deleted_is_theirs(requested: Site, *, grows: bool) -> None:
    """It was taken for ours, put back, where it stood in the same instance: `retract` emptied a person's row."""
    requested.person_deletes_transfer("1.2.3", 1)
    requested.run()
    assert requested.person_requests("1.2.3", HEART, "H-001") == 1
    if grows:
        requested.grow("1.2.3")
    requested.run()
    theirs = requested.transfer_rows("1.2.3")
    amend_by_hand(requested, "1.2.3")
    requested.run()
    assert requested.transfer_rows("1.2.3") == theirs
    assert requested.attention()[DELETED] == 1
    requested.assert_sound()


@pytest.mark.parametrize("by", ["replay", "reconcile --restore"])
def test_what_was_sent_although_its_row_was_deleted_is_not_written_again(requested: Site, by: str) -> None:
    """The sender had a copy. No run had looked yet, so that it would have been sent once more, and the first sending
    was told of nobody's request.
    """
    _deleted_while_the_sender_had_a_copy(requested)
    requested.sender_sends("1.2.3", 1)
    _write_again(requested, by)
    requested.run()
    assert _asked(requested) == []
    assert requested.query("select sent, sends from audit.transfer") == [(True, 1)]
    requested.assert_sound()


def test_what_could_not_be_sent_is_told_before_it_is_written_again(requested: Site) -> None:
    _deleted_while_the_sender_had_a_copy(requested)
    requested.sender_fails("1.2.3", 1)
    _write_again(requested, "replay")
    assert _asked(requested) == [Asked(HEART, "H-001")]
    assert [event["instance"] for event in requested.events("TransferFailed")] == [1]
    requested.assert_sound()


def _deleted_while_the_sender_had_a_copy(site: Site) -> None:
    site.clock.advance(3_600)
    site.person_deletes_transfer("1.2.3", 1)


def _write_again(site: Site, by: str) -> None:
    if by == "replay":
        replay_all(site)
    else:
        Reconciler(site).restore()


# -- a deleted row is put back after it was written again: two can be sent


def _put_back_after_it_was_written_again(site: Site, **told: str) -> None:
    row = dict(site.transfer_project.records["1.2.3"].instances["transfers"][1]) | told
    site.person_deletes_transfer("1.2.3", 1)
    replay_all(site)
    place = {"study_instance_uid": "1.2.3", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    site.transfer_project.put([{**place, **row}])
    assert [asked.name for asked in _asked(site)] == ["H-001"] * 2


@pytest.mark.parametrize("place", ["requested", "apart"])
def test_of_a_row_put_back_beside_the_one_written_again_one_is_ended(
    place: str, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(place)
    _put_back_after_it_was_written_again(site)
    assert site.run().attention == {}
    assert _asked(site) == [Asked(HEART, "H-001")]
    head = site.head()
    site.run()
    assert site.head() == head
    site.assert_sound()


@pytest.mark.parametrize("place", ["requested", "apart"])
@pytest.mark.parametrize("is_locked", [False, True])
def test_of_a_sent_row_put_back_beside_the_one_written_again_that_one_is_ended(
    place: str, request: pytest.FixtureRequest, *, is_locked: bool
) -> None:
    """The sent one used to be ended, and the study was sent again by the other."""
    site: Site = request.getfixturevalue(place)
    _put_back_after_it_was_written_again(site, transfer_date="2026-03-02 08:50", transfer_mapped_uid="2.25.7")
    if is_locked:
        site.transfer_project.lock("1.2.3")
        for _ in range(3):
            site.run()
        site.transfer_project.unlock("1.2.3")
    assert site.run().attention == {}
    assert _asked(site) == [Asked(HEART, "H-001", sent=True)]
    told = "select state, instance, sends, sent_at, mapped_uids from audit.transfer"
    assert site.query(told) == [("placed", 1, 1, "2026-03-02 08:50", ["2.25.7"])]
    site.run()
    head = site.head()
    site.run()
    assert site.head() == head
    assert site.head() == head
    assert [len(site.events(type_)) for type_ in ("TransferSent", "TransferReopened")] == [1, 0]
    site.assert_sound()


def test_while_redcap_refuses_to_end_a_double_it_is_shown(requested: Site) -> None:
    _put_back_after_it_was_written_again(requested)
    requested.transfer_project.lock("1.2.3")
    for _ in range(3):
        assert requested.run().attention == {"not ended yet": 1, "refused row": 1}
    requested.transfer_project.unlock("1.2.3")
    assert requested.run().attention == {}
    assert _asked(requested) == [Asked(HEART, "H-001")]
    requested.assert_sound()


def _not_ended_yet(site: Site) -> None:
    """Two rows say the same, and REDCap refused to have one of them ended; by now it would take that."""
    _put_back_after_it_was_written_again(site)
    site.transfer_project.lock("1.2.3")
    site.run()
    site.transfer_project.unlock("1.2.3")


def test_a_double_that_a_person_takes_away_again_is_no_longer_shown(requested: Site) -> None:
    _not_ended_yet(requested)
    requested.person_deletes_transfer("1.2.3", 1)
    assert requested.run().attention == {}
    assert _asked(requested) == [Asked(HEART, "H-001")]
    requested.assert_sound()


def test_a_double_whose_record_a_person_deletes_is_no_longer_shown(requested: Site) -> None:
    _not_ended_yet(requested)
    requested.person_deletes("1.2.3")
    assert requested.run().attention == {DELETED: 1}
    assert requested.run().attention == {DELETED: 1}
    requested.assert_sound()


def test_what_is_retracted_ends_with_its_double(requested: Site) -> None:
    _not_ended_yet(requested)
    amend_by_hand(requested, "1.2.3")
    assert requested.run().attention == {"may have been sent": 1}
    assert _asked(requested) == []
    requested.assert_sound()


def test_of_a_record_that_an_export_leaves_out_nothing_is_told(requested: Site) -> None:
    requested.series("1.2.4")
    requested.run()
    with requested.left_out("incoming", "1.2.3"):
        assert requested.run().attention == {}
    assert requested.run().attention == {}
    assert requested.events("RowMissing") == []


def test_of_a_request_that_ended_nobody_misses_the_row(requested: Site) -> None:
    amend_by_hand(requested, "1.2.3")
    assert requested.run().attention == {}
    assert _asked(requested) == []
    assert requested.events("RowMissing") == []


# -- what was deleted is asked for anew, in words that ask for the same


def _said_by_study_uid(site: Site) -> None:
    site.entry(study="1.2.3", subject="H-001")


def _said_by_another_entry(site: Site) -> None:
    site.entry("2", accession="ACC-1", subject="H-001")


ANEW = [_said_by_study_uid, _said_by_another_entry]


def _delete(site: Site, what: str) -> None:
    if what == "row":
        site.person_deletes_transfer("1.2.3", 1)
        return
    site.person_deletes("1.2.3")
    if site.transfer_project is not site.incoming:
        site.transfer_project.delete("1.2.3")


@pytest.mark.parametrize("noticed", [False, True])
@pytest.mark.parametrize("say", ANEW)
@pytest.mark.parametrize("what", ["record", "row"])
@pytest.mark.parametrize("place", ["requested", "apart"])
def test_whoever_asks_for_the_same_after_a_deletion_gets_it_back(
    place: str, what: str, say: Callable[[Site], None], request: pytest.FixtureRequest, *, noticed: bool
) -> None:
    """Unnoticed until then, the deletion used to count as newer than the word; and of two entries the older counted."""
    site: Site = request.getfixturevalue(place)
    _delete(site, what)
    if noticed:
        site.grow("1.2.3")
        site.run()
        assert _asked(site) == []
    say(site)
    site.run()
    assert _asked(site) == [Asked(HEART, "H-001")]
    assert len(site.series_rows("1.2.3")) == 2
    site.run()
    assert _asked(site) == [Asked(HEART, "H-001")]
    site.assert_sound()


def test_what_was_sent_before_its_record_was_deleted_is_placed_for_whoever_asks_anew(requested: Site) -> None:
    requested.sender_sends("1.2.3", 1)
    requested.run()
    requested.person_deletes("1.2.3")
    _said_by_another_entry(requested)
    requested.run()
    assert _asked(requested) == [Asked(HEART, "H-001")]


def test_another_date_of_the_entry_asks_for_nothing_that_was_deleted(requested: Site) -> None:
    requested.person_deletes("1.2.3")
    requested.entry(accession="ACC-1", subject="H-001", date="2026-04-01 08:00")
    assert requested.run().attention == {DELETED: 1}
    assert _asked(requested) == []


@pytest.mark.parametrize("say", ANEW)
def test_words_wait_while_nobody_knows_whether_the_record_is_gone(requested: Site, say: Callable[[Site], None]) -> None:
    del requested.incoming.records["1.2.3"]
    requested.incoming.log.clear()
    say(requested)
    requested.run()
    assert (_asked(requested), requested.events("RowMissing")) == ([], [])
    requested.run()
    assert _asked(requested) == [Asked(HEART, "H-001")]
    requested.assert_sound()


@pytest.mark.parametrize("say", ANEW)
def test_words_count_once_though_their_study_was_missing_from_an_export(
    requested: Site, say: Callable[[Site], None]
) -> None:
    said = len(requested.events("CouplingEntryChanged"))
    say(requested)
    with requested.left_out("incoming", "1.2.3"):
        (warning,) = requested.run().warnings
    assert "1 study is missing from REDCap's export" in warning
    assert len(requested.events("CouplingEntryChanged")) == said
    requested.run()
    assert len(requested.events("CouplingEntryChanged")) == said + 1
    assert (_asked(requested), requested.events("RowMissing")) == ([Asked(HEART, "H-001")], [])
    assert requested.attention() == {}
    requested.assert_sound()


def test_words_do_not_wait_for_a_record_that_cannot_be_read(requested: Site) -> None:
    _said_by_another_entry(requested)
    requested.simulator.inject(Fault(kind="status", status=400, project="incoming", action="export", times=1))
    requested.run()
    assert len(requested.events("CouplingEntryChanged")) == 2


# -- a replay, while the entry that asked for what was deleted is missing


def test_what_a_replay_did_not_restore_as_its_entry_was_missing_is_by_the_run_that_finds_it(requested: Site) -> None:
    requested.person_deletes_transfer("1.2.3", 1)
    with requested.left_out("coupling", "1"):
        replay_all(requested, Scope(project=HEART))
        assert _asked(requested) == []
    requested.run()
    assert _asked(requested) == [Asked(HEART, "H-001")]
    # That the row was deleted, and had stood for long enough for the sender to have it, is for a person to know.
    assert requested.attention() == {DELETED: 1, "may have been sent": 1}
