"""What REDCap holds of studies, read in batches."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from processors.errors import Refused
from processors.gateway import Gateway
from processors.redcap import Redcap, Row, UnknownFields, forget_fields, incoming, known_fields
from processors.redcap.incoming import PresentRecord

BATCH = 500
"""How many records are asked for at once: PHP drops what exceeds 1,000 variables."""

_SERIES_FIELDS = (incoming.RECORD_ID, "series_instance_uid")
_TRANSFER_FIELDS = tuple(name for name in incoming.READ_FIELDS if name != "series_instance_uid")


def transfers_project(redcap: Redcap) -> str:
    """The REDCap project that keeps the transfers."""
    return "transfers" if redcap.has("transfers") else "incoming"


def fields_by_project(redcap: Redcap) -> dict[str, Sequence[str]]:
    """What tells which series and transfers there are: the fields to read, by REDCap project."""
    if not redcap.has("transfers"):
        return {"incoming": incoming.READ_FIELDS}
    return {"incoming": _SERIES_FIELDS, "transfers": _TRANSFER_FIELDS}


def record_ids(redcap: Redcap, project: str) -> list[str]:
    """The ids of all records of a project, in a fixed order."""
    rows = redcap.export_records(project, fields=(incoming.RECORD_ID,))
    _require_in_export(project, rows, (incoming.RECORD_ID,))
    return sorted({row[incoming.RECORD_ID] for row in rows})


def present(gateway: Gateway, redcap: Redcap, studies: Collection[str]) -> dict[str, PresentRecord]:
    """What REDCap holds of these studies, at most `BATCH` of them; those it has no record of are absent."""
    parts = [
        incoming.present_records(_export(gateway, redcap, project, studies, fields))
        for project, fields in fields_by_project(redcap).items()
    ]
    if len(parts) == 1:
        return parts[0]
    with_series, with_transfers = parts
    return {
        study: _joined(with_series.get(study, incoming.ABSENT), with_transfers.get(study, incoming.ABSENT))
        for study in with_series.keys() | with_transfers.keys()
    }


def transfers_of(gateway: Gateway, redcap: Redcap, studies: Collection[str]) -> dict[str, PresentRecord]:
    """The transfers that REDCap holds of these studies, at most `BATCH` of them."""
    rows = _export(gateway, redcap, transfers_project(redcap), studies, _TRANSFER_FIELDS)
    return incoming.present_records(rows)


def _joined(with_series: PresentRecord, with_transfers: PresentRecord) -> PresentRecord:
    return PresentRecord(
        exists=with_series.exists,
        series=with_series.series,
        highest_series_instance=with_series.highest_series_instance,
        transfers=with_transfers.transfers,
    )


def _export(
    gateway: Gateway, redcap: Redcap, project: str, studies: Collection[str], fields: Sequence[str]
) -> list[Row]:
    try:
        return _export_known(gateway, redcap, project, studies, fields)
    except UnknownFields:
        forget_fields(gateway.database, project)
        return _export_known(gateway, redcap, project, studies, fields)


def _export_known(
    gateway: Gateway, redcap: Redcap, project: str, studies: Collection[str], fields: Sequence[str]
) -> list[Row]:
    known = known_fields(redcap, gateway.database, project, gateway.clock())
    missing = sorted(set(fields) - set(known))
    if missing:
        # The next time must see that the dictionary has been mended.
        forget_fields(gateway.database, project)
        raise Refused(
            f"{project}: expected the fields {', '.join(missing)} in the project's data dictionary, which lacks "
            f"them. Check that the token in redcap.tokens.{project} is the one of this project."
        )
    rows = redcap.export_records(project, records=list(studies), fields=fields)
    _require_in_export(project, rows, fields)
    return rows


def _require_in_export(project: str, rows: Iterable[Mapping[str, str]], fields: Sequence[str]) -> None:
    """Raises `Refused` where a field is missing: REDCap silently leaves out what a user may not export."""
    missing = sorted({name for row in rows for name in fields if name not in row})
    if missing:
        raise Refused(
            f"{project}: expected the fields {', '.join(missing)} in the export, which lacks them. Check that the "
            f"user of the token in redcap.tokens.{project} has the export right 'Full Data Set'."
        )
