"""What a poll of `transfers` tells that the ledger does not hold yet. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from processors.alterations import is_saved_as
from processors.bounds import storable
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
    which it is told that another row says the same. `carried_out` are the files that the sender's folder of done ones
    names, and when each came there by the local clock, in ISO's form; empty where the folder is not known.
    """

    ours: list[TransferRequest] = field(default_factory=list)
    missing: set[int] = field(default_factory=set)
    doubled: set[int] = field(default_factory=set)
    others: dict[int, KnownRow] = field(default_factory=dict)
    carried_out: Mapping[str, str] = field(default_factory=dict)

    def is_told_of_others(self, row: TransferRow) -> bool:
        """Whether what the sender wrote there was told while the row said what somebody else wanted.

        A row of ours that people changed, and changed back after it was sent, has not been sent as it reads.
        """
        before = self.others.get(row.instance)
        return before is not None and row.report.state in ("sent", "failed") and _is_same(row.report, before.report)

    def is_told_of_ours(self, row: TransferRow, but: TransferRequest | None) -> bool:
        """Whether what the sender wrote there was told while the row said what another request of ours asks for.

        Who changes what a row says and leaves the date has had nothing sent under what it says then.
        """
        others = (request for request in self.ours if request is not but and not request.says(row))
        return any(request.is_told(row) for request in others)

    def left_as(self, row: TransferRow) -> str | None:
        """The file of the study and instance that was carried out last, without its ending; none of a sending before.

        The sender writes its date into the row first, and then moves the file.
        """
        if row.report.state != "sent":
            return None
        ending = f"_{row.instance}.json"
        names = [
            name
            for name, moment in self.carried_out.items()
            if moment >= (row.report.sent_at or "") and name.startswith(f"{row.study}_") and name.endswith(ending)
        ]
        last = max(names, key=self.carried_out.__getitem__, default=None)
        return None if last is None else last.removesuffix(ending)

    def left_of_ours(self, row: TransferRow) -> TransferRequest | None:
        """Our request that left by a copy of this row, which says what somebody else wants by now."""
        name = self.left_as(row)
        if name is None or name == f"{row.study}_{row.project}_{row.name}":
            return None
        stood = (request for request in self.ours if row.instance in request.instances)
        return next((each for each in stood if _is_file_of(each, name)), None)

    def left_under_another_name(self, row: TransferRow, request: TransferRequest) -> bool:
        """Whether what left by a copy of our row was what a person had made it say for a while."""
        name = self.left_as(row)
        return name is not None and request.pseudonym is not None and not _is_file_of(request, name)

    def move(self, placed: TransferPlaced) -> None:
        """Notes that a request stands in another row, of which the sender has told nothing yet."""
        self.ours = [
            replace(request, instance=placed.instance, found=placed.found, report=AWAITED, is_missing=False)
            if request.position == placed.request
            else request
            for request in self.ours
        ]


def _is_file_of(request: TransferRequest, name: str) -> bool:
    start = f"{request.study}_{request.project}_"
    is_known = request.pseudonym is not None and name.startswith(start)
    return is_known and is_saved_as(storable(request.pseudonym or ""), name.removeprefix(start))


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
        left = study.left_of_ours(row)
        yield from _of_others(row, fingerprint, study, is_report_theirs=left is None)
        if left is not None and _is_news(row, left):
            yield _reported(row, left)
        return
    if wrote and row.is_sendable and not request.in_force and request.state != "ending":
        yield TransferStrayed(study=row.study, project=request.project, request=request.position, instance=row.instance)
    is_of_another = study.is_told_of_ours(row, request) or (wrote and study.is_told_of_others(row))
    if _is_news(row, request) and not is_of_another:
        yield _reported(row, request, is_ours=not study.left_under_another_name(row, request))


def _is_news(row: TransferRow, request: TransferRequest) -> bool:
    """Whether the sender tells something new of the request by this row of it.

    A row that was amended or emptied by us says no more what an earlier report was about; nor is a blank one of what
    has ended, or of a double of what was sent, a wish to have it sent again.
    """
    is_same = _is_same(row.report, request.report)
    if request.instance not in (None, row.instance):
        return _is_news_beside(row, request)
    if row.report == AWAITED:
        is_of_this_row = request.report.state != "sent" or not request.told or _told_from(row, request)
        return request.in_force and row.instance == request.instance and not is_same and is_of_this_row
    return not is_same or (row.report.state == "sent" and bool(request.told) and not request.is_told(row))


def _told_from(row: TransferRow, request: TransferRequest) -> bool:
    return request.is_told(replace(row, report=request.report))


def _is_news_beside(row: TransferRow, request: TransferRequest) -> bool:
    """The same, by a row beside the one in which it stands: another sending; or that the last copy was given up."""
    report = row.report
    if report.state == "sent":
        return not request.is_told(row) or not set(report.mapped_uids) <= set(request.sent_uids)
    others = (instance for instance in request.instances if instance != row.instance)
    is_last = (
        not request.in_force and request.report.state == "possibly sent" and all(map(request.was_recalled, others))
    )
    return report.state == "failed" and is_last and not _is_same(report, request.report)


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


def _of_others(row: TransferRow, fingerprint: str, study: KnownStudy, *, is_report_theirs: bool) -> Iterator[Fact]:
    if not row.project:
        return
    reported = AWAITED
    before = study.others.get(row.instance)
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
    if is_report_theirs and not _is_same(row.report, reported) and not study.is_told_of_ours(row, None):
        yield _reported(row, None)


def _reported(row: TransferRow, request: TransferRequest | None, *, is_ours: bool = True) -> Fact:
    """What the sender wrote. Of a row of ours that was emptied, the request tells the project.

    Not `is_ours`: it is told of the row, and not of the request.
    """
    report = row.report
    project, event_name = row.key if request is None else request.key
    position = request.position if request is not None and is_ours else None
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
