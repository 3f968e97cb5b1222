"""What REDCap holds of studies, read in batches."""

from collections.abc import Collection, Sequence

from processors.gateway import Gateway
from processors.redcap import Project, Redcap, Row, incoming
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
    whole = Project(redcap, project, gateway.database, gateway.clock, needed=fields)
    return whole.export(fields, records=list(studies))
