"""Whether the ledger holds, by what an auditor may read: PostgreSQL computes the hashes, in the view audit.chain.

So it rests on the database and on that view, which the owner of the tables makes; `ledger.verification` and
`ledger.chain` rest on neither, and take more than the schema audit.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from sqlalchemy import Connection, text

from ledger import scan
from ledger.chain import GENESIS, KeptHead, Tree, leaf_hash
from ledger.errors import Corrupt

NOT_VERIFIED: Sequence[str] = (
    "subjects and their keys",
    "what is attested with the master key",
    "guards, functions and views",
    "projections",
)
"""What takes more than the schema audit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditedChain:
    """A ledger that holds, as far as an auditor can see: where it ends, and how many streams it has."""

    position: int
    hash: bytes
    streams: int


def is_auditor(connection: Connection) -> bool:
    """Whether the present role may read the schema audit and not the events themselves."""
    return not connection.execute(_MAY_READ_EVENTS).scalar_one()


def verify(connection: Connection, heads: Iterable[KeptHead] = ()) -> AuditedChain:
    """What holds. Raises `Corrupt` with the first event that does not; `heads` must still be part of the ledger.

    The transaction must not have begun otherwise: all is read as of one moment.
    """
    scan.as_one_moment(connection)
    found = connection.execute(_CHAIN).one()
    problems = [
        (position, how)
        for position, how in (
            (found.gap, "is not where it belongs: an event before it is missing"),
            (found.broken, "is not what was appended: its hash does not cover it and the event before it"),
            (found.misplaced, "has not the version that follows in its stream"),
            *_unlike(connection, heads),
        )
        if position is not None
    ]
    if found.events and not found.ends:
        problems.append((found.events + 1, "is missing, or is beyond where ledger.head says that the ledger ends"))
    if problems:
        position, how = min(problems, key=itemgetter(0))
        raise Corrupt(
            f"The ledger does not verify. The event at position {position} {how}. Stop the periodic run, keep the "
            "database as it is, and compare it with a backup or an export."
        )
    last = connection.execute(_HASH, {"position": found.events}).scalar_one_or_none()
    return AuditedChain(position=found.events, hash=bytes.fromhex(last) if last else GENESIS, streams=found.streams)


def _unlike(connection: Connection, heads: Iterable[KeptHead]) -> Iterator[tuple[int, str]]:
    """The kept heads and checkpoints that are not of this ledger: where, and how it differs."""
    kept = defaultdict(list)
    for head in heads:
        if head.position:
            kept[head.position].append(head)
    if not kept:
        return
    tree = Tree()
    for position, own in connection.execute(_HASHES, {"last": max(kept)}):
        hash_ = bytes.fromhex(own)
        tree.take(leaf_hash(hash_))
        for head in kept.pop(position, ()):
            if head.hash != (tree.root() if head.is_root else hash_):
                yield position, "or one before it is not the one that stood there when a head was kept of it"
    yield from ((position, "is gone, of which a head was kept") for position in kept)


_MAY_READ_EVENTS = text("""
    select coalesce((select has_schema_privilege(nspname, 'usage') and has_table_privilege(pg_class.oid, 'select')
                       from pg_class join pg_namespace on pg_namespace.oid = relnamespace
                      where nspname = 'ledger' and relname = 'event'), true)
""")
_CHAIN = text("""
    with event as (
         select position, stream, holds, is_head, row_number() over (order by position) as place, version,
                row_number() over (partition by stream order by position) as expected
           from audit.chain)
    select count(*) as events, count(distinct stream) as streams,
           min(position) filter (where position <> place) as gap,
           min(position) filter (where not holds) as broken,
           min(position) filter (where version <> expected) as misplaced,
           coalesce(bool_or(is_head), false) as ends
      from event
""")
_HASHES = text("select position, hash from audit.chain where position <= :last order by position")
_HASH = text("select hash from audit.chain where position = :position")
