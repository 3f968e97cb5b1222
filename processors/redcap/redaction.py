"""Other programs' words, made fit for a message: one short line of known words, without tags, values or tokens."""

import html
import re
from collections.abc import Collection
from typing import Final

from .vocabulary import known_words

LONGEST: Final = 200
_LONGEST_PAGE: Final = 120
_READ_OF_A_PAGE: Final = 50_000
_SHORTEST_HIDDEN: Final = 4

# None looks beyond the next beginning of its kind: a page of nothing but beginnings would take seconds.
_UNSHOWN = re.compile(
    r"<(script|style|head)\b(?:(?!<\1\b).)*?</\1\s*>|<!--(?:(?!<!--).)*?-->", re.IGNORECASE | re.DOTALL
)
_TITLE = re.compile(r"<title\b[^<>]*>([^<]*)</title\s*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_QUOTED = re.compile(r'"[^"]*("|$)')
_HEX = re.compile(r"[0-9A-Fa-f]{32,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def shown(words: str, hidden: Collection[str] = (), longest: int = LONGEST) -> str:
    """What of the words may be shown and kept: see `redacted`, and of that the words that are known."""
    text = known_words(redacted(words, hidden, len(words) + 1))
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def redacted(words: str, hidden: Collection[str] = (), longest: int = LONGEST) -> str:
    """The words on one line, to search in: tags and what stands in quotes removed, tokens and `hidden` texts masked.

    Hidden texts of fewer than four characters are left: they would hit ordinary words.
    """
    text = _QUOTED.sub("", masked(html.unescape(_TAG.sub(" ", words)), hidden))
    text = " ".join(_CONTROL.sub(" ", text).split())
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def masked(words: str, hidden: Collection[str] = ()) -> str:
    """All of the words but tokens and `hidden` texts."""
    for secret in sorted(hidden, key=len, reverse=True):
        if len(secret) >= _SHORTEST_HIDDEN:
            words = words.replace(secret, "…")
    return _HEX.sub("…", words)


def page(body: str, hidden: Collection[str] = ()) -> str:
    """What an HTML page or a plain text says, in a few words: its title and how it begins.

    Not more of it: error pages of web servers may show what was sent to them.
    """
    title = _TITLE.search(body[:_READ_OF_A_PAGE])
    parts = (title[1] if title else "", whole_page(body))
    return shown(": ".join(part.strip() for part in parts if part.strip()), hidden, _LONGEST_PAGE)


def whole_page(body: str) -> str:
    """The visible text of a page, to search in and not to show."""
    return _TAG.sub(" ", _UNSHOWN.sub(" ", body[:_READ_OF_A_PAGE]))
