"""Requests of one study and the rows that REDCap has of them, for tests that need no ledger."""

from datetime import UTC, datetime, timedelta

from processors.events.fact import Cause
from processors.requests import AWAITED, Key, Report, State, TransferRequest, TransferRow

STUDY = "1.2"
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NOW = START + timedelta(hours=1)
JUST_NOW = NOW - timedelta(seconds=30)
LONG_AGO = NOW - timedelta(minutes=30)
BY_HAND = "2020-01-01 00:00"
"""When people requested: never the minute of a request of ours."""

SENT = Report("sent", "2026-03-02 09:59")
FAILED = Report("failed", "2026-03-02 09:59", ("2",), "no connection")


def ours(
    position: int,
    project: str = "HEART",
    name: str | None = "P1",
    event: str = "",
    *,
    state: State = "requested",
    instance: int | None = None,
    found: bool = False,
    placed_at: datetime | None = None,
    replaces: tuple[int, ...] = (),
    recalled: bool = False,
    is_missing: bool = False,
    report: Report = AWAITED,
) -> TransferRequest:
    """A request of ours, made so many minutes after the start as its position says."""
    return TransferRequest(
        position=position,
        study=STUDY,
        key=Key(project, event),
        pseudonym=name,
        cause=Cause("coupling", "1", 1),
        requested_at=START + timedelta(minutes=position),
        state=state,
        instance=instance,
        found=found,
        placed_at=placed_at,
        replaces=replaces,
        recalled=recalled,
        is_missing=is_missing,
        report=report,
    )


def row(
    instance: int,
    project: str = "HEART",
    name: str = "P1",
    event: str = "",
    *,
    requested: str = BY_HAND,
    report: Report = AWAITED,
    error_fields: tuple[str, ...] = (),
) -> TransferRow:
    """A row of `transfers`, by hand where it does not tell the minute of a request."""
    return TransferRow(
        study=STUDY,
        instance=instance,
        project=project,
        event_name=event,
        name=name,
        requested=requested,
        report=report,
        error_fields=error_fields,
    )
