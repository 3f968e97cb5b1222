"""Whether the ledger is what was appended: chain, positions, streams, subjects, keys, projections.

What does not hold is a `Corrupt` that names the first event concerned and says how.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, event, text

from ledger import scan, store
from ledger.batching import Progress, batches
from ledger.chain import Broken, KeptHead, Walk
from ledger.codec import Upcasters
from ledger.errors import Corrupt
from ledger.projector import BATCH, Planned, Projection, SetApart, apply_apart
from ledger.vault import NOT_ITS_KEY, Vault

_PROGRESS_EVERY = 5_000
_KEYS_AT_ONCE = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """A ledger that holds: where it ends, and what is in it."""

    position: int
    hash: bytes
    streams: int
    subjects: int
    forgotten: int


class _Problem(NamedTuple):
    position: int
    how: str


def verify(connection: Connection, *, heads: Iterable[KeptHead] = (), progress: Progress | None = None) -> Verified:
    """Recomputes the chain, and checks all that can be checked without a key.

    `heads` were kept elsewhere: each must still be part of the ledger. The transaction must not have
    begun otherwise: all is read as of one moment, so that nobody has to wait and runs may go on.
    """
    scan.as_one_moment(connection)
    counts = connection.execute(_COUNTS).one()
    outcomes = [
        _first(connection, _VERSIONS, _wrong_version),
        _first(connection, _SUBJECTS, _unknown_subject),
    ]
    walk, broken = _walk(connection, heads, counts.head, progress)
    outcomes.append(broken or _wrong_head(counts.head, counts.head_hash, walk))
    problems = [problem for problem in outcomes if problem is not None]
    if problems:
        raise Corrupt(_call_for_help(min(problems)))
    return Verified(
        position=walk.position,
        hash=walk.hash,
        streams=counts.streams,
        subjects=counts.subjects,
        forgotten=counts.forgotten,
    )


def verify_keys(connection: Connection, key_file: Path, progress: Progress | None = None) -> int:
    """How many data keys there are; all of them open with the master key in `key_file`.

    Raises `KeyProblem` where that is missing or not this ledger's.
    """
    vault = Vault.open(connection, key_file)
    total = connection.execute(text("select count(wrapped_key) from ledger.subject")).scalar_one()
    done = 0
    for subjects in _subjects_with_keys(connection):
        if not _open(connection, vault, subjects):
            raise Corrupt(_call_for_help(_locked_out(connection, key_file, subjects)))
        done += len(subjects)
        if progress is not None:
            progress(done, total)
    return done


def verify_forgotten(connection: Connection, forgotten_at: Mapping[UUID, int]) -> None:
    """Raises `Corrupt` unless just those have no key any more of whom events tell it, at these positions."""
    keyless = set(connection.execute(text("select subject from ledger.subject where wrapped_key is null")).scalars())
    destroyed, returned = keyless - forgotten_at.keys(), forgotten_at.keys() - keyless
    if destroyed:
        raise _unverified(
            f"{len(destroyed)} subjects have no key any more though no event tells that they were forgotten, among "
            f"them {min(destroyed)}: somebody has destroyed their keys."
        )
    if returned:
        subject = min(returned, key=forgotten_at.__getitem__)
        raise _unverified(
            f"{len(returned)} forgotten subjects have a key again, or no row in ledger.subject, among them {subject}, "
            f"which was forgotten at position {forgotten_at[subject]}."
        )


def _unverified(how: str) -> Corrupt:
    return Corrupt(_call_for_help(_Problem(0, how)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A table that is not what the events make of it: rows it lacks, and rows it should not have.

    A changed row counts as both.
    """

    projection: str
    table: str
    missing: int
    unexpected: int


def compare(
    connection: Connection,
    projections: Sequence[Projection],
    *,
    upcasters: Upcasters | None = None,
    progress: Progress | None = None,
) -> list[Difference]:
    """Derives each projection afresh, up to its checkpoint, and compares its tables row by row.

    The fresh rows go into temporary tables, so runs go on meanwhile and nothing is changed. A
    projection that the next run will rebuild anyway, its code being newer, is passed over. As with
    `verify`, the transaction must not have begun otherwise.
    """
    scan.as_one_moment(connection)
    return _compared(connection, projections, upcasters, progress)


def _compared(
    connection: Connection,
    projections: Sequence[Projection],
    upcasters: Upcasters | None = None,
    progress: Progress | None = None,
) -> list[Difference]:
    known = {row.name: row for row in connection.execute(text("table ledger.projection"))}
    wanted = [
        (p, known[p.name].checkpoint if p.name in known else 0)
        for p in projections
        if p.name not in known or known[p.name].code_version == p.code_version
    ]
    total, done = sum(checkpoint for _, checkpoint in wanted), 0
    differences: list[Difference] = []
    for projection, checkpoint in wanted:
        with _redirected_to_temporary(connection, projection.tables):
            events = store.read_excerpts(connection, until=checkpoint, types=projection.types, upcasters=upcasters)
            apart: set[SetApart] = set()
            for batch in batches(events if checkpoint else (), BATCH):
                apart.update(apply_apart(connection, [Planned.of(projection, batch)]))
                if progress is not None:
                    progress(done + batch[-1].position, total)
        done += checkpoint
        differences += _differences(connection, projection)
        differences += _set_apart_otherwise(connection, projection, apart)
    return differences


# The chain and what belongs to it


_COUNTS = text("""
    select (select position from ledger.head) as head,
           (select hash from ledger.head) as head_hash,
           (select count(*) from ledger.event where version = 1) as streams,
           (select count(*) from ledger.subject) as subjects,
           (select count(*) from ledger.subject where wrapped_key is null) as forgotten
""")
# Compared byte by byte: sorting by the rules of a language takes several times as long.
_VERSIONS = text("""
    select position, stream, version, expected
      from (select position, stream, version,
                   row_number() over (partition by stream collate "C" order by position) as expected
              from ledger.event) as numbered
     where version <> expected
     order by position limit 1
""")
# By subject first: asked event by event, in order of position, it takes six times as long.
_SUBJECTS = text("""
    select first as position, subject
      from (select subject, min(position) as first from ledger.event
             where subject is not null group by subject) as used
     where not exists (select from ledger.subject where subject.subject = used.subject)
     order by first limit 1
""")


def _first(connection: Connection, query: Any, how: Any) -> _Problem | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else _Problem(row.position, how(row))


def _wrong_version(row: Any) -> str:
    return (
        f"The event at position {row.position} is version {row.version} of stream {row.stream!r}, where "
        f"{row.expected} was expected."
    )


def _unknown_subject(row: Any) -> str:
    return (
        f"The event at position {row.position} belongs to subject {row.subject}, which ledger.subject does not hold: "
        "its row, and with it the key, has been deleted."
    )


def _walk(
    connection: Connection, heads: Iterable[KeptHead], total: int | None, progress: Progress | None
) -> tuple[Walk, _Problem | None]:
    """How far the chain could be followed, and what ended it."""
    walk = Walk()
    try:
        walk = Walk(heads=heads)
        with scan.stored_events(connection) as events:
            for stored in events:
                walk.take(stored)
                if progress is not None and walk.position % _PROGRESS_EVERY == 0:
                    progress(walk.position, total or walk.position)
        walk.end()
    except Broken as exc:
        return walk, _Problem(exc.position, str(exc))
    return walk, None


def _wrong_head(position: int | None, hash_: bytes | None, walk: Walk) -> _Problem | None:
    if position is None or hash_ is None:
        return _Problem(walk.position + 1, "The row of ledger.head is missing.")
    if position > walk.position:
        return _Problem(
            walk.position + 1,
            f"The event at position {walk.position + 1} is missing: ledger.head says that the ledger goes to "
            f"{position}, but the last event is {walk.position}.",
        )
    if (position, bytes(hash_)) != (walk.position, walk.hash):
        return _Problem(
            position + 1 if position < walk.position else position,
            f"ledger.head holds position {position} and hash {bytes(hash_).hex()}, the last event is {walk.position} "
            f"with {walk.hash.hex()}: one of the two was not written by an append.",
        )
    return None


def _call_for_help(problem: _Problem) -> str:
    before = f"Events 1 to {problem.position - 1} hold. " if problem.position > 1 else ""
    return (
        f"The ledger does not verify. {problem.how} {before}Stop the periodic run, keep the database as it is, and "
        "compare it with a backup or an export."
    )


# Keys


def _subjects_with_keys(connection: Connection) -> Iterator[list[UUID]]:
    after = UUID(int=0)
    while subjects := connection.execute(_SUBJECTS_AFTER, {"after": after, "limit": _KEYS_AT_ONCE}).scalars().all():
        yield list(subjects)
        after = subjects[-1]


_SUBJECTS_AFTER = text("""
    select subject from ledger.subject
     where subject > :after and wrapped_key is not null
     order by subject limit :limit
""")
_FIRST_OF = text("select min(position) from ledger.event where subject = :subject")


def _open(connection: Connection, vault: Vault, subjects: Sequence[UUID]) -> bool:
    try:
        vault.load(connection, subjects)
    except Corrupt:
        return False
    return True


def _locked_out(connection: Connection, key_file: Path, subjects: Sequence[UUID]) -> _Problem:
    """The first event whose subject's key does not open, among these subjects."""
    # One vault each: what a vault has failed to load it does not try again.
    closed = [s for s in subjects if not _open(connection, Vault.open(connection, key_file), [s])]
    position, subject = min((connection.execute(_FIRST_OF, {"subject": s}).scalar_one() or 0, s) for s in closed)
    how = NOT_ITS_KEY.format(subject)
    return _Problem(
        position,
        f"The event at position {position} cannot be read. {how}" if position else how,
    )


# Projections


@contextmanager
def _redirected_to_temporary(connection: Connection, tables: Sequence[str]) -> Iterator[None]:
    """Statements about `tables` work on temporary, empty ones of the same make.

    The projection's own statements are sent there, rather than a copy of them that could differ.
    """
    for table in tables:
        connection.execute(text(f"create temporary table {_bare(table)} (like {table} including all) on commit drop"))
    names = re.compile(r"\b(?:" + "|".join(map(re.escape, tables)) + r")\b")

    def redirect(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any
    ) -> tuple[str, Any]:
        return names.sub(lambda match: f"pg_temp.{_bare(match[0])}", statement), parameters

    event.listen(connection, "before_cursor_execute", redirect, retval=True)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", redirect)


_SET_APART = text("""
    select projection, position, reason from ledger.set_apart
     where projection = :name and mended_position is null
""")


def _set_apart_otherwise(connection: Connection, projection: Projection, apart: Set[SetApart]) -> list[Difference]:
    """Where other events are listed as set apart than those that are."""
    listed = {SetApart(*row) for row in connection.execute(_SET_APART, {"name": projection.name})}
    if listed == apart:
        return []
    missing, unexpected = len(apart - listed), len(listed - apart)
    return [Difference(projection=projection.name, table="ledger.set_apart", missing=missing, unexpected=unexpected)]


def _differences(connection: Connection, projection: Projection) -> list[Difference]:
    differences = []
    for table in projection.tables:
        fresh = f"pg_temp.{_bare(table)}"
        # As text: not every column's type can be compared, and equal rows are equal in text.
        query = "select count(*) from (select t::text from {} as t except all select t::text from {} as t) as d"
        missing = connection.execute(text(query.format(fresh, table))).scalar_one()
        unexpected = connection.execute(text(query.format(table, fresh))).scalar_one()
        connection.execute(text(f"drop table {fresh}"))
        if missing or unexpected:
            differences.append(
                Difference(projection=projection.name, table=table, missing=missing, unexpected=unexpected)
            )
    return differences


def _bare(table: str) -> str:
    return table.rpartition(".")[2]
