"""Missing data codes: values such as NA or UNK by which a project says that there is no value. They count as blank.

Which codes a project has stands in its project info. They are asked for where rows are read, once an hour: for
that long, a code that was made a moment ago is still taken for what somebody typed.
"""

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import text

from ledger.database import Database

from .dictionary import choices, column_ending
from .rows import INSTANCE, INSTRUMENT, Row

GOOD_FOR: Final = timedelta(hours=1)

_NAMES: Final = frozenset({"record_id", "study_instance_uid", INSTRUMENT, INSTANCE})
_LINE_END: Final = re.compile(r"[\r\n]+")

_RECALL = text("select codes, looked_at from gateway.missing_data where project = :project and address = :address")
_REMEMBER = text("""
    insert into gateway.missing_data (project, address, codes, looked_at)
    values (:project, :address, :codes, :looked_at)
        on conflict (project) do update
       set address = excluded.address, codes = excluded.codes, looked_at = excluded.looked_at
""")


class Remembered(NamedTuple):
    """The codes of a project, and when they were looked up."""

    codes: frozenset[str]
    looked_at: datetime


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


def recall(database: Database, project: str, address: str) -> Remembered | None:
    """What was looked up of the project last; None where nothing was at this address."""
    with database.begin() as connection:
        row = connection.execute(_RECALL, {"project": project, "address": address}).one_or_none()
    return None if row is None else Remembered(frozenset(row.codes), row.looked_at)


def remember(database: Database, project: str, address: str, seen: Remembered) -> None:
    """Keeps the codes for all processes, in place of what was kept of the project before."""
    looked_at = seen.looked_at.astimezone(UTC)
    values = {"project": project, "address": address, "codes": sorted(seen.codes), "looked_at": looked_at}
    with database.begin() as connection:
        connection.execute(_REMEMBER, values)


def _is_missing(field: str, value: str, codes: Collection[str], endings: tuple[str, ...]) -> bool:
    if field in _NAMES:
        return False
    return field.endswith(endings) if "___" in field else value.strip() in codes
