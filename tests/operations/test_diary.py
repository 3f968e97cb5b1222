"""The diary of runs: what was told, and the outage that the ledger may not know of."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from processors.operations import diary as diaries
from processors.operations.diary import Diary, diary_file

NOW = datetime.fromisoformat("2026-11-28T10:00:00+01:00")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def fail(diary: Diary, at: datetime, error: str = "REDCap is away.", code: int = 3) -> tuple[Diary, bool]:
    kind = "Unanswered" if code == 3 else "ConfigurationError"
    return diary.after_error("run", now=at, exit_code=code, error_kind=kind, error=error, recorded=True)


def test_an_error_is_told_when_it_is_new_and_once_a_day() -> None:
    diary, told = Diary(), []
    for minutes in range(0, 3 * 24 * 60, 30):
        diary, is_news = fail(diary, NOW + minutes * MINUTE)
        if is_news:
            told.append(minutes // (24 * 60))
    assert told == [0, 1, 2]
    assert diary.outages["run"].since == NOW


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (("No call before 10:15.", 3), ("No call before 10:16.", 3), False),
        (("The export of 5 records failed.", 3), ("The metadata failed.", 3), False),
        (("The configuration: line 3.", 2), ("The configuration: line 4.", 2), False),
        (("The token is missing.", 2), ("The key is missing.", 2), True),
        (("REDCap is away.", 3), ("The key is missing.", 2), True),
    ],
)
def test_another_error_is_told_at_once_and_the_same_with_other_numbers_is_not(
    before: tuple[str, int], after: tuple[str, int], *, told: bool
) -> None:
    diary, _ = fail(Diary(), NOW, *before)
    diary, is_news = fail(diary, NOW + MINUTE, *after)
    assert is_news is told
    assert diary.outages["run"].since == NOW, "the outage goes on"


def test_a_command_that_gets_through_ends_its_own_outage_alone() -> None:
    """populateIncoming and populateAutoID by turns, one of which fails: it would be news each minute."""
    diary, _ = fail(Diary(), NOW)
    diary = diary.after_success("populateIncoming")
    assert not fail(diary, NOW + MINUTE)[1]
    assert fail(diary.after_success("run"), NOW + MINUTE)[1]


def test_an_outage_noted_by_a_clock_that_was_ahead_mutes_nothing() -> None:
    diary, _ = fail(Diary(), NOW + 365 * DAY)
    diary, is_news = fail(diary, NOW)
    assert is_news
    assert diary.outages["run"].since == NOW


def test_what_is_to_be_told_is_told_when_new_and_once_more_when_it_is_a_day_old() -> None:
    diary, told = Diary(), []
    for hour in range(100):
        diary, due = diary.after_telling(["conflict 1", *(["held 2"] if hour >= 30 else [])], NOW + hour * HOUR)
        told += [(hour, topic, is_new) for topic, is_new in due.items()]
    assert told == [
        (0, "conflict 1", True),
        (24, "conflict 1", False),
        (30, "held 2", True),
        (54, "held 2", False),
    ]


def test_what_was_over_and_comes_back_is_new_again() -> None:
    diary, _ = Diary().after_telling(["conflict 1"], NOW)
    diary, due = diary.after_telling([], NOW + MINUTE)
    assert (due, diary.told) == ({}, {})
    assert diary.after_telling(["conflict 1"], NOW + 2 * MINUTE)[1] == {"conflict 1": True}


def test_it_is_kept_as_a_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "diary.json"
    diary, _ = fail(Diary(), NOW)
    diary, _ = diary.after_telling(["conflict 1"], NOW)
    assert diaries.write(file, diary)
    assert diaries.read(file) == diary
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["diary.json"]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"outages": {"run": 1}, "told": {}}', '{"outages": {}, "told": {"a": ["x"]}}']
)
def test_one_that_cannot_be_read_is_an_empty_one(tmp_path: Path, content: str) -> None:
    file = tmp_path / "diary.json"
    file.write_text(content)
    assert diaries.read(file) == Diary()
    assert diaries.read(tmp_path / "none.json") == Diary()


def test_where_it_cannot_be_kept_that_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert not diaries.write(tmp_path / "file" / "diary.json", Diary())
    (tmp_path / "folder").mkdir()
    assert not diaries.write(tmp_path / "folder", Diary())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_each_configuration_has_its_own_also_where_it_cannot_be_used(tmp_path: Path) -> None:
    named = f'[ledger]\ndata_dir = "{tmp_path / "data"}"\n'
    one, other, broken = (tmp_path / name for name in ("one.toml", "other.toml", "broken.toml"))
    one.write_text(named)
    other.write_text(f"{named}nonsense = 1\n")
    broken.write_text("[ledger")
    assert diary_file(one).parent == diary_file(other).parent == tmp_path / "data"
    assert len({diary_file(file) for file in (one, other, broken)}) == 3
    assert diary_file(broken).parent != tmp_path / "data"
