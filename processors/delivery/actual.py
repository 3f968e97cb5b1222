"""What REDCap holds of studies, read in batches."""

from collections.abc import Collection, Sequence

from processors.gateway import Gateway
from processors.redcap import Project, Redcap, Row, incoming, transfers
from processors.redcap.incoming import ActualRecord

BATCH = 500
"""How many records are asked for at once: PHP drops what exceeds 1,000 variables."""

_STUDY_FIELDS = (incoming.ARRIVAL, incoming.PATIENT)
_SERIES_FIELDS = (transfers.RECORD_ID, *_STUDY_FIELDS, "series_instance_uid")
_TRANSFER_FIELDS = transfers.READ_FIELDS


def transfers_project(redcap: Redcap) -> str:
    """The REDCap project that keeps the transfers."""
    return "transfers" if redcap.has("transfers") else "incoming"


def fields_by_project(redcap: Redcap) -> dict[str, Sequence[str]]:
    """What tells which series and transfers there are: the fields to read, by REDCap project."""
    if not redcap.has("transfers"):
        return {"incoming": (*incoming.READ_FIELDS, *_STUDY_FIELDS)}
    return {"incoming": _SERIES_FIELDS, "transfers": _TRANSFER_FIELDS}


def record_ids(redcap: Redcap, project: str) -> list[str]:
    """The ids of all records of a project, in a fixed order."""
    rows = redcap.export_records(project, fields=(transfers.RECORD_ID,))
    return sorted({row[transfers.RECORD_ID] for row in rows})


def actual_records(gateway: Gateway, redcap: Redcap, studies: Collection[str]) -> dict[str, ActualRecord]:
    """What REDCap holds of these studies, at most `BATCH` of them; those it has no record of are absent."""
    parts = [
        incoming.actual_records(_export(gateway, redcap, project, studies, fields), gateway.sender.information_codes)
        for project, fields in fields_by_project(redcap).items()
    ]
    if len(parts) == 1:
        return parts[0]
    with_series, with_transfers = parts
    return {
        study: _joined(with_series.get(study, incoming.ABSENT), with_transfers.get(study, incoming.ABSENT))
        for study in with_series.keys() | with_transfers.keys()
    }


def transfers_of(gateway: Gateway, redcap: Redcap, studies: Collection[str]) -> dict[str, ActualRecord]:
    """The transfers that REDCap holds of these studies, at most `BATCH` of them."""
    rows = _export(gateway, redcap, transfers_project(redcap), studies, _TRANSFER_FIELDS)
    return incoming.actual_records(rows, gateway.sender.information_codes)


def _joined(with_series: ActualRecord, with_transfers: ActualRecord) -> ActualRecord:
    return ActualRecord(
        exists=with_series.exists,
        series=with_series.series,
        highest_series_instance=with_series.highest_series_instance,
        transfers=with_transfers.transfers,
        row=with_series.row,
    )


def _export(
    gateway: Gateway, redcap: Redcap, project: str, studies: Collection[str], fields: Sequence[str]
) -> list[Row]:
    whole = Project(
        redcap,
        project,
        gateway.looked_up,
        gateway.clock,
        needed=[name for name in fields if name not in incoming.OPTIONAL_FIELDS],
    )
    return whole.export(fields, records=list(studies))
