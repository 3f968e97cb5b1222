"""Words that come from elsewhere (DICOM, REDCap, file names), made harmless where they are printed.

Whoever sends a study or edits a row in REDCap could otherwise steer the terminal of whoever reads about it, turn the
order of letters around, put lines of their own among ours, or have a spreadsheet calculate for them.
"""

import json
import re
from typing import Any

import orjson

from processors.text import printable, uncalculated

_STEERING = re.compile(r"[^\x00-\x7e]")


def on_a_line(words: str) -> str:
    """The words for a terminal, on one line: what steers it, is not seen, or turns letters around is replaced."""
    return printable(words)


def in_a_cell(value: Any) -> Any:
    """The value for a cell of CSV: a text on one line, after an apostrophe where spreadsheets would calculate it."""
    return uncalculated(value) if isinstance(value, str) else value


def as_json(data: Any, *, indented: bool = False) -> str:
    """The data as JSON that says the same to programs, with escapes for what steers a terminal."""
    written = orjson.dumps(data, option=orjson.OPT_INDENT_2 if indented else None, default=str).decode()
    return written if written.isascii() and "\x7f" not in written else _STEERING.sub(_escaped, written)


def _escaped(match: re.Match[str]) -> str:
    """orjson escapes control characters below U+0020 only."""
    return match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1] if match[0] != "\x7f" else "\\u007f"
