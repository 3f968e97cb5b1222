"""A request that moves to another row of `transfers`: the sender may hold a copy of the one in which it stood."""

from collections.abc import Callable
from pathlib import Path

import pytest

from processors.configuration.settings import SenderSection
from processors.demo.sender import Sender
from processors.demo.simulator import Fault
from processors.errors import ServiceError
from tests.delivery.reconcile.conftest import Reconciler
from tests.flow.harness import BRAIN, HEART, Site
from tests.operations.operator import amend_by_hand, replay_all

STUDY = "1.2.3"
FILE = f"{STUDY}_{HEART}_H-001_{{}}.json"
POSSIBLY_SENT = {"may have been sent": 1}

Moves = Callable[[Site], None]
Ends = Callable[[Site], object]


def _restored(site: Site) -> None:
    site.person_deletes_transfer(STUDY, 1)
    site.run()
    Reconciler(site).restore()


def _replayed(site: Site) -> None:
    site.person_deletes_transfer(STUDY, 1)
    site.run()
    replay_all(site)


def _moved(site: Site) -> None:
    """A person puts the row elsewhere, which no run has seen yet."""
    row = dict(site.transfer_project.records[STUDY].instances["transfers"][1])
    place = {"study_instance_uid": STUDY, "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "2"}
    site.transfer_project.put([{**place, **row}])
    site.person_deletes_transfer(STUDY, 1)


def _copied(site: Site) -> None:
    """A person has put the row elsewhere."""
    _moved(site)
    site.run()


def _corrected(site: Site) -> None:
    site.entry(study=STUDY, subject="H-002")
    site.run()


MOVES = pytest.mark.parametrize("moves", [_restored, _replayed, _copied])
ENDS = pytest.mark.parametrize("ends", [lambda site: amend_by_hand(site, STUDY), _corrected], ids=["retract", "entry"])


@pytest.fixture
def queued(site: Site) -> Site:
    """A request that has stood for ten minutes."""
    site.entry(study=STUDY, subject="H-001")
    site.series(STUDY)
    site.run()
    site.clock.advance(600)
    return site


def _folders(folder: Path) -> SenderSection:
    (folder / "withdrawn").mkdir(exist_ok=True)
    queue, done, fail = (folder / name for name in ("queue", "done", "fail"))
    return SenderSection(queue=queue, done=done, fail=fail, withdrawn=folder / "withdrawn")


def _sender(site: Site, folder: Path) -> Sender:
    queue, done, fail = (folder / name for name in ("queue", "done", "fail"))
    transfers, raw = site.transfer_project, site.receiver.raw
    return Sender(transfers=transfers, raw=raw, queue=queue, done=done, fail=fail, clock=site.clock)


@pytest.fixture
def folders(queued: Site, tmp_path: Path) -> SenderSection:
    queued.sender = _folders(tmp_path)
    return queued.sender


@pytest.fixture
def sender(queued: Site, tmp_path: Path) -> Sender:
    """The sender, which has made a file of the request's row."""
    sender = _sender(queued, tmp_path)
    sender.create_transfer_requests()
    assert _files(sender.queue) == [FILE.format(1)]
    return sender


def _files(folder: Path | None) -> list[str]:
    assert folder is not None
    return sorted(path.name for path in folder.iterdir())


def _sends(sender: Sender) -> list[int]:
    for _ in sender.anonymize_and_send():
        pass
    return sorted(sent.request.instance for sent in sender.sent)


def _assert_unsent(site: Site, sender: Sender) -> None:
    """Nothing of the first request leaves, and all know that."""
    assert [name for name in _files(sender.queue) if "H-001" in name] == []
    _sends(sender)
    assert [sent.request.file for sent in sender.sent if "H-001" in sent.request.file] == []
    site.run()
    assert site.query("select sent, possibly_sent from audit.transfer order by position")[0] == (False, None)
    assert site.attention() == {}
    site.assert_sound()


@MOVES
@ENDS
@pytest.mark.usefixtures("folders")
def test_the_files_of_all_rows_in_which_it_stood_are_taken_back(
    queued: Site, sender: Sender, moves: Moves, ends: Ends
) -> None:
    moves(queued)
    sender.create_transfer_requests()
    ends(queued)
    _assert_unsent(queued, sender)


def _confirmed_late(site: Site) -> None:
    """The row is written again, and nobody hears that it was."""
    site.person_deletes_transfer(STUDY, 1)
    site.run()
    site.simulator.inject(Fault(kind="reset", action="import", after_commit=True))
    with pytest.raises(ServiceError):
        Reconciler(site).restore()
    site.simulator.clear_faults()


@pytest.mark.parametrize("moves", [_moved, _confirmed_late])
@ENDS
@pytest.mark.usefixtures("folders")
def test_so_are_those_of_rows_that_the_ledger_does_not_know(
    queued: Site, sender: Sender, moves: Moves, ends: Ends
) -> None:
    """They stayed, and were sent, and the request was said not to have been."""
    moves(queued)
    sender.create_transfer_requests()
    ends(queued)
    _assert_unsent(queued, sender)


@pytest.mark.parametrize("moves", [_moved, _confirmed_late])
@ENDS
def test_what_was_sent_of_such_a_row_is_told_in_full_as_it_ends(
    queued: Site, sender: Sender, moves: Moves, ends: Ends
) -> None:
    for file in sender.queue.iterdir():
        file.unlink()
    moves(queued)
    sender.create_transfer_requests()
    assert _sends(sender) == [2]
    ends(queued)
    (first, *_) = queued.query("select sent, sends, mapped_uids from audit.transfer order by position")
    assert first == (True, 1, list(sender.sent[0].mapped_uids))
    queued.run()
    assert queued.attention() in ({"retracted after it was sent": 1}, {"replaced after it was sent": 1})
    queued.assert_sound()


@ENDS
@pytest.mark.parametrize("seconds", [20, 600])
def test_the_file_of_a_row_whose_import_nobody_recorded_is_taken_back(
    site: Site, tmp_path: Path, ends: Ends, seconds: int
) -> None:
    """Within a minute its row was amended, and the old pseudonym left and was told as the new one's."""
    site.sender, sender = _folders(tmp_path), _sender(site, tmp_path)
    site.entry(study=STUDY, subject="H-001")
    site.series(STUDY)
    site.simulator.inject(Fault(kind="reset", action="import", after_commit=True))
    with pytest.raises(ServiceError):
        site.run()
    site.simulator.clear_faults()
    sender.create_transfer_requests()
    assert _files(sender.queue) == [FILE.format(1)]
    site.clock.advance(seconds - 60)
    ends(site)
    sender.create_transfer_requests()
    _assert_unsent(site, sender)


@MOVES
@ENDS
@pytest.mark.usefixtures("folders")
def test_while_the_sender_has_the_file_of_the_row_before_it_may_have_been_sent(
    queued: Site, sender: Sender, moves: Moves, ends: Ends
) -> None:
    taken = (sender.queue / FILE.format(1)).rename(sender.queue.parent / "taken")
    moves(queued)
    ends(queued)
    assert queued.attention() == POSSIBLY_SENT
    taken.rename(sender.done / f"{FILE.format(1)}_ok_20260302.log")
    queued.run()
    assert queued.query("select sent, sends from audit.transfer order by position")[0] == (True, 1)
    assert queued.attention() == {"sent after it was ended": 1}
    queued.assert_sound()


@MOVES
@ENDS
def test_without_folders_what_the_sender_writes_into_the_row_before_is_told_of_it(
    queued: Site, sender: Sender, moves: Moves, ends: Ends
) -> None:
    """However short a time it stands where it stands now."""
    moves(queued)
    ends(queued)
    assert queued.attention() == POSSIBLY_SENT
    _sends(sender)
    queued.run()
    queued.run()
    assert queued.query("select sent, sends from audit.transfer order by position")[0] == (True, 1)
    assert queued.attention() == {"sent after it was ended": 1}
    queued.assert_sound()


def test_what_is_sent_from_both_rows_is_told_twice(queued: Site, sender: Sender) -> None:
    """In one minute, so that the dates are alike; and each look after that finds nothing new."""
    _restored(queued)
    sender.create_transfer_requests()
    assert _sends(sender) == [1, 2]
    queued.run()
    assert queued.query("select sent, sends from audit.transfer") == [(True, 2)]
    head = queued.head()
    queued.run()
    queued.run()
    assert queued.head() == head
    queued.assert_sound()


@pytest.mark.usefixtures("folders")
def test_what_moved_is_sent_from_the_row_in_which_it_stands_alone(queued: Site, sender: Sender) -> None:
    _restored(queued)
    sender.create_transfer_requests()
    queued.run()
    assert _sends(sender) == [2]


def test_a_sent_row_that_a_person_puts_elsewhere_is_still_sent_and_once(queued: Site, sender: Sender) -> None:
    """Its date moved with it: it was said to have been taken away for an hour."""
    _sends(sender)
    queued.run()
    _copied(queued)
    assert queued.query("select instance, sends, sent, reported_at is not null from audit.transfer") == [
        (2, 1, True, True)
    ]
    assert queued.query("select state from gateway.outcome") == [("sent",)]
    assert queued.events("TransferReopened") == []
    queued.assert_sound()


@pytest.mark.parametrize("after_correction", [False, True])
def test_what_was_sent_under_one_name_is_not_told_of_the_name_that_a_person_gave_the_row_since(
    site: Site, *, after_correction: bool
) -> None:
    """It counted twice, though nothing had left under the other name."""
    site.series(STUDY)
    site.run()
    site.person_requests(STUDY, HEART, "H-001")
    site.entry(study=STUDY, subject="H-001")
    site.run()
    site.sender_sends(STUDY, 1)
    site.run()
    renamed = {"study_instance_uid": STUDY, "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    site.transfer_project.put([renamed | {"transfer_name": "H-009"}])
    if after_correction:
        site.run()
    site.entry(study=STUDY, subject="H-009")
    site.run()
    site.run()
    assert site.query("select state, sent, sends from audit.transfer order by position") == [
        ("closed", True, 1),
        ("placed", False, 0),
    ]
    assert len(site.events("TransferSent")) == 1
    assert site.attention()["replaced after it was sent"] == 1
    site.assert_sound()


def _says(site: Site, name: str) -> None:
    place = {"study_instance_uid": STUDY, "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    site.transfer_project.put([place | {"transfer_name": name}])


def _sent(site: Site) -> list[tuple[object, ...]]:
    return [(each["request"] is not None, each["project"], each["instance"]) for each in site.events("TransferSent")]


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("retracted", [False, True])
def test_what_left_under_a_slip_of_a_person_is_told_and_not_of_our_request(
    queued: Site, sender: Sender, *, retracted: bool
) -> None:
    """It was told as sent as it was, though another pseudonym had left."""
    (sender.queue / FILE.format(1)).unlink()
    _says(queued, "H-666")
    sender.create_transfer_requests()
    _says(queued, "H-001")
    if retracted:
        amend_by_hand(queued, STUDY)
    assert _sends(sender) == [1]
    queued.run()
    queued.run()
    assert _sent(queued) == [(False, HEART, 1)]
    assert queued.query("select sends from audit.transfer") == [(0,)]
    assert queued.query("select sends from audit.request_of_others") == [(1,)]
    queued.assert_sound()


@pytest.mark.usefixtures("folders")
def test_what_left_by_a_copy_of_ours_is_not_told_of_the_person_s_request_that_has_its_number(
    queued: Site, sender: Sender
) -> None:
    """The archive of the person's project was named, where the study does not lie."""
    queued.person_deletes_transfer(STUDY, 1)
    queued.run()
    assert queued.person_requests(STUDY, BRAIN, "B-1") == 1
    queued.run()
    assert _sends(sender) == [1]
    queued.run()
    queued.run()
    assert _sent(queued) == [(True, HEART, 1)]
    assert queued.query("select sent, sends from audit.transfer") == [(True, 1)]
    assert queued.query("select project, sends from audit.request_of_others") == [(BRAIN, 0)]
    queued.assert_sound()
