"""What the rows of `transfers` say: who asks for what, and what the sender reported of it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from processors.delivery.sender.failure_class import failure_class
from processors.redcap import incoming

State = Literal["awaited", "sent", "failed"]

FIELDS = (*incoming.FIELDS["transfer"], "transfer_error", "transfer_error_message")
"""What is read of a row."""

NEEDED_FIELDS = incoming.needed_fields(["transfer"])
"""Without which it does not tell whose request it is."""

_TICKED = "transfer_error___"


class Report(NamedTuple):
    """What the sender has reported: `sent_at` as REDCap has it, or the codes ticked and the failure's class."""

    state: State
    sent_at: str | None = None
    errors: tuple[str, ...] = ()
    failure: str | None = None


AWAITED = Report("awaited")
"""Nothing yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferRow:
    """A request as it stands in REDCap, whoever made it; `requested` is the minute that it tells."""

    study: str
    instance: int
    project: str
    event_name: str
    name: str
    requested: str
    report: Report


def transfer_rows(exported: Iterable[Mapping[str, str]]) -> Iterator[TransferRow]:
    """The requests in an export with the needed fields; rows that ask for nothing, such as withdrawn ones, are none."""
    for row in exported:
        if row.get("redcap_repeat_instrument") == incoming.TRANSFERS_FORM and row["transfer_project_name"].strip():
            yield _transfer_row(row)


def _transfer_row(row: Mapping[str, str]) -> TransferRow:
    return TransferRow(
        study=row[incoming.RECORD_ID],
        instance=int(row["redcap_repeat_instance"]),
        project=row["transfer_project_name"].strip(),
        event_name=row["transfer_event_name"].strip(),
        name=row["transfer_name"].strip(),
        requested=row["transfer_requested_date"].strip()[: len("YYYY-MM-DD HH:MM")],
        report=_report(row),
    )


def _report(row: Mapping[str, str]) -> Report:
    """A ticked error is a failure, also where a date says when it was tried; a message alone is one without a date."""
    sent_at, message = row["transfer_date"].strip(), row.get("transfer_error_message", "").strip()
    errors = sorted(name.removeprefix(_TICKED) for name in row if name.startswith(_TICKED) and row[name] == "1")
    if errors or (message and not sent_at):
        return Report("failed", errors=tuple(errors), failure=failure_class(message))
    return Report("sent", sent_at=sent_at) if sent_at else AWAITED
