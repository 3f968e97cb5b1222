"""When the transfer rows in REDCap say that they were requested: by this the system knows its own again. Pure."""

from collections.abc import Iterable, Mapping

from processors import records

REQUESTED = "transfer_requested_date"


def requested_dates(rows: Iterable[Mapping[str, str]]) -> dict[str, dict[int, str]]:
    """The dates by study and instance, rows of servers that lack the field left out."""
    dates: dict[str, dict[int, str]] = {}
    for row in rows:
        if row.get("redcap_repeat_instrument") == records.TRANSFERS_FORM and REQUESTED in row:
            by_instance = dates.setdefault(row[records.RECORD_ID], {})
            by_instance[int(row["redcap_repeat_instance"])] = row[REQUESTED].strip()
    return dates
