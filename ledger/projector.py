"""Keeping projections in step with the ledger.

A projection turns events into rows. Its checkpoint, the position of the last event applied, moves
in the transaction of its rows, so an event is applied exactly once whatever is killed when. Live
appends, catching up and rebuilding all go through the same `Projection.plan`.

No event stops the others. One that the database refuses, because a constraint of the tables would be violated, is set
apart: it leaves nothing in the tables of that projection, ledger.set_apart names it, and everything else goes on.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, Self

from sqlalchemy import Connection, exc, text

from ledger import store
from ledger.batching import Progress, batches
from ledger.codec import Upcasters
from ledger.errors import Misconfigured
from ledger.events import Excerpt, Told

BATCH = 10_000

Begin = Callable[[], AbstractContextManager[Connection]]

Changes = Callable[[Connection], None]
"""Changes rows as events demand that were looked at before."""


class Projection(Protocol):
    """A rule that turns events into rows of tables of its own."""

    @property
    def name(self) -> str:
        """Names the projection for ever; its checkpoint is kept under it."""

    @property
    def code_version(self) -> int:
        """Raised when `plan` changes its meaning: the next run then rebuilds the tables."""

    @property
    def tables(self) -> Sequence[str]:
        """The tables it owns, emptied by a rebuild, with their schema."""

    @property
    def types(self) -> frozenset[str]:
        """The event types it wants; `plan` gets no others."""

    def plan(self, events: Sequence[Told]) -> Changes:
        """What these events, in ledger order, demand of the rows. The changes read nothing but its own tables.

        Whatever the events alone tell is worked out here, as this may be done while the server is busy with others.
        """


class SetApart(NamedTuple):
    """An event that contradicts the tables of a projection, and the constraint that it would violate."""

    projection: str
    position: int
    reason: str


class Planned(NamedTuple):
    """What events, in order, demand of the rows of a projection that wants them."""

    projection: Projection
    events: Sequence[Told]
    changes: Changes

    @classmethod
    def of(cls, projection: Projection, events: Sequence[Told]) -> "Planned":
        """The plan of the projection for these events."""
        return cls(projection, events, projection.plan(events))


def apply_apart(connection: Connection, planned: Sequence[Planned]) -> list[SetApart]:
    """Applies the events but for those that contradict what is there, which it gives.

    They are found by halving, so that it comes to the same as applying one event after the other.
    """
    try:
        # One savepoint for all: each takes as long as a small append.
        with connection.begin_nested():
            for each in planned:
                each.changes(connection)
    except exc.DBAPIError as error:
        if not _is_about_values(error):
            raise
        halves = _halves(planned)
        if not halves:
            ((projection, (event,), _),) = planned
            return [SetApart(projection.name, event.position, _violated(error))]
    else:
        return []
    return [each for half in halves for each in apply_apart(connection, half)]


def _halves(planned: Sequence[Planned]) -> Sequence[Sequence[Planned]]:
    """By projections first; none of a single event for one."""
    if len(planned) > 1:
        middle = len(planned) // 2
        return planned[:middle], planned[middle:]
    ((projection, events, _),) = planned
    middle = len(events) // 2
    return [[Planned.of(projection, half)] for half in (events[:middle], events[middle:])] if middle else ()


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

    def advance(self, connection: Connection, events: Sequence[Told]) -> None:
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
            _keep(connection, apply_apart(connection, _planned(events, self._projections, checkpoints)))
            return
        checkpoints = self._lock_checkpoints(connection) | checkpoints
        for projection in self._projections:
            missed = self._read(connection, checkpoints[projection.name], first - 1, projection.types)
            for batch in batches(missed, BATCH):
                _keep(connection, apply_apart(connection, [Planned.of(projection, batch)]))
        _keep(connection, apply_apart(connection, _planned(events, self._projections, checkpoints)))
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
        with _Planner(self._projections, self._upcasters) as planner:
            while position < last:
                with begin() as connection:
                    position = self._advance_batch(connection, last, planner)
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

    def _advance_batch(self, connection: Connection, last: int, planner: "_Planner") -> int:
        """Applies the next batch of what is lacking up to `last`; returns how far all have come.

        It starts from the checkpoints as they are now: another process may have reset one.
        """
        # The head row serialises this with live appends, as in `advance`. It is always locked before
        # the checkpoints: the other order would make two processes wait for each other.
        store.lock_head(connection)
        checkpoints = self._lock_checkpoints(connection)
        portion = _Portion.after(checkpoints, last)
        planned = planner.planned(connection, portion)
        planner.plan_ahead(connection, portion.next(last))
        _keep(connection, apply_apart(connection, planned))
        self._move_checkpoints(connection, portion.until)
        return max(portion.start, portion.until)

    def _read(self, connection: Connection, after: int, until: int, types: Collection[str]) -> Iterator[Excerpt]:
        if after >= until:
            return iter(())
        return store.read_excerpts(connection, after=after, until=until, types=types, upcasters=self._upcasters)

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


class _Portion(NamedTuple):
    """The events up to a position that projections lack whose checkpoints are these."""

    checkpoints: Mapping[str, int]
    until: int

    @classmethod
    def after(cls, checkpoints: Mapping[str, int], last: int) -> Self:
        """The first portion of what is lacking up to `last`."""
        return cls(checkpoints, min(min(checkpoints.values()) + BATCH, last))

    @property
    def start(self) -> int:
        """The position after which it begins."""
        return min(self.checkpoints.values())

    def next(self, last: int) -> Self:
        """The one after it, if nobody else moves a checkpoint."""
        return self.after({name: max(position, self.until) for name, position in self.checkpoints.items()}, last)


class _Planner:
    """Plans portions, the next one by a thread of its own while the server carries out the one before.

    Only fetching takes the connection, as what is fetched need not be committed yet.
    """

    def __init__(self, projections: Sequence[Projection], upcasters: Upcasters) -> None:
        self._projections = projections
        self._upcasters = upcasters
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="planner")
        self._ahead: tuple[_Portion, Future[list[Planned]]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def planned(self, connection: Connection, portion: _Portion) -> list[Planned]:
        """What the portion's events demand: as planned ahead, unless another process has moved a checkpoint since."""
        if self._ahead is not None and self._ahead[0] == portion:
            return self._ahead[1].result()
        return self._begun(connection, portion).result()

    def plan_ahead(self, connection: Connection, portion: _Portion) -> None:
        """Begins to plan the portion, if there is anything in it."""
        self._ahead = (portion, self._begun(connection, portion)) if portion.start < portion.until else None

    def _begun(self, connection: Connection, portion: _Portion) -> Future[list[Planned]]:
        lacking = [p for p in self._projections if portion.checkpoints[p.name] < portion.until]
        events = store.fetch_excerpts(
            connection,
            after=portion.start,
            until=portion.until,
            types=frozenset[str]().union(*(p.types for p in lacking)),
            upcasters=self._upcasters,
        )
        return self._thread.submit(_planned, events, lacking, portion.checkpoints)


def _planned(
    events: Iterable[Told], projections: Sequence[Projection], checkpoints: Mapping[str, int]
) -> list[Planned]:
    """What each projection is to do about those of the events that it wants and has not had yet."""
    wanted: dict[str, list[Told]] = {projection.name: [] for projection in projections}
    takers: dict[str, list[tuple[int, list[Told]]]] = defaultdict(list)
    for projection in projections:
        for type_ in projection.types:
            takers[type_].append((checkpoints[projection.name], wanted[projection.name]))
    # Looked at once for all projections: each event is wanted by one or two of them.
    for event in events:
        for done, taken in takers[event.type]:
            if event.position > done:
                taken.append(event)
    return [Planned.of(projection, wanted[projection.name]) for projection in projections if wanted[projection.name]]
