"""What REDCap holds of studies, with everything that is compared: gathering, no deciding."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from processors.delivery.actual import transfers_project
from processors.gateway import Gateway
from processors.redcap import Project, Redcap, Row, incoming, transfers
from processors.requests import TransferRow

_STUDY_AND_SERIES = (*incoming.FIELDS["study"], *incoming.FIELDS["series"])
_UIDS = (transfers.RECORD_ID, "series_instance_uid")


@dataclass(frozen=True, kw_only=True, slots=True)
class Actual:
    """The rows of Incoming and the transfers, by study; studies without any are absent."""

    rows: dict[str, list[Row]]
    requests: dict[str, list[TransferRow]]


def actual_state(gateway: Gateway, redcap: Redcap, studies: Sequence[str]) -> Actual:
    """What REDCap holds of these studies: one export, two where the transfers are kept apart.

    Raises `Refused` where the fields are missing that tell whose a row is: everything would look missing.
    """

    def export(project: str, fields: Sequence[str], needed: Collection[str]) -> list[Row]:
        whole = Project(redcap, project, gateway.looked_up, gateway.clock, needed=needed)
        return whole.export(fields, records=studies)

    kept_in = transfers_project(redcap)
    if kept_in == "incoming":
        needed = {*_UIDS, *transfers.NEEDED_FIELDS}
        rows = with_transfers = export("incoming", (*_STUDY_AND_SERIES, *transfers.READ_FIELDS), needed)
    else:
        rows = export("incoming", _STUDY_AND_SERIES, _UIDS)
        with_transfers = export(kept_in, transfers.READ_FIELDS, transfers.NEEDED_FIELDS)
    requests: dict[str, list[TransferRow]] = {}
    for row in transfers.transfer_rows(with_transfers, gateway.sender.information_codes):
        requests.setdefault(row.study, []).append(row)
    return Actual(rows=_by_study(rows), requests=requests)


def _by_study(rows: Iterable[Row]) -> dict[str, list[Row]]:
    by_study: dict[str, list[Row]] = {}
    for row in rows:
        by_study.setdefault(row[transfers.RECORD_ID], []).append(row)
    return by_study
