"""What servers make of a text that they save; each server does some of it, or nothing."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_LONGEST: Final = 65_535

ALTERATIONS: Final[dict[str, Callable[[str], str]]] = {
    "trimmed": str.strip,
    "line_ends": lambda text: text.replace("\r\n", "\n").replace("\r", "\n"),
    "entities": lambda text: html.escape(text, quote=False),
    "no_four_bytes": lambda text: "".join("?" if ord(sign) > 0xFFFF else sign for sign in text),
    "cut_at_four_bytes": lambda text: text[: next((n for n, sign in enumerate(text) if ord(sign) > 0xFFFF), None)],
    "cut": lambda text: text.encode()[:_LONGEST].decode(errors="ignore"),
}
"""By name, in the order in which they are done."""


def saved(text: str, alterations: Collection[str]) -> str:
    """The text as it is stored by a server that does these alterations."""
    for name, alter in ALTERATIONS.items():
        if name in alterations:
            text = alter(text)
    return text
