"""The portions of due rows, the next one read while REDCap works on the one before.

Of two threads, the second reads only while the first waits for REDCap and leaves the ledger alone. So all that is
recorded, and every call, comes in the order in which it would come without it; a run that is killed leaves the same.
What the portion under way is about to change is not read ahead: of a study that is in both portions, say.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple, Self

from processors.delivery.due import DueRow
from processors.delivery.plan import DesiredStudy

Read = Callable[[Sequence[DueRow]], list[DesiredStudy]]
"""Reads what the ledger says of rows."""


class Portion(NamedTuple):
    """Rows that go out together; `desired` is what was read of them ahead, None where that is still to be read."""

    rows: list[DueRow]
    desired: list[DesiredStudy] | None


class ReadAhead:
    """The portions, one after the other; `read` uses the transaction that they come from."""

    def __init__(self, portions: Iterator[list[DueRow]], read: Read) -> None:
        self._portions = portions
        self._read = read
        self._under_way: frozenset[str] = frozenset()
        self._thread = ThreadPoolExecutor(1, "read ahead")
        self._ahead: Future[Portion | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def __iter__(self) -> Iterator[Portion]:
        while (portion := self._next()) is not None:
            self._under_way = _studies(portion.rows)
            yield portion

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """The next portion is read, once, until this ends; whoever enters it leaves the ledger alone."""
        if self._ahead is None:
            self._ahead = self._thread.submit(self._read_next)
        try:
            yield
        finally:
            wait([self._ahead])

    def _next(self) -> Portion | None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            return ahead.result()
        rows = next(self._portions, None)
        return None if rows is None else Portion(rows, None)

    def _read_next(self) -> Portion | None:
        rows = next(self._portions, None)
        if rows is None:
            return None
        return Portion(rows, self._read(rows) if self._under_way.isdisjoint(_studies(rows)) else None)


def _studies(rows: Sequence[DueRow]) -> frozenset[str]:
    return frozenset(row.study for row in rows)
