"""Proofs that events are in the ledger, for somebody who has neither the ledger nor trust in us.

The tree is made anew from the stored hashes for each proof: no table holds it. `ledger.chain` says what a proof is, and
verifies one elsewhere.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, text

from ledger import scan, store
from ledger.chain import GENESIS, PROOF, Checkpoint, Stored, VerifierKey, follow, note, proof_of
from ledger.errors import Corrupt

_LEAVES = 1 << 14
"""So many events are read and hashed at once: a power of two, so that they make one node of the tree."""

_HASHES = text("""
    select string_agg(hash, ''::bytea order by position) as hashes
      from ledger.event where position > :after and position <= :until
""")
_PREVIOUS = text("select position + 1 as position, hash from ledger.event where position + 1 = any(:positions)")


class Signer:
    """Who signs proofs: the ledger by its name, with the site's key of 32 bytes."""

    def __init__(self, origin: str, key: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(key)
        self.key = VerifierKey(origin, self._private.public_key().public_bytes_raw())

    def signed(self, words: str) -> str:
        """The words, which end with a line end, as a signed note."""
        return note(words, self.key, self._private.sign(words.encode()))


class Tree(NamedTuple):
    """A Merkle tree: its root, and the path from each wanted leaf to it, by the event's position."""

    root: bytes
    paths: dict[int, list[bytes]]


def prove(connection: Connection, signer: Signer, words: Sequence[str], positions: Sequence[int]) -> str:
    """A proof that the events at these positions are in the ledger, in order; `words` say what they mean.

    Each line of the words that tells of an event begins with its position in brackets. The transaction reads as of
    one moment. Raises `Corrupt` where an event is not what it was when it was appended.
    """
    size = store.head(connection).position
    tree = _tree(connection, size, frozenset(positions))
    previous = {row.position: bytes(row.hash) for row in connection.execute(_PREVIOUS, {"positions": list(positions)})}
    checkpoint = signer.signed(Checkpoint(signer.key.name, size, tree.root).as_text())
    top = [PROOF, *words, f"Key: {signer.key.as_line()}", ""]
    parts = [signer.signed("\n".join(top))]
    for event in _events(connection, positions):
        before = GENESIS if event.position == 1 else previous.get(event.position, b"")
        if follow(before, event) != event.hash:
            raise Corrupt(
                f"The event at position {event.position} is not what it was when it was appended: nothing is proven. "
                "Run `fiona-ledger verify`."
            )
        parts.append(proof_of(event, before, tree.paths[event.position], checkpoint))
    return "".join(parts)


def _events(connection: Connection, positions: Sequence[int]) -> Iterator[Stored]:
    for position in sorted(positions):
        with scan.stored_events(connection, first=position, last=position) as events:
            yield from events


def _tree(connection: Connection, size: int, wanted: Collection[int]) -> Tree:
    """The tree over the hashes of the first `size` events, with the paths of the wanted ones."""
    paths: dict[int, list[bytes]] = {position: [] for position in wanted}
    tops = []
    for after in range(0, size, _LEAVES):
        until = min(after + _LEAVES, size)
        hashes = bytes(connection.execute(_HASHES, {"after": after, "until": until}).scalar_one() or b"")
        if len(hashes) != len(GENESIS) * (until - after):
            raise Corrupt(f"Events are missing between positions {after + 1} and {until}. Run `fiona-ledger verify`.")
        here = [position for position in wanted if after < position <= until]
        tops.append(_root(_leaves(hashes), {position - after - 1: paths[position] for position in here}))
    by_top: dict[int, list[list[bytes]]] = {}
    for position, path in paths.items():
        by_top.setdefault((position - 1) // _LEAVES, []).append(path)
    above: dict[int, list[bytes]] = {top: [] for top in by_top}
    root = _root(tops, above)
    for top, below in by_top.items():
        for path in below:
            path.extend(above[top])
    return Tree(root, paths)


def _leaves(hashes: bytes) -> list[bytes]:
    """As `chain.leaf_hash`, of many hashes one after the other: a million calls of it would take half a second."""
    sha256, length = hashlib.sha256, len(GENESIS)
    return [sha256(b"\x00" + hashes[at : at + length]).digest() for at in range(0, len(hashes), length)]


def _root(nodes: list[bytes], paths: dict[int, list[bytes]]) -> bytes:
    """The root above the nodes; each path, by the index of its node, gets the siblings up to there.

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
    return nodes[0] if nodes else hashlib.sha256().digest()
