"""What arrives, grows, changes and does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from processors.demo import samples
from processors.gateway import Gateway
from processors.source.discover import Discovery, discover
from tests.conftest import SettableClock
from tests.source.receiver import Receiver, history, types

Find = Callable[..., Discovery]

# One person, as the scripts of the world write names; DICOM separates parts by ^ and groups by =.
NAMES = [
    "Müller^Jörg",
    "Ōtani^Shōhei=大谷^翔平=おおたに^しょうへい",
    "Hong^Gildong=洪^吉洞=홍^길동",
    "Wang^XiaoDong=王^小东",
    "王^小東",
    "قباني^لنزار",
    "שרון^דבורה",
    "Люкceмбypг",
    "Διονυσιος",
    "ศรีสุข^สมชาย",
    "नेहा^शर्मा",
    "তাসলিমা^নাসরিন",
    "ნინო^ბერიძე",
    "Արմեն^Պետրոսյան",
    "ሰላም^ተስፋዬ",
    "O'Neil^\"Bobby'); drop table--",
    "Two\nLines\r^Tab\t",
    "Padded^Name\x00\x00",
    "Family👨‍👩‍👧^Emoji",
]


def test_the_real_summaries_are_discovered(gateway: Gateway, tmp_path: Path, clock: SettableClock) -> None:
    assert samples.lay_out(tmp_path / "raw") == 61
    # The copies are aged by the real clock.
    clock.now = clock.now.fromtimestamp((tmp_path / "raw").stat().st_mtime, clock.now.tzinfo)
    found = discover(gateway, raw=tmp_path / "raw", settle_seconds=60)
    assert (found.folders, found.read, found.discovered, found.rejected) == (54, 61, 61, 0)
    assert discover(gateway, raw=tmp_path / "raw", settle_seconds=60).listed == 0
    with gateway.begin() as work:
        assert work.execute(text("select count(*) from gateway.study")).scalar_one() == 54


def test_an_unsettled_summary_waits(find: Find, receiver: Receiver, clock: SettableClock) -> None:
    receiver.summary("1.1", "1.1.1", age=59)
    found = find()
    assert (found.discovered, found.unsettled, found.read) == (0, 1, 0)
    clock.advance(2)
    assert find().discovered == 1


@pytest.mark.parametrize("ahead", [3600, 23 * 3600, 90_000, 10**8])
def test_a_summary_from_the_future_is_settled_once_it_has_stayed_as_it_is(
    find: Find, receiver: Receiver, clock: SettableClock, ahead: float
) -> None:
    """A receiver whose clock was 23 hours ahead used to leave its studies unread for a day."""
    receiver.summary("1.1", "1.1.1", age=-ahead)
    assert (find().discovered, find().unsettled) == (0, 1)
    clock.advance(59)
    assert find().discovered == 0
    receiver.summary("1.1", "1.1.1", age=-ahead, NumFiles="2")
    clock.advance(1)
    assert find().discovered == 0
    clock.advance(60)
    assert find().discovered == 1
    clock.advance(60)
    assert find().read == 0


def test_of_a_folder_from_the_future_a_series_that_goes_is_noticed(
    gateway: Gateway, find: Find, receiver: Receiver, clock: SettableClock
) -> None:
    folder = receiver.summary("1.1", "1.1.1", age=-3600).parent
    receiver.summary("1.1", "1.1.2", age=-3600)
    receiver.age(folder, -3600)
    find()
    clock.advance(60)
    assert find().discovered == 2
    (folder / "1.1.2.json").unlink()
    receiver.age(folder, -3600)
    find()
    clock.advance(60)
    find()
    assert history(gateway)[2:] == [("SeriesVanished", {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.2"})]
    clock.advance(7200)
    receiver.age(folder, 3600)
    find()
    assert gateway_rows(gateway) == []


def gateway_rows(gateway: Gateway) -> list[str]:
    """What is still remembered of files whose mtime lies ahead."""
    with gateway.begin() as work:
        return list(work.execute(text("select name from gateway.file_ahead")).scalars())


def test_a_growing_series_is_revised_and_a_late_one_discovered(
    gateway: Gateway, find: Find, receiver: Receiver, clock: SettableClock
) -> None:
    receiver.summary("1.1", "1.1.1", NumFiles="1")
    find()
    clock.advance(300)
    receiver.summary("1.1", "1.1.1", NumFiles="2")
    receiver.summary("1.1", "1.1.2", NumFiles="9")
    found = find()
    assert (found.revised, found.discovered, found.listed) == (1, 1, 1)
    assert [data["NumFiles"] for _, data in history(gateway)] == [1, 2, 9]


def test_touching_or_reordering_a_summary_changes_nothing(find: Find, receiver: Receiver) -> None:
    file = receiver.summary("1.1", "1.1.1", StudyDescription="MR")
    find()
    receiver.file("1.1/1.1.1.json", orjson.dumps(dict(reversed(orjson.loads(file.read_bytes()).items())) | {"X": 1}))
    found = find()
    assert (found.read, found.revised) == (1, 0)
    assert find().read == 0


def test_a_half_written_file_becomes_whole(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    whole = receiver.summary("1.1", "1.1.1").read_bytes()
    receiver.file("1.1/1.1.1.json", whole[:40])
    assert find().rejected == 1
    receiver.file("1.1/1.1.1.json", whole)
    found = find()
    assert (found.resolved, found.discovered) == (1, 1)
    assert types(gateway) == ["FileRejected", "RejectionResolved", "SeriesDiscovered"]
    assert history(gateway)[1][1] == {"path": "1.1/1.1.1.json", "how": "readable"}


def test_names_in_every_script_survive_sealing(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    for number, name in enumerate(NAMES):
        receiver.summary("1.1", f"1.1.{number:02}", PatientName=name, PatientID=f"{name}-7")
    assert find().discovered == len(NAMES)
    with gateway.begin() as work:
        sealed = dict(sorted(work.identities(range(1, len(NAMES) + 1)).items()))
    assert [payload["PatientName"] for _, payload in sealed.values()] == NAMES
    assert [payload["PatientID"] for _, payload in sealed.values()] == [f"{name}-7" for name in NAMES]


def test_no_column_of_the_ledger_shows_who_the_patient_is(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1", PatientName="Gundersen^Torbjørn", PatientID="31129912345")
    receiver.file("1.2/1.2.1.json", b'{"PatientName": "Gundersen^Torbj\xc3\xb8rn", "PatientID": "31129912345"')
    receiver.file("1.2/1.2.2.json", b'{"PatientName": "Gundersen", "PatientID": "31129912345"}')
    assert (found := find()).discovered == 1
    assert found.rejected == 2
    with gateway.begin() as work:
        for table in ("ledger.event", "ledger.subject", "gateway.study", "gateway.series", "gateway.rejected_file"):
            for row in work.execute(text(f"select * from {table}")):
                shown = repr([bytes(v) if isinstance(v, memoryview) else v for v in row])
                assert "31129912345" not in shown
                assert "Gundersen" not in shown


def test_series_of_one_patient_share_a_subject_and_blank_ids_go_by_study(
    gateway: Gateway, find: Find, receiver: Receiver
) -> None:
    receiver.summary("1.1", "1.1.1", PatientID="A")
    receiver.summary("1.2", "1.2.1", PatientID="A")
    receiver.summary("1.3", "1.3.1", PatientID="")
    receiver.summary("1.4", "1.4.1", PatientID=None)
    receiver.summary("1.4", "1.4.2", PatientID="  ")
    find()
    with gateway.begin() as work:
        rows = work.execute(text("select subject from ledger.event order by position")).scalars().all()
    assert rows[0] == rows[1]
    assert rows[3] == rows[4]
    assert len({rows[0], rows[2], rows[3]}) == 3


def test_values_of_every_kind_are_taken(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    receiver.summary(
        "1.1",
        "1.1.1",
        PatientID=17,
        PatientName=None,
        StudyDescription=["a", "b"],
        IncomingConnection={"AETitleCaller": "CT\x00\x00 ", "AETitleCalled": " FIONA\x00"},
    )
    assert find().discovered == 1
    with gateway.begin() as work:
        event, sealed = work.identities([1])[1]
    assert (event.data["AETitleCaller"], event.data["AETitleCalled"]) == ("CT", "FIONA")
    assert (sealed["PatientID"], sealed["StudyDescription"]) == ("17", "a\\b")


def test_two_sites_remember_for_themselves(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")
    find()
    other = Gateway(database=gateway.database, vault=gateway.vault, site="other", clock=gateway.clock, run=gateway.run)
    found = discover(other, raw=receiver.raw, settle_seconds=60)
    assert (found.read, found.discovered) == (1, 0)


def test_two_runs_over_one_tree_record_in_one_order(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    for study, series in [("1.9", "2"), ("1.10", "1"), ("1.9", "11"), ("1.1", "3")]:
        receiver.summary(study, series)
    find()
    found: list[Any] = [(data["StudyInstanceUID"], data["SeriesInstanceUID"]) for _, data in history(gateway)]
    assert found == [("1.1", "3"), ("1.10", "1"), ("1.9", "11"), ("1.9", "2")]
