"""Reading what can be read of an export that one of its records spoils.

REDCap answers with all rows or none: a value that breaks its JSON, or the server, keeps back all others, in every
run. So where the record ids alone can be had, the records are asked for in portions, and in ever smaller ones.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

from ledger.batching import batches, halves
from processors.errors import Unanswered

from .calls import MOST_MEMBERS
from .errors import Blocked, Misdirected
from .rows import Row

MOST_UNREADABLE: Final = 20
"""So many records may be set apart: where more cannot be read, it need not be they."""


class Readable(NamedTuple):
    """The rows of an export, and what kept back the records that they lack (message by record id)."""

    rows: list[Row]
    unreadable: dict[str, str]


def read_apart(
    whole: Callable[[], list[Row]],
    ids: Callable[[], Sequence[str]],
    some: Callable[[Sequence[str]], list[Row]],
    known: Collection[str] = (),
) -> Readable:
    """The rows of `whole`; where that fails, those of each record that can be read by `some`.

    The records `known` to be unreadable are asked for one by one to begin with, and all others without them.
    Raises `ServiceError` where not even the `ids` can be had, or too many records cannot be read.
    """
    if not known:
        try:
            return Readable(whole(), {})
        except Misdirected:
            raise
        except (Unanswered, Blocked):
            pass
    names = ids()
    others = [name for name in names if name not in known]
    untried: list[Sequence[str]] = [*([name] for name in names if name in known), *batches(others, MOST_MEMBERS)]
    readable = Readable([], {})
    while untried:
        portion = untried.pop()
        try:
            readable.rows.extend(some(portion))
        except Misdirected:
            raise
        except (Unanswered, Blocked) as failure:
            if len(portion) > 1:
                untried += halves(portion)
                continue
            readable.unreadable[portion[0]] = str(failure)
            if len(readable.unreadable) > MOST_UNREADABLE:
                raise
    return readable
