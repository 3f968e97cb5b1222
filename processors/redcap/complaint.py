"""REDCap's own error in the body of an answer, in whichever format it chose."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

_XML = re.compile(r"<error>\s*(?:<!\[CDATA\[)?(?P<words>.*?)(?:\]\]>)?\s*</error>", re.DOTALL)
_PLAIN = re.compile(r"\s*error:\s*(?P<words>.*)", re.DOTALL | re.IGNORECASE)
_AFTER_A_PAGE = re.compile(r'\{\s*"error"\s*:.*\}\s*\Z', re.DOTALL)
_LONGEST_TAIL = 5_000


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """REDCap's words, raw: they may hold values. `crashed` where they follow a page, as after a fatal error.

    `fields` are given only by servers of 2013, which list unknown fields beside the words.
    """

    words: str
    fields: tuple[str, ...] = ()
    crashed: bool = False


def complaint(body: bytes) -> Complaint | None:
    """The error that REDCap reports in this body; None where it reports none."""
    found = _json_object(body)
    if found is not None:
        return _from_json(found) if "error" in found else None
    text = body.decode("utf-8", "replace")
    match = _XML.search(text) if "<hash>" in text or text.lstrip().startswith("<?xml") else _PLAIN.match(text)
    if match:
        return Complaint(words=match["words"])
    tail = _AFTER_A_PAGE.search(text[-_LONGEST_TAIL:]) if text.lstrip().startswith("<") else None
    after = _json_object(tail[0].encode()) if tail else None
    if after is None:
        return None
    return Complaint(words=_from_json(after).words, crashed=True)


def _json_object(body: bytes) -> Mapping[str, object] | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, Mapping) else None


def _from_json(found: Mapping[str, object]) -> Complaint:
    words, fields = found["error"], found.get("fields")
    names = tuple(name for name in fields if isinstance(name, str)) if isinstance(fields, list) else ()
    return Complaint(words=words if isinstance(words, str) else "", fields=names)
