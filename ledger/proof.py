"""Proofs of what is in the ledger, and of what it was, for somebody who has neither the ledger nor trust in us.

The tree is made anew from the stored hashes for each proof: no table holds it. `ledger.chain` says what a proof is, and
verifies one elsewhere.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, text

from ledger import scan, store
from ledger.chain import (
    GENESIS,
    PROOF,
    Checkpoint,
    KeptCheckpoint,
    VerifierKey,
    consistency,
    follow,
    note,
    proof_of,
)
from ledger.errors import Corrupt, Misconfigured

_LEAVES = 1 << 14
"""So many events are read and hashed at once: a power of two, so that they make one node of the tree."""

# The server hashes the next portion while this program puts nodes together.
_LEAF_HASHES = """
    select (select string_agg(sha256('\\x00'::bytea || hash), ''::bytea order by position)
              from ledger.event where position > after and position <= least(after + %(portion)s, %(end)s))
      from generate_series(%(first)s::bigint, %(end)s - 1, %(portion)s) as after
"""
_PREVIOUS = text("select position + 1 as position, hash from ledger.event where position + 1 = any(:positions)")


class Signer:
    """Who signs proofs: the ledger by its name, with the site's key of 32 bytes."""

    def __init__(self, origin: str, key: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(key)
        self.key = VerifierKey(origin, self._private.public_key().public_bytes_raw())

    def signed(self, words: str) -> str:
        """The words, which end with a line end, as a signed note."""
        return note(words, self.key, self._private.sign(words.encode()))


def prove(connection: Connection, signer: Signer, words: Sequence[str], positions: Sequence[int]) -> str:
    """A proof that the events at these positions are in the ledger, in order; `words` say what they mean.

    Each line of the words that tells of an event begins with its position in brackets. The transaction reads as of
    one moment. Raises `Corrupt` where an event is not what it was when it was appended.
    """
    tree = _Tree(connection)
    paths = tree.paths(positions)
    checkpoint = tree.checkpoint(signer)
    previous = {row.position: bytes(row.hash) for row in connection.execute(_PREVIOUS, {"positions": list(positions)})}
    top = [PROOF, *words, f"Key: {signer.key.as_line()}", ""]
    parts = [signer.signed("\n".join(top))]
    with scan.stored_events_at(connection, positions) as events:
        for event in events:
            before = GENESIS if event.position == 1 else previous.get(event.position, b"")
            if follow(before, event) != event.hash:
                raise Corrupt(
                    f"The event at position {event.position} is not what it was when it was appended: nothing is "
                    "proven. Run `fiona-ledger verify`."
                )
            parts.append(proof_of(event, before, paths[event.position], checkpoint))
    return "".join(parts)


def checkpoint_of(connection: Connection, signer: Signer, size: int | None = None) -> str:
    """The whole ledger, as the transaction sees it, or its first so many events, in three lines and a signature."""
    return _Tree(connection, size).checkpoint(signer)


def prove_consistent(connection: Connection, signer: Signer, kept: Checkpoint) -> str:
    """A proof that the ledger is the kept one with events appended to it: nothing else was changed.

    Raises `Corrupt` where it is not.
    """
    tree = _Tree(connection)
    if kept.origin != signer.key.name:
        raise Misconfigured(f"Expected a checkpoint of {signer.key.name}, found one of {kept.origin}.")
    tree.require(kept)
    return consistency(kept.size, tree.consistency(kept.size), tree.checkpoint(signer))


def witness_request(connection: Connection, kept: KeptCheckpoint, seen: int) -> str:
    """What a witness is asked who has seen so many events: to countersign the kept checkpoint (tlog-witness).

    Raises `Corrupt` where the ledger is not what the checkpoint says.
    """
    tree = _Tree(connection, kept.checkpoint.size)
    tree.require(kept.checkpoint)
    return consistency(seen, tree.consistency(seen), kept.note)


class _Tree:
    """The tree over the hashes of all events that the transaction sees, of which the nodes above portions are kept."""

    def __init__(self, connection: Connection, size: int | None = None) -> None:
        self._connection = connection
        head = store.head(connection).position
        self.size = head if size is None else min(size, head)
        self._tops: list[bytes] = []

    def checkpoint(self, signer: Signer) -> str:
        """The root, signed."""
        return signer.signed(Checkpoint(signer.key.name, self.size, self.root(0, self.size)).as_text())

    def require(self, kept: Checkpoint) -> None:
        """Raises `Corrupt` unless the ledger began as the kept checkpoint says."""
        if kept.size > self.size or self.root(0, kept.size) != kept.root:
            raise Corrupt(
                f"The checkpoint of {kept.size} events that was kept is not what this ledger, of {self.size} events, "
                "began with: events have been rewritten or cut off since. Stop the periodic run, keep the database as "
                "it is, and compare it with a backup or an export."
            )

    def paths(self, positions: Collection[int]) -> dict[int, list[bytes]]:
        """The path from each of these events to the root."""
        paths: dict[int, list[bytes]] = {position: [] for position in positions}
        self._read(paths)
        above: dict[int, list[bytes]] = {(position - 1) // _LEAVES: [] for position in paths}
        _root(self._tops, above)
        return {position: [*path, *above[(position - 1) // _LEAVES]] for position, path in paths.items()}

    def root(self, first: int, end: int) -> bytes:
        """The node above the leaves from `first`, counted from 0, up to before `end`, as RFC 9162 divides them."""
        if first == end:
            return hashlib.sha256().digest()
        if end - first <= _LEAVES:
            (leaves,) = self._leaves(first, end)
            return _root(leaves, {})
        if not self._tops:
            self._read({})
        whole, rest = divmod(end, _LEAVES)
        tops = self._tops[first // _LEAVES : whole]
        if rest:
            tops.append(self.root(end - rest, end))
        return _root(tops, {})

    def consistency(self, old: int) -> list[bytes]:
        """The nodes by which the root over the first `old` leaves and that over all can be computed (2.1.4.1)."""
        if not old:
            return []
        path: list[bytes] = []
        first, end, wanted, is_old_root = 0, self.size, old, True
        while wanted < end - first:
            half = 1 << (end - first - 1).bit_length() - 1
            if wanted <= half:
                path.append(self.root(first + half, end))
                end = first + half
            else:
                path.append(self.root(first, first + half))
                first, wanted, is_old_root = first + half, wanted - half, False
        return [*([] if is_old_root else [self.root(first, end)]), *reversed(path)]

    def _read(self, paths: dict[int, list[bytes]]) -> None:
        """Computes the nodes above all portions; the `paths` get what lies below those."""
        self._tops = []
        for first, leaves in zip(range(0, self.size, _LEAVES), self._leaves(0, self.size), strict=True):
            end = first + len(leaves)
            here = {position - 1 - first: path for position, path in paths.items() if first < position <= end}
            self._tops.append(_root(leaves, here))

    def _leaves(self, first: int, end: int) -> Iterator[list[bytes]]:
        """The leaves, as `chain.leaf_hash` makes them, in portions."""
        length = len(GENESIS)
        driver: Any = self._connection.connection.driver_connection
        parameters = {"first": first, "end": end, "portion": _LEAVES}
        # Who stops half-way leaves the connection taken until the rows are closed, as in `scan`.
        with (
            driver.cursor(binary=True) as cursor,
            closing(cursor.stream(_LEAF_HASHES, parameters, binary=True)) as portions,
        ):
            for after, (hashes,) in zip(range(first, end, _LEAVES), portions, strict=True):
                until = min(after + _LEAVES, end)
                if len(hashes or b"") != length * (until - after):
                    raise Corrupt(
                        f"Events are missing between positions {after + 1} and {until}. Run `fiona-ledger verify`."
                    )
                yield [hashes[at : at + length] for at in range(0, len(hashes), length)]


def _root(nodes: list[bytes], paths: dict[int, list[bytes]]) -> bytes:
    """The root above the nodes, one at least; each path, by the index of its node, gets the siblings up to there.

    Level by level, where a last node without a sibling goes up as it is: that is RFC 9162's tree.
    """
    sha256 = hashlib.sha256
    at = {index: index for index in paths}
    while len(nodes) > 1:
        for index, node in at.items():
            if node ^ 1 < len(nodes):
                paths[index].append(nodes[node ^ 1])
            at[index] = node >> 1
        pairs = zip(nodes[::2], nodes[1::2], strict=False)
        alone = nodes[-1:] if len(nodes) & 1 else []
        nodes = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + alone
    return nodes[0]
