"""What a poll of `transfers` tells that the ledger does not hold yet. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from processors.events.deliveries import RowMissing, RowRestored
from processors.events.fact import Fact
from processors.events.transfers import (
    DoubleFound,
    TransferFailed,
    TransferObserved,
    TransferPlaced,
    TransferReopened,
    TransferSent,
    TransferStrayed,
)
from processors.requests import AWAITED, Report, TransferRequest, TransferRow, owner, stands_elsewhere


class KnownRow(NamedTuple):
    """Somebody else's request as last recorded: the fingerprint of what it asks for, and what was reported of it.

    `fingerprint` is None where what it asks for was forgotten: it equals any, or it would be recorded anew.
    """

    fingerprint: str | None
    report: Report


@dataclass(kw_only=True, slots=True)
class KnownStudy:
    """What the ledger holds of a study's requests: ours with what was reported of them, and others' by instance.

    `missing` are those of ours of which it is told already that their row was deleted or changed, `doubled` those of
    which it is told that another row says the same.
    """

    ours: list[TransferRequest] = field(default_factory=list)
    missing: set[int] = field(default_factory=set)
    doubled: set[int] = field(default_factory=set)
    others: dict[int, KnownRow] = field(default_factory=dict)

    def is_told_of_others(self, row: TransferRow) -> bool:
        """Whether what the sender wrote there was told while the row said what somebody else wanted.

        A row of ours that people changed, and changed back after it was sent, has not been sent as it reads.
        """
        before = self.others.get(row.instance)
        return before is not None and row.report.state in ("sent", "failed") and _is_same(row.report, before.report)


def changes(rows: Iterable[tuple[TransferRow, str]], known: Mapping[str, KnownStudy]) -> Iterator[Fact]:
    """What is to be recorded of these rows, each with its fingerprint; those of unknown studies are left out."""
    for row, fingerprint in rows:
        study = known.get(row.study)
        if study is not None:
            yield from _changes_of(row, fingerprint, study)


def deleted_or_back(rows: Collection[TransferRow], study: KnownStudy) -> Iterator[Fact]:
    """Which placed requests' rows somebody has deleted or changed, or put back, by all rows that the record has.

    One that reads as before, but was sent while it said something else, is not back: the sender sends it no more. One
    that is put back after it was written again elsewhere can be sent beside that one: of the two, the request stands in
    the one that was sent, or the study would be sent once more.
    """
    for request in study.ours:
        if request.state != "placed":
            continue
        stands = request.stands_in(rows) and (
            request.found or not any(map(study.is_told_of_others, _at(request, rows)))
        )
        beside = stands_elsewhere(request, rows, study.ours)
        if beside is not None:
            moves = not stands or _is_sent_instead(beside, request, rows, study)
            if moves:
                yield placed_again(request, beside)
            if stands and request.position not in study.doubled:
                yield DoubleFound(
                    study=request.study,
                    project=request.project,
                    request=request.position,
                    instance=(request.instance or 0) if moves else beside.instance,
                )
            stands = True
        if stands == (request.position in study.missing):
            change = RowRestored if stands else RowMissing
            yield change(study=request.study, kind="transfer", key=str(request.position))


def _is_sent_instead(
    beside: TransferRow, request: TransferRequest, rows: Iterable[TransferRow], study: KnownStudy
) -> bool:
    """Whether the row beside the request's own one was sent as it reads, and that one was not."""
    is_sent = beside.report.state == "sent" and not study.is_told_of_others(beside)
    return is_sent and not request.found and all(row.report.state != "sent" for row in _at(request, rows))


def _at(request: TransferRequest, rows: Iterable[TransferRow]) -> Iterator[TransferRow]:
    return (row for row in rows if row.instance == request.instance)


def placed_again(request: TransferRequest, row: TransferRow) -> TransferPlaced:
    """That the request stands in this row. The sender may have had it since it was first placed, for all we know."""
    since = (request.placed_at or request.requested_at).isoformat()
    return TransferPlaced(study=row.study, request=request.position, instance=row.instance, found=False, since=since)


def _changes_of(row: TransferRow, fingerprint: str, study: KnownStudy) -> Iterator[Fact]:
    request, wrote = owner(row, study.ours)
    if request is None:
        yield from _of_others(row, fingerprint, study.others.get(row.instance))
        return
    if wrote and row.is_sendable and not request.in_force and request.state != "ending":
        yield TransferStrayed(study=row.study, project=request.project, request=request.position, instance=row.instance)
    # A row that was amended or emptied by us says no more what an earlier report was about; nor is a blank one of what
    # has ended, or of a double of what was sent, a wish to have it sent again.
    is_news = (request.in_force and row.instance == request.instance) or row.report != AWAITED
    if is_news and not _is_same(row.report, request.report) and not (wrote and study.is_told_of_others(row)):
        yield _reported(row, request)


def _is_same(report: Report, before: Report) -> bool:
    """Whether nothing has been written since. What may have been sent is awaited all the same, also after a failure.

    Study UIDs that were told stay known, though the sender or a person has written others in their place.
    """
    if report.state == "sent" and set(report.mapped_uids) <= set(before.mapped_uids):
        report = report._replace(mapped_uids=before.mapped_uids)
    return report == before or (before.state == "possibly sent" and (report == AWAITED or report[1:] == before[1:]))


def untold(row: TransferRow, request: TransferRequest, others: Mapping[int, KnownRow]) -> Iterator[Fact]:
    """What the sender has written into a row that tells of the request, if no look has told it yet.

    `others` is what was told of somebody else's requests, by instance.
    """
    is_theirs = KnownStudy(others=dict(others)).is_told_of_others(row)
    if row.report != AWAITED and not is_theirs and not _is_same(row.report, request.report):
        yield _reported(row, request)


def is_told_again(sent: TransferSent, study: KnownStudy) -> bool:
    """Whether it tells more of the last sending that is known: another study UID, say."""
    if sent.request is not None:
        return any((each.position, each.sent_at) == (sent.request, sent.sent_at) for each in study.ours)
    before = study.others.get(sent.instance)
    return before is not None and (before.report.state, before.report.sent_at) == ("sent", sent.sent_at)


def _of_others(row: TransferRow, fingerprint: str, before: KnownRow | None) -> Iterator[Fact]:
    if not row.project:
        return
    reported = AWAITED
    if before is None or before.fingerprint not in (None, fingerprint):
        yield TransferObserved(
            study=row.study,
            project=row.project,
            event_name=row.event_name,
            instance=row.instance,
            fingerprint=fingerprint,
            pseudonym=row.name,
        )
    else:
        reported = before.report
    if not _is_same(row.report, reported):
        yield _reported(row, None)


def _reported(row: TransferRow, request: TransferRequest | None) -> Fact:
    """What the sender wrote. Of a row of ours that was emptied, the request tells the project."""
    report = row.report
    project, event_name = row.key if request is None else request.key
    position = None if request is None else request.position
    if report.state == "sent":
        return TransferSent(
            study=row.study,
            project=project,
            event_name=event_name,
            request=position,
            instance=row.instance,
            sent_at=report.sent_at or "",
            errors=report.errors,
            mapped_uids=report.mapped_uids,
        )
    if report.state == "failed":
        return TransferFailed(
            study=row.study,
            project=project,
            event_name=event_name,
            request=position,
            instance=row.instance,
            tried_at=report.sent_at,
            errors=report.errors,
            failure=report.failure,
        )
    return TransferReopened(
        study=row.study, project=project, event_name=event_name, request=position, instance=row.instance
    )
