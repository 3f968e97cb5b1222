"""Missing data codes: values such as NA or UNK by which a project says that there is no value. They count as blank.

Which codes a project has stands in its project info. They are asked for where rows are read, once an hour: for
that long, a code that was made a moment ago is still taken for what somebody typed.
"""

import re
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

from .dictionary import choices, column_ending
from .rows import INSTANCE, INSTRUMENT, Row

GOOD_FOR: Final = timedelta(hours=1)

_NAMES: Final = frozenset({"record_id", "study_instance_uid", INSTRUMENT, INSTANCE})
_LINE_END: Final = re.compile(r"[\r\n]+")


def codes_of(project_info: Row) -> frozenset[str]:
    """The codes in a project's info: `NA, Not available | UNK, Unknown`, or one a line. Older servers have none."""
    codes = project_info.get("missing_data_codes", "")
    return frozenset(choices(_LINE_END.sub("|", codes)))


def without_codes(rows: Sequence[Row], codes: Collection[str]) -> list[Row]:
    """The rows with blanks in place of the codes; what a record is called, and where a row repeats, stays.

    A checkbox has a column for each code, which says that its field has no value: it is no tick.
    """
    if not codes:
        return list(rows)
    endings = tuple(f"___{column_ending(code)}" for code in codes)
    return [
        {field: "" if _is_missing(field, value, codes, endings) else value for field, value in row.items()}
        for row in rows
    ]


def _is_missing(field: str, value: str, codes: Collection[str], endings: tuple[str, ...]) -> bool:
    if field in _NAMES:
        return False
    return field.endswith(endings) if "___" in field else value.strip() in codes
