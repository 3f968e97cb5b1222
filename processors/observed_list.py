"""Comparing a list that people keep in REDCap with what the ledger holds of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import text

from ledger.events import NewEvent
from processors.errors import Refused
from processors.events import EventType
from processors.gateway import Gateway, Work
from processors.redcap import Redcap, Row, known_fields


class Known(NamedTuple):
    """A record as the ledger last saw it: the keyed hash of its content, and whether it was removed since."""

    fingerprint: str
    removed: bool


def list_records(
    gateway: Gateway, redcap: Redcap, project: str, needed: Sequence[str], *, dictionary: Sequence[Row] | None = None
) -> list[Row]:
    """The project's records. Raises `Refused` where fields are missing from them.

    REDCap silently leaves out what a user may not export: rules without their `routing_active`
    would all look switched off. Where there are no rows, the project's dictionary tells whether it is
    the one that was meant: another project's empty list is not "no rules". It is looked up unless given.
    """
    rows = [row for row in redcap.export_records(project) if not row.get("redcap_repeat_instrument")]
    if not rows:
        fields = (
            known_fields(redcap, gateway.database, project, gateway.clock())
            if dictionary is None
            else {field["field_name"] for field in dictionary}
        )
        _require(project, [name for name in needed if name not in fields], "data dictionary")
    _require(project, sorted({name for row in rows for name in needed if name not in row}), "export")
    return rows


def _require(project: str, missing: Sequence[str], place: str) -> None:
    if missing:
        raise Refused(
            f"{project}: expected the fields {', '.join(missing)} in the {place}, which lacks them. Check that the "
            f"token in redcap.tokens.{project} is the one of this project, that its user has the export right "
            "'Full Data Set', and that the data dictionary has these fields."
        )


def known_records(work: Work, table: str) -> dict[str, Known]:
    """What the ledger holds of a list, by record id; `table` is one of the gateway's own."""
    rows = work.execute(text(f"select record_id, fingerprint, removed from {table}"))
    return {row.record_id: Known(row.fingerprint, row.removed) for row in rows}


def changed(prints: Mapping[str, str], known: Mapping[str, Known]) -> list[str]:
    """The record ids that are new, or whose content is; `prints` are the fingerprints of the records present."""
    return [record for record, print_ in prints.items() if known.get(record) != Known(print_, removed=False)]


def removals(
    present: Collection[str], known: Mapping[str, Known], type_: EventType, stream: Callable[[str], str]
) -> list[NewEvent]:
    """An event of this type for each record that has gone."""
    return [
        NewEvent(stream=stream(record), type=type_, data={"record_id": record})
        for record, state in known.items()
        if record not in present and not state.removed
    ]
