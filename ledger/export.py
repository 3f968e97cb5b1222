"""Events as lines of JSON, for archives and for auditors who verify them elsewhere with `ledger/chain.py`."""

from collections.abc import Callable

from sqlalchemy import Connection, text

from ledger import chain, scan, store
from ledger.batching import Progress
from ledger.chain import Part
from ledger.errors import Corrupt, Misconfigured

_LINES_A_WRITE = 500


def export(
    connection: Connection,
    write: Callable[[bytes], object],
    *,
    first: int = 1,
    last: int | None = None,
    progress: Progress | None = None,
) -> Part:
    """Writes events `first` to `last` (None: the newest), below a line that says what they follow.

    Sealed parts stay sealed. The transaction must not have begun otherwise: all is of one moment.
    """
    scan.as_one_moment(connection)
    part = _part(connection, first, last)
    write(f"{part.as_line()}\n".encode())
    with scan.stored_events(connection, first=part.first, last=part.last) as events:
        lines: list[str] = []
        for event in events:
            lines.append(chain.event_line(event))
            if len(lines) == _LINES_A_WRITE:
                _flush(write, lines)
                if progress is not None:
                    progress(event.position - part.first + 1, part.last - part.first + 1)
        _flush(write, lines)
    return part


def _flush(write: Callable[[bytes], object], lines: list[str]) -> None:
    lines.append("")
    write("\n".join(lines).encode())
    lines.clear()


def _part(connection: Connection, first: int, last: int | None) -> Part:
    head = store.head(connection).position
    until = head if last is None else last
    if first < 1 or until > head or first > until + 1:
        raise Misconfigured(
            f"--from {first}{'' if last is None else f' --to {last}'}: expected positions from 1 to {head}, where the "
            "ledger ends, the smaller one first."
        )
    return Part(first, until, _hash_at(connection, first - 1), _hash_at(connection, until))


def _hash_at(connection: Connection, position: int) -> bytes:
    if position == 0:
        return chain.GENESIS
    stored_hash = connection.execute(
        text("select hash from ledger.event where position = :position"), {"position": position}
    ).scalar_one_or_none()
    if stored_hash is None:
        raise Corrupt(f"The event at position {position} is missing. Run `fiona-ledger verify`.")
    return bytes(stored_hash)
