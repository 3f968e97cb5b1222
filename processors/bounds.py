"""How long a value may be that comes in, and what becomes of a longer one. Pure.

No single value may stop a run, and each passes through here where it comes in: from a summary, from the
disk, from REDCap. PostgreSQL indexes no text of 2,700 bytes, holds no NUL and no number above 2^63; REDCap
keeps 65,535 bytes of a text and takes 8 MB in one call.

    NAME        names, AE titles, record ids (compared and indexed): cut with a mark, the same on both sides of a
                comparison; a rule, entry or project that says so cannot be used
    ACCESSION   accession numbers: the summary is rejected, the entry cannot be used
    PSEUDONYM   PatientIDs, PatientNames, and so pseudonyms: the summary is rejected, the entry cannot be used;
                in other people's rows it is cut with a mark; a project whose naming pattern gives longer IDs cannot be
                used
    TEXT        descriptions and dates (shown only): cut with a mark
    ITEMS       lists of a summary: the rest is counted in the last item
    PATTERN     patterns: the rule or project cannot be used

A file's time after 2262 is folded into the last years before, so that changes are still seen.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import orjson

from processors.text import without_padding

NAME: Final = 200
ACCESSION: Final = 512
PSEUDONYM: Final = 400
TEXT: Final = 4_000
ITEMS: Final = 100
PATTERN: Final = 10_000
"""All in characters, of at most four bytes; `ITEMS` in items. DICOM's own bounds are 16 to 194 characters."""

_LARGEST: Final = 2**63 - 1
_FOLDED: Final = 2**60
_LONGEST_NUMBER: Final = 18
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def cut(text: str, longest: int, *, whole: bytes | None = None) -> str:
    """The text, or its beginning and a mark: a hash of the `whole`, so that texts which differ stay different."""
    if len(text) <= longest:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass") if whole is None else whole).hexdigest()
    mark = f"~{digest[:16]}"
    return text[: longest - len(mark)] + mark


def storable(text: str) -> str:
    """The text without NULs, which no table holds."""
    return text.replace("\x00", "") if "\x00" in text else text


def name(text: str) -> str:
    """A name as it is compared and indexed: without padding, seen or not, and cut."""
    return cut(without_padding(storable(text)), NAME)


def items(texts: Sequence[str]) -> tuple[str, ...]:
    """The texts of a list, each cut, and how many there are beyond the bound."""
    kept = tuple(cut(text, NAME) for text in texts[:ITEMS])
    return kept if len(texts) <= ITEMS else (*kept[:-1], f"~{len(texts) - ITEMS + 1} more")


def overlong(values: Mapping[str, str], bounds: Mapping[str, int]) -> tuple[str, ...]:
    """What to tell a person of the fields that are longer than their bounds, without what they hold."""
    return tuple(
        f"{field} has {len(values[field]):,} characters: expected at most {longest}."
        for field, longest in bounds.items()
        if len(values.get(field, "")) > longest
    )


def count(text: str) -> int | None:
    """The number that a text of digits is; None for any other text, and where it fits no 64 bits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else None


def nanoseconds(time: int) -> int:
    """A file's time as a number that fits 64 bits: what does not is folded, so that another time is another number."""
    return time if -_LARGEST <= time <= _LARGEST else _LARGEST - time % _FOLDED


def read_json(content: bytes, *, surrogates: Literal["strict", "replace"]) -> Any:
    """The value in a JSON text, read as leniently as the programs that it is made for read it.

    A byte order mark is passed over, NaN and Infinity are null, and a number with too many digits is rounded.
    Halves of characters (lone surrogates) are wrong, or replaced. Raises `ValueError`.
    """
    content = content.removeprefix(_BYTE_ORDER_MARK)
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(content.decode(), parse_constant=lambda _: None, parse_int=_number, parse_float=_finite)
            return orjson.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", surrogates))
        except RecursionError as exc:
            raise ValueError("nested too deeply") from exc


def _number(digits: str) -> int | float | None:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else _finite(digits)


def _finite(number: str) -> float | None:
    """The number, null where it is larger than any that is kept."""
    value = float(number)
    return value if math.isfinite(value) else None
