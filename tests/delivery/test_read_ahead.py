"""Portions are read while REDCap works on the one before, and never while the ledger is used otherwise."""

import threading
from collections.abc import Sequence

import pytest

from processors.delivery.due import DueRow
from processors.delivery.plan import DesiredStudy
from processors.delivery.read_ahead import ReadAhead


class Reader:
    """Stands for the ledger: notes what is read, and in which thread."""

    def __init__(self, *, fails_at: str = "") -> None:
        self.read: list[list[str]] = []
        self.threads: set[int] = set()
        self._fails_at = fails_at

    def __call__(self, rows: Sequence[DueRow]) -> list[DesiredStudy]:
        studies = [row.study for row in rows]
        if self._fails_at in studies:
            raise ValueError(self._fails_at)
        self.read.append(studies)
        self.threads.add(threading.get_ident())
        return [DesiredStudy(study=study) for study in studies]


def portion(*studies: str) -> list[DueRow]:
    return [DueRow(study, "study", "", 1) for study in studies]


def test_the_next_portion_is_read_while_redcap_works_once_however_many_imports_there_are() -> None:
    reader = Reader()
    with ReadAhead(iter([portion("1"), portion("2", "3"), portion("4")]), reader) as ahead:
        portions = iter(ahead)
        assert next(portions) == (portion("1"), None)
        assert reader.read == []
        for _ in range(2):
            with ahead.meanwhile():
                pass
            assert reader.read == [["2", "3"]]
        assert next(portions) == (portion("2", "3"), [DesiredStudy(study="2"), DesiredStudy(study="3")])
        assert next(portions) == (portion("4"), None), "nothing was imported meanwhile"
        with ahead.meanwhile():
            pass
        assert next(portions, None) is None
    assert threading.get_ident() not in reader.threads


def test_a_study_that_the_portion_under_way_changes_is_not_read_ahead() -> None:
    reader = Reader()
    with ReadAhead(iter([portion("1", "2"), portion("2", "3")]), reader) as ahead:
        for read in ahead:
            assert read.desired is None
            with ahead.meanwhile():
                pass
    assert reader.read == []


def test_what_cannot_be_read_is_told_when_its_turn_comes() -> None:
    with ReadAhead(iter([portion("1"), portion("2")]), Reader(fails_at="2")) as ahead:
        portions = iter(ahead)
        next(portions)
        with ahead.meanwhile():
            pass  # and what was imported is recorded
        with pytest.raises(ValueError, match="2"):
            next(portions)


def test_an_import_that_fails_is_told_as_it_is() -> None:
    with ReadAhead(iter([portion("1"), portion("2")]), Reader(fails_at="2")) as ahead:
        next(iter(ahead))
        with pytest.raises(KeyError), ahead.meanwhile():
            raise KeyError
