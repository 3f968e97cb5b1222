"""Keeping projections in step with the ledger.

A projection turns events into rows. Its checkpoint, the position of the last event applied, moves
in the transaction of its rows, so an event is applied exactly once whatever is killed when. Live
appends, catching up and rebuilding all go through the same `Projection.apply`.

No event stops the others. One that the database refuses, because a constraint of the tables would be violated, is set
apart: it leaves nothing in the tables of that projection, ledger.set_apart names it, and everything else goes on.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, exc, text

from ledger import store
from ledger.batching import Progress, batches
from ledger.codec import Upcasters
from ledger.errors import Misconfigured
from ledger.events import Event

BATCH = 10_000

Begin = Callable[[], AbstractContextManager[Connection]]


class Projection(Protocol):
    """A rule that turns events into rows of tables of its own."""

    @property
    def name(self) -> str:
        """Names the projection for ever; its checkpoint is kept under it."""

    @property
    def code_version(self) -> int:
        """Raised when `apply` changes its meaning: the next run then rebuilds the tables."""

    @property
    def tables(self) -> Sequence[str]:
        """The tables it owns, emptied by a rebuild, with their schema."""

    @property
    def types(self) -> frozenset[str]:
        """The event types it wants; `apply` gets no others."""

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Changes the rows as these events, in ledger order, demand. Reads nothing but its own tables."""


class SetApart(NamedTuple):
    """An event that contradicts the tables of a projection, and the constraint that it would violate."""

    projection: str
    position: int
    reason: str


Wanted = Sequence[tuple[Projection, Sequence[Event]]]
"""Events, in order, for each of the projections that want them."""


def apply_apart(connection: Connection, wanted: Wanted) -> list[SetApart]:
    """Applies the events but for those that contradict what is there, which it gives.

    They are found by halving, so that it comes to the same as applying one event after the other.
    """
    try:
        # One savepoint for all: each takes as long as a small append.
        with connection.begin_nested():
            for projection, events in wanted:
                projection.apply(connection, events)
    except exc.DBAPIError as error:
        if not _is_about_values(error):
            raise
        halves = _halves(wanted)
        if not halves:
            ((projection, (event,)),) = wanted
            return [SetApart(projection.name, event.position, _violated(error))]
    else:
        return []
    return [each for half in halves for each in apply_apart(connection, half)]


def _halves(wanted: Wanted) -> Sequence[Wanted]:
    """By projections first; none of a single event for one."""
    if len(wanted) > 1:
        middle = len(wanted) // 2
        return wanted[:middle], wanted[middle:]
    ((projection, events),) = wanted
    middle = len(events) // 2
    return ([(projection, events[:middle])], [(projection, events[middle:])]) if middle else ()


_ABOUT_VALUES = ("22", "23", "54")
"""Classes of PostgreSQL's errors that come again whenever the same is tried: data, constraints, limits."""


def _is_about_values(error: exc.DBAPIError) -> bool:
    return str(getattr(error.orig, "sqlstate", "")).startswith(_ABOUT_VALUES)


def _violated(error: exc.DBAPIError) -> str:
    """The constraint by its name, or what else is wrong in one word: PostgreSQL's own words may quote values."""
    diagnosis = getattr(error.orig, "diag", None)
    return getattr(diagnosis, "constraint_name", None) or type(error.orig).__name__


_SET_APART = text("""
    insert into ledger.set_apart (projection, position, reason) values (:projection, :position, :reason)
    on conflict (projection, position) do update set reason = excluded.reason, mended_position = null
""")


def _keep(connection: Connection, apart: Sequence[SetApart]) -> None:
    if apart:
        connection.execute(_SET_APART, [each._asdict() for each in apart])


class Projector:
    """Applies events to projections and moves their checkpoints."""

    def __init__(self, projections: Sequence[Projection], upcasters: Upcasters | None = None) -> None:
        self._projections = projections
        self._names = [projection.name for projection in projections]
        self._upcasters = upcasters or {}

    def advance(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies events that this transaction has just appended, or found appended already.

        The head row is locked by that append, so nobody else moves a checkpoint meanwhile. A
        projection that is behind for some reason first reads what it has missed.
        """
        if not events:
            return
        first, last = events[0].position, events[-1].position
        moved = {"names": self._names, "before": first - 1, "position": last}
        checkpoints = dict.fromkeys(connection.execute(_MOVE_FROM, moved).scalars(), first - 1)
        if len(checkpoints) == len(self._projections):
            _apply(connection, events, self._projections, checkpoints)
            return
        checkpoints = self._lock_checkpoints(connection) | checkpoints
        for projection in self._projections:
            missed = self._read(connection, checkpoints[projection.name], first - 1, projection.types)
            for batch in batches(missed, BATCH):
                _keep(connection, apply_apart(connection, [(projection, batch)]))
        _apply(connection, events, self._projections, checkpoints)
        self._move_checkpoints(connection, last)

    def catch_up(self, begin: Begin, progress: Progress | None = None) -> int:
        """Brings every projection to the head, rebuilding those whose code has changed.

        Returns the number of events that had to be read. Each batch is a transaction, so it can be
        killed and goes on where it was, and whoever wants to append waits for one batch at most.
        """
        with begin() as connection:
            last = store.lock_head(connection).position
            self._reset_changed(connection)
            start = min(self._lock_checkpoints(connection).values(), default=last)
        position = start
        while position < last:
            with begin() as connection:
                position = self._advance_batch(connection, last)
            if progress is not None:
                progress(position - start, last - start)
        return last - start

    def is_current(self, connection: Connection) -> bool:
        """Whether nothing is to be caught up with: every projection is at the head, and its code as it was."""
        current = {(row.name, row.code_version) for row in connection.execute(_AT_HEAD)}
        return all((p.name, p.code_version) in current for p in self._projections)

    def changed(self, connection: Connection) -> list[Projection]:
        """The projections whose code has changed since their tables were made: catching up empties those first."""
        rows = connection.execute(text("select name, code_version from ledger.projection"))
        stored = {row.name: row.code_version for row in rows}
        return [p for p in self._projections if stored.get(p.name, p.code_version) != p.code_version]

    def rebuild(self, begin: Begin, *names: str, progress: Progress | None = None) -> int:
        """Empties the projections of these names and applies all events again, read once for all of them."""
        projections = [self._named(name) for name in names]
        with begin() as connection:
            store.lock_head(connection)
            self._lock_checkpoints(connection)
            for projection in projections:
                self._reset(connection, projection)
        return self.catch_up(begin, progress)

    def _named(self, name: str) -> Projection:
        for projection in self._projections:
            if projection.name == name:
                return projection
        known = ", ".join(projection.name for projection in self._projections)
        raise Misconfigured(f"There is no projection {name!r}. Expected one of: {known}.")

    def _advance_batch(self, connection: Connection, last: int) -> int:
        """Applies the next batch of what is lacking up to `last`; returns how far all have come.

        It starts from the checkpoints as they are now: another process may have reset one.
        """
        # The head row serialises this with live appends, as in `advance`. It is always locked before
        # the checkpoints: the other order would make two processes wait for each other.
        store.lock_head(connection)
        checkpoints = self._lock_checkpoints(connection)
        after = min(checkpoints.values())
        until = min(after + BATCH, last)
        lacking = [p for p in self._projections if checkpoints[p.name] < until]
        types: frozenset[str] = frozenset().union(*(p.types for p in lacking))
        events = list(self._read(connection, after, until, types))
        _apply(connection, events, lacking, checkpoints)
        self._move_checkpoints(connection, until)
        return max(after, until)

    def _read(self, connection: Connection, after: int, until: int, types: Collection[str]) -> Iterator[Event]:
        if after >= until:
            return iter(())
        return store.read(connection, after=after, until=until, types=types, upcasters=self._upcasters)

    def _lock_checkpoints(self, connection: Connection) -> dict[str, int]:
        """Every projection's checkpoint; those not known yet start at 0."""
        checkpoints = self._lock_known_checkpoints(connection)
        unknown = [p for p in self._projections if p.name not in checkpoints]
        if unknown:
            self._register(connection, unknown)
            checkpoints = self._lock_known_checkpoints(connection)
        return checkpoints

    def _lock_known_checkpoints(self, connection: Connection) -> dict[str, int]:
        rows = connection.execute(_LOCK_CHECKPOINTS, {"names": self._names})
        return {row.name: row.checkpoint for row in rows}

    @staticmethod
    def _register(connection: Connection, projections: Sequence[Projection]) -> None:
        connection.execute(
            text("""
                insert into ledger.projection (name, code_version, checkpoint)
                values (:name, :code_version, 0) on conflict (name) do nothing
            """),
            [{"name": p.name, "code_version": p.code_version} for p in projections],
        )

    def _move_checkpoints(self, connection: Connection, position: int) -> None:
        connection.execute(_MOVE_UP, {"position": position, "names": self._names})

    def _reset_changed(self, connection: Connection) -> None:
        for projection in self.changed(connection):
            self._reset(connection, projection)

    @staticmethod
    def _reset(connection: Connection, projection: Projection) -> None:
        """Empties the projection's tables; the caller holds the head's lock."""
        for table in projection.tables:
            connection.execute(text(f"delete from {table}"))
        connection.execute(_MEND, {"name": projection.name})
        connection.execute(
            text("""
                update ledger.projection set checkpoint = 0, code_version = :code_version where name = :name
            """),
            {"name": projection.name, "code_version": projection.code_version},
        )


_AT_HEAD = text("""
    select name, code_version from ledger.projection join ledger.head on checkpoint = head.position
""")
_LOCK_CHECKPOINTS = text("""
    select name, checkpoint from ledger.projection where name = any(:names) order by name for update
""")
_MOVE_UP = text("""
    update ledger.projection set checkpoint = :position where name = any(:names) and checkpoint < :position
""")
# Where nobody is behind, as nearly always, this is all that is asked of checkpoints.
_MOVE_FROM = text("""
    update ledger.projection set checkpoint = :position where name = any(:names) and checkpoint = :before returning name
""")
# Those that are set apart again lose the mark again.
_MEND = text("""
    update ledger.set_apart set mended_position = (select position from ledger.head)
     where projection = :name and mended_position is null
""")


def _apply(
    connection: Connection, events: Sequence[Event], projections: Sequence[Projection], checkpoints: Mapping[str, int]
) -> None:
    """Gives each projection those of the events that it wants and has not had yet."""
    wanted: dict[str, list[Event]] = {projection.name: [] for projection in projections}
    takers: dict[str, list[tuple[int, list[Event]]]] = defaultdict(list)
    for projection in projections:
        for type_ in projection.types:
            takers[type_].append((checkpoints[projection.name], wanted[projection.name]))
    # Looked at once for all projections: each event is wanted by one or two of them.
    for event in events:
        for done, taken in takers[event.type]:
            if event.position > done:
                taken.append(event)
    served = [(projection, wanted[projection.name]) for projection in projections if wanted[projection.name]]
    _keep(connection, apply_apart(connection, served))
