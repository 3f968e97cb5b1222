"""What REDCap holds of studies, with everything that is compared: gathering, no deciding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from processors.delivery.actual import transfers_project
from processors.delivery.sender.reports import FIELDS, TransferRow, transfer_rows
from processors.errors import Refused
from processors.gateway import Gateway
from processors.redcap import Redcap, Row, UnknownFields, forget_fields, incoming, known_fields

_STUDY_AND_SERIES = (*incoming.FIELDS["study"], *incoming.FIELDS["series"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Present:
    """The rows of Incoming and the transfers, by study; studies without any are absent."""

    rows: dict[str, list[Row]]
    transfers: dict[str, list[TransferRow]]


def present(gateway: Gateway, redcap: Redcap, studies: Sequence[str]) -> Present:
    """What REDCap holds of these studies: one export, two where the transfers are kept apart."""
    place = transfers_project(redcap)
    apart = place != "incoming"
    rows = _export(gateway, redcap, "incoming", studies, _STUDY_AND_SERIES if apart else (*_STUDY_AND_SERIES, *FIELDS))
    with_transfers = _export(gateway, redcap, place, studies, FIELDS) if apart else rows
    _require_uids(rows)
    transfers: dict[str, list[TransferRow]] = {}
    for transfer in transfer_rows(with_transfers, place):
        transfers.setdefault(transfer.study, []).append(transfer)
    return Present(rows=_by_study(rows), transfers=transfers)


def _export(gateway: Gateway, redcap: Redcap, project: str, studies: Sequence[str], fields: Sequence[str]) -> list[Row]:
    """The rows with those of the fields that the project has."""

    def ask() -> list[Row]:
        known = known_fields(redcap, gateway.database, project, gateway.clock())
        wanted = [name for name in dict.fromkeys(fields) if name in known]
        return redcap.export_records(project, records=studies, fields=wanted)

    try:
        return ask()
    except UnknownFields:
        forget_fields(gateway.database, project)
        return ask()


def _require_uids(rows: Iterable[Row]) -> None:
    """Raises `Refused` where rows do not tell whose they are: everything would look missing."""
    for row in rows:
        for name in (incoming.RECORD_ID, "series_instance_uid"):
            if name not in row:
                raise Refused(
                    f"incoming: expected the field {name} in the export, which lacks it. Check that the token in "
                    "redcap.tokens.incoming is the one of this project, and that its user has the export right 'Full "
                    "Data Set'."
                )


def _by_study(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[incoming.RECORD_ID], []).append(row)
    return found
