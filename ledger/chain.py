"""The hash chain that shows tampering, and a verifier of exports; needs nothing but the standard library.

    hash(n) = SHA-256( hash(n-1) + canonical(n) ),   hash(0) = 32 zero bytes

`canonical` covers every column of the event, the sealed bytes included: destroying a subject's
key therefore leaves the chain whole. All numbers are big-endian; a time is counted in microseconds
since 1970-01-01 UTC. The layout is fixed for ever: changing it would orphan every hash ever kept
outside the ledger.

This file alone, copied to any machine with Python 3.9 or newer, verifies what `fiona-ledger export` wrote:

    python chain.py export.jsonl --head heads.txt

It ends with 0 where all is well, 4 where the export does not verify, 2 where it was not given an export.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import sys
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
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
    """The end of the ledger as it was once, kept elsewhere; `taken` says when, in whatever words."""

    position: int
    hash: bytes
    taken: str

    def as_line(self) -> str:
        """Position, hash and time, as `parse_heads` reads them."""
        return f"{self.position} {self.hash.hex()} {self.taken}".rstrip()


def parse_heads(text: str) -> list[KeptHead]:
    """The heads in lines as `KeptHead.as_line` writes them. Raises `ValueError` that names a line which is none."""
    return [_parse_head(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _parse_head(number: int, line: str) -> KeptHead:
    position, _, rest = line.strip().partition(" ")
    hash_, _, taken = rest.strip().partition(" ")
    try:
        head = KeptHead(int(position), bytes.fromhex(hash_), taken.strip())
    except ValueError:
        head = KeptHead(-1, b"", "")
    if head.position < 0 or len(head.hash) != len(GENESIS):
        raise ValueError(
            f"line {number} is not a kept head: expected a position, a hash of 64 hex digits and a time, as "
            "`fiona-ledger verify --head` prints them"
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
            if head.hash != self.hash:
                taken = f" (taken {head.taken})" if head.taken else ""
                raise Broken(
                    self.position,
                    f"At position {self.position} the {self._whole} has the hash {self.hash.hex()}, the head kept "
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
    return json.dumps(
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
        },
        ensure_ascii=False,
    )


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
        content = _DECODER.decode(line.decode())
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
        sealed=None if content["sealed"] is None else base64.b64decode(_text(content, "sealed"), validate=True),
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


# The command.


def main(arguments: Sequence[str] | None = None) -> int:
    """Verifies the export that the arguments name, says what it found, and returns the exit code."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="chain.py",
        description="Verifies an export of a fiona-ledger: that no event was changed, taken out or put in. "
        "Ends with 0 where all is well, 4 where it does not verify, 2 where it was not given an export.",
        epilog="Example: python chain.py export.jsonl --head heads.txt",
    )
    parser.add_argument(
        "export", nargs="?", default="-", help="the file; '-' or nothing: standard input. Parts may follow each other."
    )
    parser.add_argument(
        "--head",
        action="append",
        default=[],
        metavar="LINE|FILE",
        help="a line that `fiona-ledger verify --head` printed, or a file of such lines; each must be in the export",
    )
    given = parser.parse_args(arguments)
    try:
        heads = [head for argument in given.head for head in _heads(argument)]
        with _opened(given.export) as lines:
            walk = verify_export(lines, heads)
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


def _heads(argument: str) -> list[KeptHead]:
    path = Path(argument)
    try:
        text = path.read_text("utf-8") if path.is_file() else argument
        heads = parse_heads(text)
    except ValueError as exc:
        raise ValueError(f"--head {argument}: {exc}") from exc
    if not heads:
        raise ValueError(f"--head {argument}: there is no kept head in it")
    return heads


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
