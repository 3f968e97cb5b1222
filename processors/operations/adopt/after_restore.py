"""Taking back what a ledger that was restored from a backup has lost, as far as REDCap tells. REDCap is not written to.

What rules, entries and AutoID ask for today is decided anew; what of it stands in REDCap is ours again, in the instance
where it stands, and whatever else stands there is somebody's. What does not stand, though it once did, has ended since
the backup: retracted, withdrawn, forgotten or deleted by people. That stays so, as if an operator had retracted it.

It once did   where the ledger knows that it was placed, and its row has no name any more or is gone;
              where the study has a row without a name that nobody is known to have made;
              where REDCap's log tells that the study was requested for that project.

So it is with what nothing asks for today, as its files or its entry are away: they may come back.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import NamedTuple

from sqlalchemy import text

from processors import bounds
from processors.autoid.adoption import adopt as adopt_entries
from processors.autoid.taken_back import lost_requests
from processors.delivery import actual
from processors.delivery.recognition import recognise_redcap
from processors.delivery.restored import known_others, last_whole, pause_is_over
from processors.errors import ServiceError
from processors.events.deliveries import RowMissing
from processors.events.operations import LedgerAccepted
from processors.events.transfers import TransferPlaced
from processors.gateway import Gateway, Work
from processors.locks import in_turn
from processors.operations.adopt.adopt import Adopted, adopt_records
from processors.operations.adopt.progress import end
from processors.redcap import Banned, LogLine, Redcap
from processors.redcap.incoming import ABSENT, ActualRecord
from processors.requests import MINUTE, TransferRequest, TransferRow, owner
from processors.routing.overrides import keep_from, retract_all
from processors.run import Run
from processors.stored_requests import requests_of

_OVERLAP = timedelta(hours=26)
_REASON = "ended after the backup from which the ledger was restored"
_EMPTIED = "its row in REDCap was emptied, closed or deleted"
_LACKING = "REDCap's export lacks its record, of which its log tells"
_LOGGED = "REDCap's log tells of its row, which is gone"
_UNREADABLE = (
    "REDCap's log cannot be read (it needs the right Logging): what was deleted in REDCap after the backup is not "
    "known, and is among what would be placed."
)


class Transfer(NamedTuple):
    """A request for a study, and what is to be told of it."""

    study: str
    project: str
    event_name: str
    why: str


@dataclass(kw_only=True, slots=True)
class TakenBack:
    """What was taken back: `transfers` are ours again, `ended` are not placed again, `deleted` are records.

    `adopted` is what else stands in REDCap. `warnings` say what could not be found out.
    """

    transfers: list[Transfer] = field(default_factory=list)
    ended: list[Transfer] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    adopted: Adopted | None = None
    warnings: list[str] = field(default_factory=list)


def take_back(run: Run, *, by: str) -> TakenBack:
    """Records what REDCap holds of what the ledger has lost, and that the ledger is accepted as it is then.

    Interrupted, it is to be done again: nothing is recorded twice. To be called by the site's only run. Raises
    `ServiceError` where REDCap fails.
    """
    gateway, redcap = run.gateway, run.redcap
    with gateway.begin() as work:
        end(work)  # from the beginning, as all is to be seen
    recognise_redcap(gateway, redcap)
    run.discover()
    observed = run.observe_lists()
    if redcap.has("autoid"):
        with run.step("Reading AutoID"), in_turn(gateway, "autoid"):
            adopt_entries(gateway, redcap)
    run.decide(observed)
    taking = _Taking(gateway, redcap, by)
    taking.warn_of_missing("coupling", {entry.record_id for entry in observed.entries})
    taking.warn_of_missing("routing", {rule.record_id for rule in observed.rules})
    taking.done.adopted = adopt_records(run, by=by, first=taking.take)
    taking.finish()
    return taking.done


class _Log:
    """What REDCap's log tells of the time of which the ledger knows nothing, project by project.

    `deleted` are the records of which a log tells last that somebody deleted them.
    """

    def __init__(self, logs: Sequence[Sequence[LogLine]]) -> None:
        self.studies = {line.record for lines in logs for line in lines}
        last = [{line.record: line for line in lines} for lines in logs]
        self.deleted = {line.record for lines in last for line in lines.values() if line.of_record and line.deleted}
        self.requests: dict[str, set[str]] = {}
        for line in chain.from_iterable(logs):
            project = line.values.get("transfer_project_name", "").strip()
            if project:
                self.requests.setdefault(line.record, set()).add(project)


class _Taking:
    """The records of REDCap, portion by portion."""

    def __init__(self, gateway: Gateway, redcap: Redcap, by: str) -> None:
        self._gateway = gateway
        self._redcap = redcap
        self._by = by
        self.done = TakenBack()
        self._seen: set[str] = set()
        self._lacking: set[str] = set()
        with gateway.begin() as work:
            self._since = last_whole(work)
        self._log = self._read_log()

    def _read_log(self) -> _Log:
        begin = self._gateway.local(self._since - _OVERLAP)
        try:
            projects = dict.fromkeys(("incoming", actual.transfers_project(self._redcap)))
            return _Log([list(self._redcap.export_log(name, since=begin)) for name in projects])
        except Banned:
            raise
        except ServiceError:
            self.done.warnings.append(_UNREADABLE)
            return _Log([])

    def warn_of_missing(self, project: str, there: Collection[str]) -> None:
        """Warns of what an export of a list lacks, though REDCap's log tells of it, and not that anybody deleted it.

        Once it is there again, it counts as newer than the loss.
        """
        try:
            lines = self._redcap.export_log(project, since=self._gateway.local(self._since - _OVERLAP))
        except Banned:
            raise
        except ServiceError:
            return
        last = {bounds.name(line.record): line for line in lines}
        gone = {record for record, line in last.items() if line.of_record and line.deleted}
        lacking = sorted(last.keys() - gone - set(there))
        if lacking:
            self.done.warnings.append(
                f"REDCap's export of {project} lacks {len(lacking)} records of which its log tells, and not that "
                f"anybody deleted them, such as {lacking[0]}: what they ask for is placed once they are there again, "
                "though it may have ended since. Give the command again before you say yes."
            )

    def take(self, work: Work, studies: Sequence[str], records: Mapping[str, ActualRecord]) -> None:
        """Takes back the requests that stand in these records, and ends those that do not any more."""
        self._seen.update(records)
        others = known_others(work, list(studies))
        for study, rows in _unknown_rows(work, records, others).items():
            self._place(work, study, rows)
        self._place_ids(work, records, others)
        self._end(work, [study for study in studies if study in records], records, others)
        self._lacking.update(study for study in studies if study not in records)

    def _place(self, work: Work, study: str, rows: Sequence[TransferRow]) -> None:
        for request in requests_of(work, [study]).get(study, []):
            row = next((row for row in rows if request.says(row)), None)
            if row is not None and request.state == "requested":
                self._record_placed(work, row, request.position, request.cause.kind)

    def _place_ids(self, work: Work, records: Mapping[str, ActualRecord], others: Collection[tuple[str, int]]) -> None:
        rows = [row for rows in _unknown_rows(work, records, others).values() for row in rows]
        for row, request in list(lost_requests(work, rows)):
            (stored,) = work.record([request])
            self._record_placed(work, row, stored.position, "autoid")

    def _record_placed(self, work: Work, row: TransferRow, request: int, why: str) -> None:
        since = _moment(row.requested, work.local(self._since)) or self._since
        placed = TransferPlaced(
            study=row.study, request=request, instance=row.instance, found=False, since=since.isoformat()
        )
        work.record([placed])
        self.done.transfers.append(Transfer(row.study, row.project, row.event_name, why))

    def _end(
        self,
        work: Work,
        studies: Sequence[str],
        records: Mapping[str, ActualRecord],
        others: Collection[tuple[str, int]],
    ) -> None:
        """Ends the requests that have ended meanwhile, and keeps generated IDs from being requested again."""
        ours, addressed = requests_of(work, studies), _addressed(work, studies)
        missing = _known_as_missing(work, studies)
        ended: list[tuple[TransferRequest, str]] = []
        for study in studies:
            rows, requests = records.get(study, ABSENT).transfers, ours.get(study, [])
            nobodys = [row for row in rows if _is_nobodys(row, requests, others)]
            found = [
                (request, self._why_ended(request, rows, nobodys))
                for request in requests
                if request.position not in missing
            ]
            ended += [(request, why) for request, why in found if why]
            asked = {row.project for row in rows if row.name} | {each.project for each in requests}
            for project in sorted(self._once_requested(study, nobodys, addressed.get(study, set())) - asked):
                keep_from(work, study, project, by=self._by, reason=_REASON)
                self.done.ended.append(Transfer(study, project, "", _LOGGED))
        retract_all(work, [request for request, _ in ended], by=self._by, reason=_REASON)
        self.done.ended += [Transfer(each.study, *each.key, why) for each, why in ended]

    def _once_requested(self, study: str, nobodys: Sequence[TransferRow], addressed: set[str]) -> set[str]:
        """The projects for which the study was requested meanwhile, though nothing may ask for it today.

        Its files may be away, or its entry, and come back. A blank row was that of one of those that give it an ID.
        """
        closed = {row.project for row in nobodys if row.project and not row.name}
        emptied = addressed if any(row.is_blank for row in nobodys) else set()
        return closed | emptied | self._log.requests.get(study, set())

    def _why_ended(self, request: TransferRequest, rows: Sequence[TransferRow], nobodys: Sequence[TransferRow]) -> str:
        """Why the request is not to be placed again; blank where it stands, or never stood."""
        if request.state == "placed" and not request.found:
            return _EMPTIED * (not any(row.instance == request.instance and row.name for row in rows))
        if request.state != "requested" or any(row.name and request.is_for(row.key) for row in rows):
            return ""
        if any(row.is_blank or request.is_for(row.key) for row in nobodys):
            return _EMPTIED
        return _LOGGED * (request.project in self._log.requests.get(request.study, ()))

    def finish(self) -> None:
        """Ends what is requested of studies that REDCap has no record of any more, and accepts the ledger."""
        with self._gateway.begin() as work:
            gone = sorted(self._log.deleted - self._seen)
            self._end(work, gone, {}, ())
            self._leave(work, sorted((self._lacking | self._log.studies).difference(gone, self._seen)))
            self.done.deleted = _never_written(work, gone)
            work.record(RowMissing(study=study, kind="study", key="") for study in self.done.deleted)
            pause_is_over(work)
            accepted = LedgerAccepted(
                site=work.site, transfers=len(self.done.transfers), ended=len(self.done.ended), by=self._by
            )
            work.record([accepted])

    def _leave(self, work: Work, lacking: Sequence[str]) -> None:
        """Leaves what stands in records that REDCap's export lacks without a word; nothing is placed there."""
        if not lacking:
            return
        asked = requests_of(work, lacking).values()
        waiting = [request for requests in asked for request in requests if request.state == "requested"]
        retract_all(work, waiting, by=self._by, reason=_REASON)
        self.done.ended += [Transfer(each.study, *each.key, _LACKING) for each in waiting]
        self.done.warnings.append(
            f"REDCap's export lacks {len(lacking)} records that its log tells of, and does not tell to be deleted, "
            f"such as {lacking[0]}. What the ledger knows of them stands, nothing is placed there: look whether they "
            "are there."
        )


def _unknown_rows(
    work: Work, records: Mapping[str, ActualRecord], others: Collection[tuple[str, int]]
) -> dict[str, list[TransferRow]]:
    """The rows that ask for something, of which the ledger does not know that anybody has made them."""
    ours = requests_of(work, list(records))
    unknown = {
        study: [row for row in record.transfers if row.is_sendable and _is_nobodys(row, ours.get(study, []), others)]
        for study, record in records.items()
    }
    return {study: rows for study, rows in unknown.items() if rows}


def _is_nobodys(row: TransferRow, requests: Sequence[TransferRequest], others: Collection[tuple[str, int]]) -> bool:
    """Whether the ledger does not know that it stands there, be it that it knows by now who asked for it."""
    request, wrote = owner(row, requests)
    is_known = wrote and request is not None and request.state != "requested"
    return (row.study, row.instance) not in others and not is_known


def _moment(minute: str, like: datetime) -> datetime | None:
    """The moment that a row tells, in the hospital's zone."""
    try:
        return datetime.strptime(minute, MINUTE).replace(tzinfo=like.tzinfo)
    except ValueError:
        return None


_ADDRESSED = text("""
    select study, project from gateway.study join gateway.autoid_project on aetitle = called
     where study = any(:studies) and wanted and not removed
       and not exists (select from gateway.decision_by_hand as decided
                        where decided.study = study.study and decided.project = autoid_project.project)
""")


def _addressed(work: Work, studies: Sequence[str]) -> dict[str, set[str]]:
    """The projects that would give each study an ID, if nobody has decided otherwise."""
    addressed: dict[str, set[str]] = {}
    for row in work.execute(_ADDRESSED, {"studies": list(studies)}):
        addressed.setdefault(row.study, set()).add(row.project)
    return addressed


_MISSING = text("""
    select transfer.position from gateway.missing_row as missing join gateway.transfer using (study)
     where study = any(:studies) and (missing.kind = 'study' or missing.key = transfer.position::text)
""")


def _known_as_missing(work: Work, studies: Sequence[str]) -> set[int]:
    """The requests of which the ledger knows that somebody deleted their rows, or the records they stood in."""
    return set(work.execute(_MISSING, {"studies": list(studies)}).scalars())


_NEVER_WRITTEN = text("""
    select study from gateway.study
     where study = any(:studies) and delivered_position = 0
       and not exists (select from gateway.adopted_study as known where known.study = study.study)
       and not exists (select from gateway.missing_row as known where known.study = study.study and kind = 'study')
     order by study
""")


def _never_written(work: Work, studies: Sequence[str]) -> list[str]:
    """Those of the studies that the ledger does not know to have been in REDCap."""
    return list(work.execute(_NEVER_WRITTEN, {"studies": list(studies)}).scalars())
