"""The hash chain that shows tampering, and a verifier of exports and proofs; needs the standard library alone.

    hash(n) = SHA-256( hash(n-1) + canonical(n) ),   hash(0) = 32 zero bytes

`canonical` covers every column of the event, the sealed bytes included: destroying a subject's
key therefore leaves the chain whole. All numbers are big-endian; a time is counted in microseconds
since 1970-01-01 UTC. The layout is fixed for ever: changing it would orphan every hash ever kept
outside the ledger.

This file alone, copied to any machine with Python 3.9 or newer, verifies what `fiona-ledger export` and
`fiona-ledger prove` wrote, and checkpoints that were kept:

    python chain.py export.jsonl --head heads.txt
    python chain.py study.proof --key fiona-ledger/...+...
    python chain.py 2026-11-28.checkpoint --key fiona-ledger/...+... --witness witness.example/...+...

It ends with 0 where all is well, 4 where it does not verify, 2 where it was given something else. Signatures take the
package cryptography; where that is not installed, all else is verified, that is said, and it ends with 1.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import sys
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

GENESIS = bytes(32)

_UTC = timezone.utc  # noqa: UP017 - an auditor's Python may be older than ours
_EPOCH = datetime(1970, 1, 1, tzinfo=_UTC)
_MICROSECOND = timedelta(microseconds=1)
_HEADER = struct.Struct(
    ">8s"  # the layout's name
    "qqHq"  # position, version, schema version, recorded at
    "16s16s"  # event id, run
    "?16s?"  # has a subject, the subject or zeros, has a sealed part
    "IIIII"  # lengths in bytes of site, stream, type, data, sealed
)
_LAYOUT = b"fiona-1\x00"
_NOBODY = bytes(16)


class Stored(NamedTuple):
    """An event as it is stored: texts in UTF-8, UUIDs as bytes, the time in microseconds since 1970-01-01 UTC."""

    position: int
    version: int
    schema_version: int
    recorded_at: int
    event_id: bytes
    run: bytes
    subject: bytes | None
    site: bytes
    stream: bytes
    type: bytes
    data: bytes
    sealed: bytes | None
    hash: bytes


class Broken(Exception):
    """The chain does not hold at `position`; the text says how."""

    def __init__(self, position: int, how: str) -> None:
        super().__init__(how)
        self.position = position


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def follow(
    previous: bytes,
    event: tuple[int, int, int, int, bytes, bytes, bytes | None, bytes, bytes, bytes, bytes, bytes | None, bytes],
) -> bytes:
    """The hash that an event, with its columns as in `Stored`, has after `previous`; its own is not looked at."""
    position, version, schema_version, recorded_at, event_id, run, subject, site, stream, type_, data, sealed, _ = event
    sealed_bytes = sealed or b""
    header = _HEADER.pack(
        _LAYOUT,
        position,
        version,
        schema_version,
        recorded_at,
        event_id,
        run,
        subject is not None,
        subject or _NOBODY,
        sealed is not None,
        len(site),
        len(stream),
        len(type_),
        len(data),
        len(sealed_bytes),
    )
    return hashlib.sha256(b"".join((previous, header, site, stream, type_, data, sealed_bytes))).digest()


class KeptHead(NamedTuple):
    """The end of the ledger as it was once, kept elsewhere; `taken` says when, in whatever words.

    `is_root`: it is a checkpoint's, whose hash is the root of the tree over all events up to there, of the ledger that
    `origin` names. A line with position and hash names none.
    """

    position: int
    hash: bytes
    taken: str
    is_root: bool = False
    origin: str = ""

    def as_line(self) -> str:
        """Position, hash and time, as `parse_heads` reads them."""
        return f"{self.position} {self.hash.hex()} {self.taken}".rstrip()


def parse_heads(text: str) -> list[KeptHead]:
    """The heads in a text: lines as `KeptHead.as_line` writes them, and checkpoints, their signatures not looked at.

    Raises `ValueError` that names a line which is none.
    """
    heads, lines = [], text.replace("\ufeff", "").splitlines()
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        if not line.strip() or line.startswith(_SIGNED_BY):
            continue
        # Below its origin, a checkpoint has a line with its size alone.
        if lines[number : number + 1] and lines[number].isdecimal():
            try:
                heads.append(_checkpoint(lines[number - 1 : number + 2]).as_head())
            except ValueError as exc:
                raise ValueError(f"line {number} begins no whole checkpoint: {exc}") from None
            next(numbered), next(numbered)
        else:
            heads.append(_parse_head(number, line))
    return heads


def _parse_head(number: int, line: str) -> KeptHead:
    position, _, rest = line.strip().partition(" ")
    hash_, _, taken = rest.strip().partition(" ")
    try:
        head = KeptHead(int(position), bytes.fromhex(hash_), taken.strip())
    except ValueError:
        head = KeptHead(-1, b"", "")
    if head.position < 0 or len(head.hash) != len(GENESIS):
        raise ValueError(
            f"line {number} is not a kept head: expected a checkpoint as `fiona-ledger verify --head` prints it, or a "
            "position, a hash of 64 hex digits and a time"
        )
    return head


class Walk:
    """Follows the chain from event to event, past the heads that were kept elsewhere.

    It starts after `position`, whose hash is `hash`; `whole` names what is walked through in messages.
    """

    def __init__(
        self,
        *,
        position: int = 0,
        hash: bytes = GENESIS,  # noqa: A002 - the column's name
        heads: Iterable[KeptHead] = (),
        whole: str = "ledger",
    ) -> None:
        self.position = position
        self.hash = hash
        self.start = position
        self._whole = whole
        self._heads: dict[int, list[KeptHead]] = {}
        for head in heads:
            self._heads.setdefault(head.position, []).append(head)
        roots = any(head.is_root for kept in self._heads.values() for head in kept)
        if roots and position:
            raise ValueError(f"it begins after position {position}, but a checkpoint is over all events from the first")
        self._tree = Tree() if roots else None
        self._compare_heads()

    def take(self, event: Stored) -> None:
        """Goes on to the next event. Raises `Broken` where it does not follow."""
        position = event.position
        if position != self.position + 1:
            raise Broken(self.position + 1, self._gap(position))
        computed = follow(self.hash, event)
        if computed != event.hash:
            raise Broken(
                position,
                f"The event at position {position} does not follow from the one before it: one of its columns, or "
                "the hash stored with it, is not what it was when the event was appended.",
            )
        self.position, self.hash = position, computed
        if self._tree is not None:
            self._tree.take(leaf_hash(computed))
        if position in self._heads:
            self._compare_heads()

    def end(self) -> None:
        """Ends here. Raises `Broken` where a kept head was not met."""
        if self._heads:
            position, heads = min(self._heads.items())
            taken = f", taken {heads[0].taken}," if heads[0].taken else ""
            where = f"begins after position {self.start}" if position < self.start else f"ends at {self.position}"
            lost = "" if position < self.start else ": what came after has been cut off"
            raise Broken(
                position if position < self.start else self.position + 1,
                f"The head kept of position {position}{taken} is not in this {self._whole}, which {where}{lost}.",
            )

    def _gap(self, position: int) -> str:
        if position > self.position + 1:
            return f"The event at position {self.position + 1} is missing: {position} is the next one there is."
        return f"Position {position} stands where {self.position + 1} was expected."

    def _compare_heads(self) -> None:
        for head in self._heads.pop(self.position, ()):
            found = self._tree.root() if self._tree is not None and head.is_root else self.hash
            if head.hash != found:
                taken = f" (taken {head.taken})" if head.taken else ""
                kind, what = ("checkpoint", "root") if head.is_root else ("head", "hash")
                raise Broken(
                    self.position,
                    f"At position {self.position} the {self._whole} has the {what} {found.hex()}, the {kind} kept "
                    f"elsewhere{taken} has {head.hash.hex()}: events up to there have been rewritten since.",
                )


# Exports. A part begins with a line that says what it holds; then each event is a line.

_FORMAT = "fiona-ledger-export-1"
_PART_KEYS = frozenset({"format", "from", "to", "previous", "last"})
_EVENT_KEYS = frozenset(Stored._fields)


class Part(NamedTuple):
    """What a part of an export holds: events `first` to `last`, with the hashes of the one before and the last."""

    first: int
    last: int
    previous_hash: bytes
    last_hash: bytes

    def as_line(self) -> str:
        """The line at the top of the part."""
        return json.dumps(
            {
                "format": _FORMAT,
                "from": self.first,
                "to": self.last,
                "previous": self.previous_hash.hex(),
                "last": self.last_hash.hex(),
            }
        )


def event_line(event: Stored) -> str:
    """An event as a line of an export: data as the exact stored text, sealed bytes in base64."""
    return _as_json(
        {
            "position": event.position,
            "event_id": str(UUID(bytes=event.event_id)),
            "site": event.site.decode(),
            "stream": event.stream.decode(),
            "version": event.version,
            "type": event.type.decode(),
            "schema_version": event.schema_version,
            "data": event.data.decode(),
            "subject": None if event.subject is None else str(UUID(bytes=event.subject)),
            "sealed": None if event.sealed is None else base64.b64encode(event.sealed).decode(),
            "recorded_at": (_EPOCH + event.recorded_at * _MICROSECOND).isoformat(timespec="microseconds"),
            "run": str(UUID(bytes=event.run)),
            "hash": event.hash.hex(),
        }
    )


def _as_json(content: dict[str, Any]) -> str:
    """The content as JSON, with escapes for what steers a terminal, is not seen, or turns letters around.

    They are of the line alone: whoever reads it as JSON has the texts as they are stored, and hashed.
    """
    written = json.dumps(content, ensure_ascii=False)
    if written.isprintable():
        return written
    return "".join(character if character.isprintable() else _escaped(character) for character in written)


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"


def verify_export(lines: Iterable[bytes], heads: Iterable[KeptHead] = ()) -> Walk:
    """Follows an export, or several ones in order, to its end: where it has come to.

    Raises `Broken` where it does not verify, and `ValueError` where it is no export at all.
    """
    walk: Walk | None = None
    part: Part | None = None
    versions: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        content = _understood(number, line, None if walk is None else walk.position + 1)
        if isinstance(content, Part):
            if walk is None or part is None:
                walk = Walk(position=content.first - 1, hash=content.previous_hash, heads=heads, whole="export")
            else:
                _check_complete(part, walk)
            _check_next(content, walk)
            part = content
        elif walk is not None:
            walk.take(content)
            _check_version(versions, content, partial=walk.start > 0)
    if walk is None or part is None:
        raise ValueError("it is empty")
    _check_complete(part, walk)
    walk.end()
    return walk


def _understood(number: int, line: bytes, expected: int | None) -> Stored | Part:
    """The line's content; `expected` is the event that is due, None at the top of the file."""
    try:
        content = _object(line)
        return _part(content) if expected is None or "format" in content else _event(content)
    except ValueError as exc:
        if expected is None:
            raise ValueError("the first line is not that of an export of `fiona-ledger export`") from exc
        raise Broken(expected, f"Line {number} is not an event as it was exported: {exc}.") from exc


def _check_complete(part: Part, walk: Walk) -> None:
    if walk.position != part.last:
        raise Broken(
            min(walk.position, part.last) + 1,
            f"The export says that it goes to position {part.last}, but it ends at {walk.position}.",
        )
    if walk.hash != part.last_hash:
        raise Broken(part.last, f"The event at position {part.last} is another one than the export's first line says.")


def _check_next(part: Part, walk: Walk) -> None:
    if part.first != walk.position + 1 or part.previous_hash != walk.hash:
        raise Broken(
            walk.position + 1,
            f"The part that begins at position {part.first} does not follow from the one that ends at {walk.position}.",
        )
    if part.first == 1 and part.previous_hash != GENESIS:
        raise Broken(1, "The export names an event before position 1, where there can be none.")


def _check_version(versions: dict[str, int], event: Stored, *, partial: bool) -> None:
    stream = event.stream.decode()
    before = versions.get(stream, event.version - 1 if partial else 0)
    if event.version != before + 1:
        raise Broken(
            event.position,
            f"The event at position {event.position} is version {event.version} of stream {stream!r}, where "
            f"{before + 1} was expected.",
        )
    versions[stream] = event.version


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key appears twice in it")
    return content


_DECODER = json.JSONDecoder(object_pairs_hook=_no_key_twice)


def _object(line: bytes) -> dict[str, Any]:
    try:
        content = _DECODER.decode(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as exc:
        raise ValueError(f"it is not JSON ({exc.msg} at character {exc.pos + 1})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - the caller's one error for all that a line can be
    return content


def _part(content: dict[str, Any]) -> Part:
    _require_keys(content, _PART_KEYS)
    if content["format"] != _FORMAT:
        raise ValueError(f"its format is not {_FORMAT}")
    part = Part(
        _number(content, "from"),
        _number(content, "to"),
        _hex(content, "previous", len(GENESIS)),
        _hex(content, "last", len(GENESIS)),
    )
    if part.first < 1 or part.last < part.first - 1:
        raise ValueError("its range of positions is none")
    return part


def _event(content: dict[str, Any]) -> Stored:
    _require_keys(content, _EVENT_KEYS)
    return Stored(
        position=_number(content, "position"),
        version=_number(content, "version"),
        schema_version=_number(content, "schema_version", below=2**16),
        recorded_at=_time(content, "recorded_at"),
        event_id=_uuid(content, "event_id"),
        run=_uuid(content, "run"),
        subject=None if content["subject"] is None else _uuid(content, "subject"),
        site=_text(content, "site").encode(),
        stream=_text(content, "stream").encode(),
        type=_text(content, "type").encode(),
        data=_text(content, "data").encode(),
        sealed=None if content["sealed"] is None else _decoded(_text(content, "sealed"), "sealed"),
        hash=_hex(content, "hash", len(GENESIS)),
    )


def _require_keys(content: dict[str, Any], expected: frozenset[str]) -> None:
    if content.keys() != expected:
        different = ", ".join(sorted(content.keys() ^ expected))
        raise ValueError(f"it lacks these keys or should not have them: {different}")


def _number(content: dict[str, Any], key: str, *, below: int = 2**63) -> int:
    value = content[key]
    if type(value) is not int or not 0 <= value < below:
        raise ValueError(f"{key} is not a whole number from 0 to {below - 1}")
    return value


def _text(content: dict[str, Any], key: str) -> str:
    value = content[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a text")  # noqa: TRY004 - see `_object`
    return value


def _uuid(content: dict[str, Any], key: str) -> bytes:
    return _bytes(content, key, _text(content, key).replace("-", ""), len(_NOBODY))


def _hex(content: dict[str, Any], key: str, length: int) -> bytes:
    return _bytes(content, key, _text(content, key), length)


def _bytes(content: dict[str, Any], key: str, digits: str, length: int) -> bytes:
    if len(digits) != 2 * length:
        raise ValueError(f"{key} has not {2 * length} hex digits: {len(content[key])} characters")
    return bytes.fromhex(digits)


def _time(content: dict[str, Any], key: str) -> int:
    moment = datetime.fromisoformat(_text(content, key))
    if moment.tzinfo is None:
        raise ValueError(f"{key} has no zone")
    return microseconds(moment)


# Proofs. The hashes of all events are the leaves of a Merkle tree as RFC 9162, section 2.1, lays it out. A proof holds
# some events, each with the path from its leaf to the root, and the root as the site has signed it: a checkpoint. Who
# has seen it grow countersigns that. The forms are those of C2SP: signed notes, tlog-checkpoint, tlog-proof,
# tlog-cosignature.

PROOF = "fiona-ledger-proof-1"
_TLOG_PROOF = "c2sp.org/tlog-proof@v1"
_SIGNED_BY = "\u2014 "
_OLD = "old "
_ED25519 = b"\x01"
_COSIGNATURE = b"\x04"
_COSIGNED = "cosignature/v1"
_SECONDS = struct.Struct(">Q")
_KEY = "Key: "
_POSITION = re.compile(r"\[([0-9]+)\] ")


def leaf_hash(stored_hash: bytes) -> bytes:
    """The leaf that an event's hash makes."""
    return hashlib.sha256(b"\x00" + stored_hash).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The node above two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """The tree over leaves that come one by one; of it are kept the roots above whole powers of two, largest first."""

    def __init__(self) -> None:
        self._roots: list[tuple[int, bytes]] = []

    def take(self, leaf: bytes) -> None:
        """Puts one more leaf at the end."""
        node, size = leaf, 1
        while self._roots and self._roots[-1][0] == size:
            node, size = node_hash(self._roots.pop()[1], node), 2 * size
        self._roots.append((size, node))

    def root(self) -> bytes:
        """The root over all leaves so far."""
        nodes = [node for _, node in self._roots] or [hashlib.sha256().digest()]
        above = nodes.pop()
        while nodes:
            above = node_hash(nodes.pop(), above)
        return above


def root_above(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root to which the path leads from the leaf (RFC 9162, 2.1.3.2). Raises `ValueError` for a wrong length."""
    above = leaf
    for sibling, is_left in _siblings(path, index, size - 1):
        above = node_hash(sibling, above) if is_left else node_hash(above, sibling)
    return above


def roots_above(path: Sequence[bytes], old: int, size: int, old_root: bytes) -> tuple[bytes, bytes]:
    """The roots of the first `old` of `size` leaves, and of all, that the nodes of the path make (RFC 9162, 2.1.4.2).

    `old_root` is what the first ought to be. Raises `ValueError` for a path of the wrong length.
    """
    if not 0 < old <= size or (old == size) != (not path):
        raise ValueError("its path is too long, or too short")
    if old == size:
        return old_root, old_root
    first, *rest = [old_root, *path] if old & (old - 1) == 0 else path
    node, last = old - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    below = above = first
    for sibling, is_left in _siblings(rest, node, last):
        if is_left:
            below = node_hash(sibling, below)
        above = node_hash(sibling, above) if is_left else node_hash(above, sibling)
    return below, above


def _siblings(path: Sequence[bytes], node: int, last: int) -> Iterator[tuple[bytes, bool]]:
    """The nodes of the path, from that of this index among those up to `last`, each with whether it lies to the left.

    Raises `ValueError` where they end before the root, or go beyond it.
    """
    for sibling in path:
        if last == 0:
            raise ValueError("its path is too long")
        is_left = bool(node & 1) or node == last
        yield sibling, is_left
        while is_left and node and not node & 1:
            node, last = node >> 1, last >> 1
        node, last = node >> 1, last >> 1
    if last:
        raise ValueError("its path is too short")


class VerifierKey(NamedTuple):
    """What a signature is verified with: the name of who signs, and the Ed25519 public key, 32 bytes.

    `kind` is one byte that says what is signed: a note as it is, or, by a witness, a checkpoint and when it was seen.
    """

    name: str
    public: bytes
    kind: bytes = _ED25519

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand before each signature by the key."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.kind + self.public).digest()[:4]

    def as_line(self) -> str:
        """The key as it is handed out."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self.kind + self.public).decode()}"


def parse_key(line: str) -> VerifierKey:
    """The site's key in a line as `VerifierKey.as_line` writes it. Raises `ValueError` where it is none."""
    key = _key_in(line)
    if key is None or key.kind != _ED25519:
        raise ValueError("expected a key as `fiona-ledger prove --key` prints it: NAME+ID+KEY")
    return key


def parse_witness_key(line: str) -> VerifierKey:
    """A witness's key, handed out as one of cosignatures or of notes. Raises `ValueError` where it is none."""
    key = _key_in(line)
    if key is None or key.kind not in (_ED25519, _COSIGNATURE):
        raise ValueError("expected the key of a witness as C2SP's signed-note has it: NAME+ID+KEY, of Ed25519")
    return key._replace(kind=_COSIGNATURE)


def _key_in(line: str) -> VerifierKey | None:
    name, _, rest = line.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    key = VerifierKey(name, decoded[1:], decoded[:1])
    is_key = name and len(key.public) == 32 and key.key_id.hex() == key_id
    return key if is_key else None


def note(text: str, key: VerifierKey, signature: bytes) -> str:
    """The text, which ends with a line end, with the signature below it."""
    return f"{text}\n{_SIGNED_BY}{key.name} {base64.b64encode(key.key_id + signature).decode()}\n"


class Checkpoint(NamedTuple):
    """The ledger as it was when it held `size` events: the root of the tree over all of them."""

    origin: str
    size: int
    root: bytes

    def as_text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def as_head(self) -> KeptHead:
        """What an export, or the ledger itself, must have come to at that size."""
        return KeptHead(self.size, self.root, "", is_root=True, origin=self.origin)


def proof_of(event: Stored, previous: bytes, path: Sequence[bytes], checkpoint: str) -> str:
    """An event and that it is in the ledger: a line of an export, then a proof in the form of tlog-proof."""
    line = _as_json({"previous": previous.hex(), **json.loads(event_line(event))})
    hashes = "".join(f"{base64.b64encode(sibling).decode()}\n" for sibling in path)
    return f"{line}\n{_TLOG_PROOF}\nindex {event.position - 1}\n{hashes}\n{checkpoint}"


def consistency(old: int, path: Sequence[bytes], checkpoint: str) -> str:
    """That a ledger of `old` events has become the one of the checkpoint, as tlog-witness has it asked for."""
    hashes = "".join(f"{base64.b64encode(node).decode()}\n" for node in path)
    return f"{_OLD}{old}\n{hashes}\n{checkpoint}"


class Proof(NamedTuple):
    """A proof that holds: what the site says in words, the events, and the ledger that they are in.

    `key` has signed both; `verified` is False where there was nothing to verify signatures with.
    """

    words: Sequence[str]
    events: Sequence[Stored]
    checkpoint: Checkpoint
    key: VerifierKey
    verified: bool


def verify_proof(text: str, key: VerifierKey | None = None) -> Proof:
    """What the text proves. Without `key`, the one named in it is believed.

    Raises `Broken` where it does not hold, and `ValueError` where it is no proof at all.
    """
    lines = _lines(text)
    if lines[0] != PROOF:
        raise ValueError("its first line is not that of a proof of `fiona-ledger prove`")
    try:
        proof = _proof(lines, key)
    except ValueError as exc:
        raise Broken(0, f"The proof does not hold: {exc}.") from exc
    versions: dict[str, int] = {}
    for event in proof.events:
        _check_version(versions, event, partial=False)
    return proof


def _proof(lines: Sequence[str], key: VerifierKey | None) -> Proof:
    words, signature, at = _note(lines)
    signer = _named_key(words) if key is None else key
    verified = _is_signed(words, signature, signer)
    events, signed = [], set()
    while at < len(lines):
        event, checkpoint, signature, at = _proven(lines, at)
        events.append(event)
        signed.add((checkpoint, signature))
    if len(signed) != 1:
        raise ValueError("it holds no event, or events of several checkpoints")
    checkpoint, signature = signed.pop()
    _is_signed(checkpoint.as_text().splitlines(), signature, signer)
    told = [int(match[1]) for line in words if (match := _POSITION.match(line))]
    if told != [event.position for event in events]:
        raise ValueError("its words tell of other events than it holds")
    return Proof(words[1:], events, checkpoint, signer, verified)


def _named_key(words: Sequence[str]) -> VerifierKey:
    """The key that the words themselves name."""
    named = [line for line in words if line.startswith(_KEY)]
    if len(named) != 1:
        raise ValueError("its words name no key, or several")
    return parse_key(named[0][len(_KEY) :])


def verify_consistency(text: str, kept: Checkpoint, key: VerifierKey) -> tuple[Checkpoint, bool]:
    """The checkpoint that the kept one has become by appending alone, and whether its signature was verified.

    Raises `Broken` where that is not proven, and `ValueError` where the text is no such proof at all.
    """
    lines = _lines(text)
    if not lines[0].startswith(_OLD):
        raise ValueError("its first line is not that of a proof of `fiona-ledger prove --since`")
    try:
        end = _blank(lines, 0)
        body, signature, after = _note(lines, end + 1)
        new, verified = _checkpoint(body), _is_signed(body, signature, key)
        if lines[after:] or lines[0] != f"{_OLD}{kept.size}" or new.origin != kept.origin:
            raise ValueError("it is about another checkpoint than the kept one")  # noqa: TRY301 - all end alike
        path = [_decoded(line, "its path") for line in lines[1:end]]
        if not _has_become(path, kept, new):
            raise ValueError("what was kept is not what the ledger began with")  # noqa: TRY301
    except ValueError as exc:
        raise Broken(0, f"The proof does not hold: {exc}.") from exc
    return new, verified


def _has_become(path: Sequence[bytes], kept: Checkpoint, new: Checkpoint) -> bool:
    """Whether the path shows that the new checkpoint goes on from the kept one. Any goes on from that of nothing."""
    if kept.size == 0:
        return not path and kept.root == Tree().root()
    return roots_above(path, kept.size, new.size, kept.root) == (kept.root, new.root)


def parse_checkpoint(text: str) -> Checkpoint:
    """A checkpoint as it was kept, its signature not looked at. Raises `ValueError` where it is none."""
    body, _, _ = _note(_lines(text))
    return _checkpoint(body)


class KeptCheckpoint(NamedTuple):
    """A checkpoint as it was kept: what it says, its lines of signatures, and the site's own note, without others'."""

    checkpoint: Checkpoint
    signatures: Sequence[str]
    note: str

    def is_signed(self, key: VerifierKey) -> bool:
        """Whether the site's signature could be verified. Raises `ValueError` where it is not the key's."""
        return _is_signed(self.checkpoint.as_text().splitlines(), self.signatures[0], key)

    def seen_at(self, witness: VerifierKey) -> tuple[datetime, bool] | None:
        """When the witness countersigned it last, and whether that could be verified; None where it has not.

        Raises `ValueError` for a cosignature in the witness's name that is not its own, or not of this checkpoint.
        """
        seen = [each for line in self.signatures[1:] if (each := self._cosigned(line, witness)) is not None]
        return max(seen, default=None)

    def _cosigned(self, line: str, witness: VerifierKey) -> tuple[datetime, bool] | None:
        name, signed = _signature(line)
        if (name, signed[:4]) != (witness.name, witness.key_id):
            return None
        if len(signed) != 76:
            raise ValueError(f"the cosignature of {name} has not the length of one")
        (seconds,) = _SECONDS.unpack(signed[4:12])
        message = f"{_COSIGNED}\ntime {seconds}\n{self.checkpoint.as_text()}"
        verified = _verified(witness.public, signed[12:], message)
        try:
            return _EPOCH + timedelta(seconds=seconds), verified
        except OverflowError:
            raise ValueError(f"the cosignature of {name} tells no time") from None


def parse_kept_checkpoint(text: str) -> KeptCheckpoint:
    """A checkpoint with all its signatures, none of them looked at. Raises `ValueError` where it is none."""
    lines = _lines(text)
    body, signature, after = _note(lines)
    cosignatures = [line for line in lines[after:] if line]
    if not all(line.startswith(_SIGNED_BY) for line in cosignatures):
        raise ValueError("something else than signatures stands below the checkpoint")
    note_lines = lines[: len(body) + 2]
    return KeptCheckpoint(_checkpoint(body), [signature, *cosignatures], "".join(f"{line}\n" for line in note_lines))


def _lines(text: str) -> list[str]:
    """The lines, however an editor ends them and marks the first, without blank ones at the end."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").rstrip("\n").split("\n")


def _blank(lines: Sequence[str], start: int) -> int:
    """Where the next blank line stands. Raises `ValueError` where there is none."""
    try:
        return lines.index("", start)
    except ValueError:
        raise ValueError("it is cut off: expected a blank line below its path") from None


def _note(lines: Sequence[str], start: int = 0) -> tuple[Sequence[str], str, int]:
    """The lines of the signed note that starts there, what signs them, and where the lines after it start."""
    for number in range(start, len(lines)):
        if lines[number].startswith(_SIGNED_BY):
            if number < start + 2 or lines[number - 1]:
                raise ValueError("no blank line stands above a signature")
            return lines[start : number - 1], lines[number], number + 1
    raise ValueError("it is not signed")


def _is_signed(lines: Sequence[str], signature: str, key: VerifierKey) -> bool:
    """Whether the signature could be verified. Raises `ValueError` where it is not the key's."""
    name, signed = _signature(signature)
    if (name, signed[:4]) != (key.name, key.key_id):
        raise ValueError(f"it is signed with another key than {key.as_line()}")
    return _verified(key.public, signed[4:], "".join(f"{line}\n" for line in lines))


def _signature(line: str) -> tuple[str, bytes]:
    """Who signs in that line, and the bytes of the signature, of which the first four name the key."""
    name, _, encoded = line.removeprefix(_SIGNED_BY).rpartition(" ")
    return name, _decoded(encoded, "its signature")


def _verified(public: bytes, signature: bytes, text: str) -> bool:
    """Whether the signature could be verified. Raises `ValueError` where it is not one of the text by that key."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text.encode())
    except InvalidSignature:
        raise ValueError("what is signed was changed since, or signed with another key") from None
    return True


def _proven(lines: Sequence[str], start: int) -> tuple[Stored, Checkpoint, str, int]:
    """The event that starts there, and is in the tree of its checkpoint; the checkpoint's signature; where more starts.

    A study may have as many events as it likes: what follows is neither copied nor looked through for each of them.
    """
    content = _object(lines[start].encode())
    _require_keys(content, _EVENT_KEYS | {"previous"})
    previous = _hex(content, "previous", len(GENESIS))
    event = _event({key: value for key, value in content.items() if key != "previous"})
    if follow(previous, event) != event.hash:
        raise ValueError(f"the event at position {event.position} is not what it was when it was appended")
    if list(lines[start + 1 : start + 3]) != [_TLOG_PROOF, f"index {event.position - 1}"]:
        raise ValueError(f"no path to the root follows the event at position {event.position}")
    end = _blank(lines, start + 3)
    path = [_decoded(line, "its path") for line in lines[start + 3 : end]]
    body, signature, after = _note(lines, end + 1)
    checkpoint = _checkpoint(body)
    if not 0 < event.position <= checkpoint.size:
        raise ValueError(f"position {event.position} lies outside of its checkpoint")
    if root_above(leaf_hash(event.hash), event.position - 1, checkpoint.size, path) != checkpoint.root:
        raise ValueError(f"the event at position {event.position} is not in the ledger of its checkpoint")
    return event, checkpoint, signature, after


def _checkpoint(body: Sequence[str]) -> Checkpoint:
    if len(body) != 3 or not body[1].isdecimal():
        raise ValueError("its checkpoint is not one of origin, size and root")
    root = _decoded(body[2], "its root")
    if len(root) != len(GENESIS):
        raise ValueError(f"its root is cut off, or changed: expected {len(GENESIS)} bytes, found {len(root)}")
    return Checkpoint(body[0], int(body[1]), root)


def _decoded(text: str, what: str) -> bytes:
    """The bytes of a text in base64. Raises `ValueError` that names it."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError(f"{what} is cut off, or changed: it is not base64") from None


# The command.


def main(arguments: Sequence[str] | None = None) -> int:
    """Verifies the export or proof that the arguments name, says what it found, and returns the exit code."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="chain.py",
        description="Verifies an export of a fiona-ledger: that no event was changed, taken out or put in; a proof: "
        "that its events are in the ledger; or a checkpoint: who has signed it. Ends with 0 where all is well, 1 where "
        "signatures could not be verified, "
        "4 where it does not verify, 2 where it was given something else.",
        epilog="Example: python chain.py export.jsonl --head heads.txt",
    )
    parser.add_argument(
        "export",
        nargs="?",
        default="-",
        help="the export, proof or checkpoint; '-' or nothing: standard input. Parts of an export may follow each "
        "other.",
    )
    parser.add_argument(
        "--head",
        action="append",
        default=[],
        metavar="LINE|FILE",
        help="of an export: a file of checkpoints as `fiona-ledger verify --head` prints them, or of lines with "
        "position and hash, or such a line; each must be in it",
    )
    parser.add_argument(
        "--key",
        metavar="LINE|FILE",
        help="of a proof or checkpoint: the site's key, as `fiona-ledger prove --key` printed it, from somewhere else",
    )
    parser.add_argument(
        "--witness",
        action="append",
        default=[],
        metavar="LINE|FILE",
        help="of a checkpoint: the key of a witness who must have countersigned it; may be repeated",
    )
    parser.add_argument(
        "--since",
        metavar="FILE",
        help="the file is what `fiona-ledger prove --since` wrote, about the checkpoint kept in FILE; takes --key, too",
    )
    given = parser.parse_args(arguments)
    try:
        heads = [head for argument in given.head for head in _heads(argument)]
        key = None if given.key is None else _key(given.key, "--key", parse_key)
        witnesses = [_key(argument, "--witness", parse_witness_key) for argument in given.witness]
        with _opened(given.export) as lines:
            if given.since is not None:
                return _report_consistency(b"".join(lines).decode(), given.since, key)
            first = list(islice(lines, 2))
            _require_utf_8(first)
            if first and first[0].decode("utf-8-sig", "replace").rstrip("\r\n") == PROOF:
                proof = verify_proof(b"".join(chain(first, lines)).decode(), key)
                return _report_proof(proof, is_key_given=key is not None)
            if len(first) > 1 and first[1].strip().isdigit():
                return _report_checkpoint(b"".join(chain(first, lines)).decode(), key, witnesses)
            walk = verify_export(chain(first, lines), heads)
    except Broken as exc:
        return _complain(f"{given.export}: {exc}", 4)
    except ValueError as exc:
        return _complain(f"{given.export}: {exc}.", 2)
    except OSError as exc:
        return _complain(f"{exc.filename or given.export}: {exc.strerror or exc}.", 2)
    _report(walk, len(heads))
    return 0


def _opened(name: str) -> AbstractContextManager[Iterable[bytes]]:
    return nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb")


def _require_utf_8(first: Sequence[bytes]) -> None:
    if first and first[0].startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("it was saved as UTF-16, as PowerShell does: expected UTF-8, as it was written")


def _heads(argument: str) -> list[KeptHead]:
    path = Path(argument)
    try:
        text = path.read_text("utf-8-sig") if path.is_file() else argument
        heads = parse_heads(text)
    except ValueError as exc:
        raise ValueError(f"--head {argument}: {exc}") from exc
    if not heads:
        raise ValueError(f"--head {argument}: there is no kept head in it")
    return heads


def _key(argument: str, option: str, parse: Callable[[str], VerifierKey]) -> VerifierKey:
    path = Path(argument)
    try:
        return parse(path.read_text("utf-8-sig") if path.is_file() else argument)
    except ValueError as exc:
        raise ValueError(f"{option}: {exc}") from exc


def _report_proof(proof: Proof, *, is_key_given: bool) -> int:
    """Says what is proven and what is the site's word; returns the exit code."""
    ledger = proof.checkpoint
    lines = [
        f"Proven: {len(proof.events)} events, each as it was appended to the ledger {ledger.origin}, and in it when "
    ]
    lines[0] += f"it held {ledger.size} events."
    for event in proof.events:
        moment = (_EPOCH + event.recorded_at * _MICROSECOND).isoformat(timespec="seconds")
        lines.append(f"  [{event.position}] {moment} {event.type.decode()} {event.data.decode()}")
    if not proof.verified:
        lines.append("By whom it is signed was not verified: that takes the Python package cryptography.")
    elif is_key_given:
        lines.append("Signed with the key that was given.")
    else:
        lines.append(
            f"Signed with {proof.key.as_line()}: compare this key with what the site has made known elsewhere."
        )
    lines.append("In the site's own words, which are signed, too:")
    lines += [f"  {line}" for line in proof.words if line]
    lines.append("That no later event tells of the same is the site's word.")
    sys.stdout.write("\n".join(map(_harmless, lines)) + "\n")
    return 0 if proof.verified else 1


def _report_consistency(text: str, kept: str, key: VerifierKey | None) -> int:
    """Says whether the ledger has only been appended to since a checkpoint was kept; returns the exit code."""
    if key is None:
        raise ValueError("with --since, expected the site's key by --key, too")
    old = parse_checkpoint(Path(kept).read_text("utf-8"))
    new, verified = verify_consistency(text, old, key)
    lines = [f"Proven: {new.origin} holds {new.size} events now, the first {old.size} of them as they were."]
    return _say(lines, verified=verified)


def _report_checkpoint(text: str, key: VerifierKey | None, witnesses: Sequence[VerifierKey]) -> int:
    """Says who has signed the checkpoint; returns the exit code."""
    if key is None:
        raise ValueError("of a checkpoint, expected the site's key by --key, too")
    kept = parse_kept_checkpoint(text)
    lines = [f"A checkpoint of {kept.checkpoint.origin}, of {kept.checkpoint.size} events, signed by its site."]
    try:
        verified = kept.is_signed(key)
        for witness in witnesses:
            seen = kept.seen_at(witness)
            if seen is None:
                raise ValueError(f"{witness.name} has not countersigned it")  # noqa: TRY301 - all end alike
            lines.append(f"Countersigned by {witness.name} at {seen[0].isoformat(timespec='seconds')}.")
    except ValueError as exc:
        raise Broken(0, f"The checkpoint does not hold: {exc}.") from exc
    return _say(lines, verified=verified)


def _say(lines: Sequence[str], *, verified: bool) -> int:
    """Prints the lines, and whether signatures were verified; returns the exit code."""
    unverified = "By whom it is signed was not verified: that takes the Python package cryptography."
    sys.stdout.write("".join(f"{_harmless(line)}\n" for line in (*lines, *([] if verified else [unverified]))))
    return 0 if verified else 1


def _report(walk: Walk, heads: int) -> None:
    first = walk.start + 1
    lines = [f"Events {first} to {walk.position}: nothing changed, taken out or put in."]
    if walk.position < first:
        lines = ["The export holds no events."]
    if first > 1:
        lines.append(
            f"What came before position {first} is not part of it: that it goes on from there is the export's own "
            f"word, unless a head kept of position {first - 1} is given."
        )
    if heads:
        lines.append(f"Kept heads that are part of it: {heads}.")
    lines.append(f"It ends with: {walk.position} {walk.hash.hex()}")
    sys.stdout.write("\n".join(map(_harmless, lines)) + "\n")


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"chain.py: {_harmless(message)}\n")
    return code


def _harmless(words: str) -> str:
    """The words on one line, without what steers a terminal: nothing in an export may forge what is said of it."""
    return "".join(character if character.isprintable() else "\ufffd" for character in words)


if __name__ == "__main__":
    sys.exit(main())
