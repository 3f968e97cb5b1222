"""How REDCap alters texts when it saves them (trimmed, cut, entities), so that our own is not taken for changed. Pure.

Servers strip blanks, have line ends of their own, write `&` and `<` as entities, cut a text after 65,535 bytes, and
lose characters of four bytes or all that follows the first of them. Compared letter by letter, such a row would be
found changed for ever, or a request be taken for somebody else's.
"""

import html
import re
from typing import Final

_LONGEST: Final = 65_535
# A cut can go through a character, or through an entity.
_SPOILED: Final = 10
_FOUR_BYTES: Final = re.compile("[\U00010000-\U0010ffff]+")
_IN_THEIR_PLACE: Final = "[?\ufffd]*"


def normal(text: str) -> str:
    """The text without what saving alters: blanks around it, line ends, entities."""
    return html.unescape(text).replace("\r\n", "\n").replace("\r", "\n").strip()


def is_saved_as(ours: str, theirs: str) -> bool:
    """Whether REDCap may have made `theirs` of `ours`."""
    if ours == theirs:
        return True
    sent, saved = normal(ours), normal(theirs)
    return sent == saved or _is_cut(sent, theirs, saved) or _lacks_four_bytes(sent, saved)


def _is_cut(sent: str, theirs: str, saved: str) -> bool:
    is_full = len(theirs) > _LONGEST // 4 and len(theirs.encode("utf-8", "replace")) > _LONGEST - _SPOILED
    return is_full and sent.startswith(saved[:-_SPOILED])


def _lacks_four_bytes(sent: str, saved: str) -> bool:
    parts = _FOUR_BYTES.split(sent)
    if len(parts) == 1:
        return False
    pattern = _IN_THEIR_PLACE.join(map(re.escape, parts))
    return saved == parts[0].strip() or re.fullmatch(pattern, saved) is not None
