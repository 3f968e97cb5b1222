"""Decisions over plain values: no disk, no database."""

from typing import Any

import orjson
import pytest

from processors.events.fact import Fact
from processors.source import changes, summary
from processors.source.changes import Arrival, Finding, FolderPlan, Known, Look, Times
from processors.source.file_names import key_of
from processors.source.read import Bad, Kept, NotNow
from processors.source.tree import UNKNOWN, FileEntry, Folder, Listing

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND
TIMES = Times(NOW, 60 * SECOND)
OLD = NOW - 120 * SECOND

NOTHING_KNOWN = Known({}, {}, {})


def folder(mtime_ns: int = OLD) -> Folder:
    return Folder("1.1", "1.1", mtime_ns)


def entry(name: str = "1.json", mtime_ns: int = OLD) -> FileEntry:
    return FileEntry(name, name, mtime_ns, 10)


def planned(*entries: FileEntry, at: Folder | None = None, **remembered: tuple[int, int]) -> FolderPlan:
    files = {name.replace("_", "."): (*seen, 0) for name, seen in remembered.items()}
    plan = changes.plan(Listing(at or folder(), entries), {key[1:]: seen for key, seen in files.items()}, TIMES)
    assert plan is not None
    return plan


def kept(series: str = "1", fingerprint: str = "f") -> Kept:
    content = orjson.dumps({"StudyInstanceUID": "1.1", "SeriesInstanceUID": series})
    return Kept(summary.parse(content, study="1.1", series=series), fingerprint)


def judged(plan: FolderPlan, *outcomes: Any, known: Known = NOTHING_KNOWN) -> tuple[list[str], list[Finding]]:
    made = list(changes.findings(plan, outcomes, known))
    return [_name(fact) for finding in made for fact in finding.facts], made


def _name(fact: Fact | Arrival) -> str:
    return (fact.fact if isinstance(fact, Arrival) else type(fact)).__name__


@pytest.mark.parametrize(
    ("age", "settled"),
    [(60, True), (59.9, False), (0, False), (-1, False), (-86_400, False), (-86_401, False), (10**9, True)],
)
def test_settled(age: float, settled: bool) -> None:  # noqa: FBT001 - a table's column
    assert changes.is_settled(NOW - int(age * SECOND), TIMES) is settled


@pytest.mark.parametrize(
    ("look", "settled"),
    [
        (Look(NOW + 5, 10, NOW - 60 * SECOND), True),
        (Look(NOW + 5, 10, NOW - 59 * SECOND), False),
        (Look(NOW + 4, 10, NOW - 60 * SECOND), False),
        (Look(NOW + 5, 9, NOW - 60 * SECOND), False),
        (Look(NOW + 5, 10, NOW + 60 * SECOND), False),
        (None, False),
    ],
)
def test_what_was_written_by_a_clock_that_is_ahead_settles_by_staying_as_it_is(
    look: Look | None,
    settled: bool,  # noqa: FBT001 - a table's column
) -> None:
    looks = {"1.json": look} if look else {}
    plan = changes.plan(Listing(folder(), [entry("1.json", NOW + 5)]), {}, TIMES, looks)
    assert plan is not None
    assert (len(plan.changed), plan.unsettled) == (int(settled), int(not settled))


def test_a_file_of_which_only_the_stamp_differs_is_read_again() -> None:
    assert planned(entry()._replace(stamp=1), n1_json=(OLD, 10)).changed != []


def test_only_what_differs_from_the_memory_is_read() -> None:
    same, other, new = entry("1.json"), entry("2.json"), entry("3.json")
    plan = planned(same, other, new, n1_json=(OLD, 10), n2_json=(OLD, 11))
    assert plan.changed == [other, new]
    assert plan.mtime_ns == OLD


def test_what_is_remembered_and_not_there_is_gone() -> None:
    assert planned(entry("1.json"), n1_json=(OLD, 10), n2_json=(OLD, 1)).gone == ["2.json"]


@pytest.mark.parametrize("mtime_ns", [NOW, NOW - 2 * SECOND + 1, NOW + SECOND, UNKNOWN])
def test_a_folder_whose_mtime_proves_nothing_is_looked_at_again(mtime_ns: int) -> None:
    assert planned(entry(), at=folder(mtime_ns)).mtime_ns == changes.LOOK_AGAIN


@pytest.mark.parametrize("mtime_ns", [NOW, UNKNOWN])
def test_a_folder_with_an_open_question_is_looked_at_again(mtime_ns: int) -> None:
    assert planned(entry("1.json"), entry("2.json", mtime_ns)).mtime_ns == changes.LOOK_AGAIN


@pytest.mark.parametrize("outcome", [NotNow.UNSETTLED, NotNow.ABSENT, Bad("no", "d", retry=True)])
def test_what_could_not_be_read_keeps_its_folder_open(outcome: Any) -> None:
    _, made = judged(planned(entry()), outcome)
    assert made[-1].remember_folder == ("1.1", changes.LOOK_AGAIN)
    _, made = judged(planned(entry()), Bad("no", "d"))
    assert made[-1].remember_folder == ("1.1", OLD)


@pytest.mark.parametrize(("before", "events"), [(None, ["SeriesDiscovered"]), ("e", ["SeriesRevised"]), ("f", [])])
def test_an_event_only_where_what_is_kept_differs(before: str | None, events: list[str]) -> None:
    known = Known({}, {}, {("1.1", "1"): before} if before else {})
    found, made = judged(planned(entry()), kept(), known=known)
    assert found == events
    assert made[0].remember_file == ("1.1", "1.json", OLD, 10, 0)


def test_a_returning_study_says_so_once() -> None:
    plan = planned(entry("1.json"), entry("2.json"))
    found, _ = judged(plan, kept("1"), kept("2"), known=Known({"1.1": False}, {}, {}))
    assert found == ["StudyReturned", "SeriesDiscovered", "SeriesDiscovered"]


def test_a_closed_folder_forgets_nothing() -> None:
    plan = changes.plan(Listing(folder(), closed="no"), {"1.json": (1, 1, 0)}, TIMES)
    assert plan is not None
    found, made = judged(plan, Bad("no", "d"), known=Known({"1.1": True}, {}, {}))
    assert found == ["FileRejected"]
    assert [finding.forget_file for finding in made if finding.forget_file] == []


def test_a_folder_that_is_gone_takes_its_rejections_along() -> None:
    plan = changes.plan_absent("1.1", ["", "1.json"])
    found, made = judged(plan, known=Known({"1.1": True}, {"1.1": "d", "1.1/1.json": "d"}, {}))
    assert found == ["RejectionResolved", "RejectionResolved", "StudyVanished"]
    assert {getattr(fact, "how", None) for finding in made for fact in finding.facts} == {"gone", None}
    assert made[-1].forget_folder == "1.1"


def test_nothing_to_do_is_quiet() -> None:
    plan = planned(entry(), n1_json=(OLD, 10))
    assert changes.is_quiet(plan, OLD)
    assert not changes.is_quiet(plan, None)
    assert not changes.is_quiet(plan, OLD - 1)
    assert not changes.is_quiet(planned(entry(), at=folder(NOW), n1_json=(OLD, 10)), changes.LOOK_AGAIN)


def test_keys_are_the_names_where_those_are_uids() -> None:
    assert key_of("1.2.840") == "1.2.840"
    assert key_of("\udcff") == "\\xff"
    assert len(key_of("x" * 255)) == 127
    assert key_of("x" * 254) != key_of("x" * 255)


def test_a_series_that_is_not_in_its_settled_folder_has_vanished() -> None:
    known = Known({"1.1": True}, {}, {}, {"1.1": {"1": True, "2": True, "3": False}})
    plan = planned(entry("1.json"), n1_json=(OLD, 10), n2_json=(OLD, 10))
    found, made = judged(plan, known=known)
    assert found == ["SeriesVanished"]
    young = planned(entry("1.json"), at=folder(NOW - 30 * SECOND), n1_json=(OLD, 10), n2_json=(OLD, 10))
    found, made = judged(young, known=known)
    assert (found, made[-1].remember_folder) == ([], ("1.1", changes.LOOK_AGAIN))
    found, _ = judged(plan, known=known._replace(on_disk={}))
    assert found == []
