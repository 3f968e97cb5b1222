"""The rows of an export: every value as text, and the columns that mark repeats always there."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from processors.bounds import name, storable
from processors.errors import Refused

Row = dict[str, str]

INSTRUMENT: Final = "redcap_repeat_instrument"
INSTANCE: Final = "redcap_repeat_instance"
EVENT: Final = "redcap_event_name"
REPEATED: Final = "The record id appears more than once in the export."
_INSTANCE_NUMBER: Final = re.compile(r"([0-9]{1,9})?")


def repeated_ids(ids: Iterable[str]) -> list[str]:
    """The record ids that appear more than once. To REDCap's database, those that differ in case only are the same."""
    by_id: dict[str, list[str]] = {}
    for each in map(name, ids):
        by_id.setdefault(each.casefold(), []).append(each)
    return list(dict.fromkeys(each for alike in by_id.values() if len(alike) > 1 for each in alike))


def require_classic(project: str, rows: Iterable[Mapping[str, str]]) -> None:
    """Raises `Refused` for rows of a longitudinal project: those of several events would be taken for one."""
    if any(row.get(EVENT) for row in rows):
        raise refuse_longitudinal(project)


def refuse_longitudinal(project: str) -> Refused:
    """What is said of a longitudinal project."""
    return Refused(
        f"{project}: expected a classic REDCap project, found a longitudinal one, whose rows of several events "
        "would be mixed up; nothing is read from it or written to it. Switch longitudinal data off in its "
        f"Project Setup, or check that the token in redcap.tokens.{project} is the one of this project."
    )


def text_row(document: object) -> Row:
    """One exported object as a row. Raises `ValueError` where it is none; the message holds no values.

    Servers give the instance as a number or as text, and leave both repeat columns out of some exports,
    which then hold base rows only: both columns are blank then.
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"{_kind(document)} in place of a row")  # noqa: TRY004 - the answer is wrong, not the code
    row = {INSTRUMENT: "", INSTANCE: "", **document}
    for field, value in row.items():
        row[field] = storable(value) if isinstance(value, str) else _text(value)
    row[INSTANCE] = row[INSTANCE].strip()
    if not _INSTANCE_NUMBER.fullmatch(row[INSTANCE]):
        raise ValueError(f"something that is not a number in {INSTANCE}")
    return row


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{_kind(value)} in place of a value")


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", bool: "a truth value", str: "a text", type(None): "nothing"}
    return kinds.get(type(value), "a number")
