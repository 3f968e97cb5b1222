"""What REDCap holds of studies, with everything that is compared: gathering, no deciding."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from processors.delivery.actual import transfers_project
from processors.delivery.sender.reports import FIELDS, NEEDED_FIELDS, TransferRow, transfer_rows
from processors.gateway import Gateway
from processors.redcap import Project, Redcap, Row, incoming

_STUDY_AND_SERIES = (*incoming.FIELDS["study"], *incoming.FIELDS["series"])
_UIDS = (incoming.RECORD_ID, "series_instance_uid")


@dataclass(frozen=True, kw_only=True, slots=True)
class Present:
    """The rows of Incoming and the transfers, by study; studies without any are absent."""

    rows: dict[str, list[Row]]
    transfers: dict[str, list[TransferRow]]


def present(gateway: Gateway, redcap: Redcap, studies: Sequence[str]) -> Present:
    """What REDCap holds of these studies: one export, two where the transfers are kept apart.

    Raises `Refused` where the fields are missing that tell whose a row is: everything would look missing.
    """

    def export(project: str, fields: Sequence[str], needed: Collection[str]) -> list[Row]:
        whole = Project(redcap, project, gateway.database, gateway.clock, needed=needed)
        return whole.export(fields, records=studies)

    place = transfers_project(redcap)
    if place == "incoming":
        rows = with_transfers = export("incoming", (*_STUDY_AND_SERIES, *FIELDS), {*_UIDS, *NEEDED_FIELDS})
    else:
        rows = export("incoming", _STUDY_AND_SERIES, _UIDS)
        with_transfers = export(place, FIELDS, NEEDED_FIELDS)
    transfers: dict[str, list[TransferRow]] = {}
    for transfer in transfer_rows(with_transfers):
        transfers.setdefault(transfer.study, []).append(transfer)
    return Present(rows=_by_study(rows), transfers=transfers)


def _by_study(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[incoming.RECORD_ID], []).append(row)
    return found
