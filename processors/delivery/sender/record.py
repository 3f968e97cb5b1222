"""What a look tells, as events."""

from collections.abc import Callable, Mapping
from typing import Any

from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.delivery.sender.changes import Change
from processors.delivery.sender.reports import Report
from processors.events.types import EventType, study_stream
from processors.gateway import Work


def change_event(work: Work, change: Change) -> NewEvent:
    """The change as an event. A pseudonym that others gave is sealed for the study: it may be a patient's ID."""
    row = change.row
    data: dict[str, Any] = {"study": row.study, "project": row.project, "event_name": row.event_name}
    if change.type is EventType.TRANSFER_OBSERVED:
        return work.sealed(
            SubjectName("study", "", row.study),
            {"pseudonym": row.name},
            stream=study_stream(row.study),
            type_=change.type,
            data={**data, "instance": row.instance, "fingerprint": change.fingerprint},
        )
    data |= {"request": change.request, "instance": row.instance, **_TOLD[change.type](row.report)}
    return NewEvent(stream=study_stream(row.study), type=change.type, data=data)


_TOLD: Mapping[EventType, Callable[[Report], dict[str, Any]]] = {
    EventType.TRANSFER_SENT: lambda report: {"sent_at": report.sent_at},
    EventType.TRANSFER_FAILED: lambda report: {"errors": list(report.errors), "failure": report.failure},
    EventType.TRANSFER_REOPENED: lambda _report: {},
}
