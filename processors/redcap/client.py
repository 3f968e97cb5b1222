"""The client for REDCap's web API: calls within the rate limit; reads are retried after 1, 3 and 9 s, imports never."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from processors.clocks import ClockComparison
from processors.errors import ConfigurationError, Unanswered

from . import bans, calls, responses
from .calls import Call
from .errors import Banned, Misdirected
from .log import LogLine, log_lines, log_time
from .rate_limit import RateLimit, Sleep
from .rows import Row
from .transport import Response, Transport, Waiting

if TYPE_CHECKING:
    from processors.project_designs import ProjectDesign

_T = TypeVar("_T")

RETRY_WAITS_SECONDS: Final = (1, 3, 9)


class Redcap:
    """Calls to one REDCap server, each project with its token, over connections that are kept open.

    Reads are retried on `Unanswered`; an import never is, because it may have been applied. Other errors
    of the calls: `Refused`, `RowsRefused`, `UnknownFields`, `WrongClock` where REDCap's clock is given to `clocks`
    and contradicts ours, and `ConfigurationError` for a project without a token.
    """

    writes = True
    """Whether what is imported can be seen afterwards: not so in a dry run."""

    def __init__(
        self,
        *,
        url: str,
        tokens: Mapping[str, str],
        rate_limit: RateLimit,
        timeout_seconds: float = 60,
        ca_bundle: Path | None = None,
        clocks: ClockComparison | None = None,
        waiting: Waiting = nullcontext,
        sleep: Sleep = time.sleep,
        retry_waits_seconds: Sequence[float] = RETRY_WAITS_SECONDS,
    ) -> None:
        self._tokens = dict(tokens)
        self._rate_limit = rate_limit
        self._transport = Transport(
            url=url,
            rate_limit=rate_limit,
            timeout_seconds=timeout_seconds,
            ca_bundle=ca_bundle,
            clocks=clocks,
            waiting=waiting,
        )
        self._sleep = sleep
        self._retry_waits_seconds = retry_waits_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    @property
    def calls(self) -> int:
        """How many calls were made, with those that were retried or redirected."""
        return self._transport.sent

    @property
    def certificate_ends(self) -> datetime | None:
        """When the server's certificate runs out; None where it has shown none yet."""
        return self._transport.certificate_ends

    @property
    def behind(self) -> timedelta:
        """By how much the server's clock is behind ours, as its last answer told; negative where it is ahead."""
        return self._transport.behind

    def has(self, project: str) -> bool:
        """Whether a token for the project is configured."""
        return bool(self._tokens.get(project))

    def address(self, project: str) -> str:
        """Where the project is, in a form that may be kept: equal for the same server and token, and tells neither."""
        endpoint = f"{self._transport.url} {self._tokens.get(project, '')}"
        return hashlib.sha256(endpoint.encode()).hexdigest()[:32]

    def export_records(
        self,
        project: str,
        *,
        records: Sequence[str] | None = None,
        fields: Sequence[str] | None = None,
        needed: Sequence[str] = (),
        changed_since: datetime | None = None,
        where: str | None = None,
        retried: bool = True,
    ) -> list[Row]:
        """The rows of these records (None: all), restricted to fields (None: all), all values as text.

        Records that do not exist are absent. The record id is only there if it is among the fields, or
        fields is None; both repeat columns always are. `changed_since` gives whole records in whose log
        there is anything since; REDCap takes it as its local time, so allow for its clock and for the
        hour that a change from summer time repeats. `where` is REDCap's filter logic. Rows without the
        fields, or without those `needed` where all are exported, are `Refused`.
        """
        if records is not None and changed_since is not None:
            raise ValueError("expected records or changed_since: REDCap does not document what both mean")
        if records is not None and not records:
            return []  # to REDCap, no records would mean all of them
        call = calls.export_records(
            project,
            self._token(project),
            records=records,
            fields=fields,
            columns=needed if fields is None else fields,
            changed_since=changed_since,
            where=where,
        )
        return self._read(call, responses.read_rows) if retried else self._call(call, responses.read_rows)

    def import_records(self, project: str, rows: Sequence[Mapping[str, str | int]], *, overwrite: bool) -> int:
        """Stores the rows; the number of their distinct records, which REDCap has confirmed.

        The record id stands first in the first row, and in each. Blanks erase what is there only with
        `overwrite`. Rows too large for one body are sent in several, so that of an error's rows some may
        be stored.
        """
        stored: set[str] = set()
        if rows:
            for call in calls.import_records(project, self._token(project), rows, overwrite=overwrite):
                self._call(call, responses.read_count)
                stored |= call.records
        return len(stored)

    def metadata(self, project: str) -> list[Row]:
        """The project's data dictionary, one row a field, the record id first."""
        return self._read(calls.metadata(project, self._token(project)), responses.read_metadata)

    def create_project(self, design: "ProjectDesign", at: datetime) -> str:
        """The token of a new project, made as it is designed. It takes a super token in place of the project's.

        Not retried: a second one would be made. Raises `NotPermitted` for a token that is none, or may not.
        """
        # Imported here: projects are made once, and runs call REDCap each minute.
        from .project_xml import OPERATIONAL_SUPPORT, project_xml

        odm = project_xml(design, at)
        super_token = self._token(design.name)
        call = calls.create_project(design.name, super_token, design.title, OPERATIONAL_SUPPORT, odm)
        return self._call(call, responses.read_new_token)

    def project_info(self, project: str) -> dict[str, str]:
        """What REDCap tells of the project itself: its id, when it was made, how it is set up."""
        return self._read(calls.project_info(project, self._token(project)), responses.read_object)

    def repeating_instruments(self, project: str) -> list[str]:
        """The instruments that repeat. REDCap refuses the question where none does."""
        rows = self._read(calls.repeating_instruments(project, self._token(project)), responses.read_rows)
        return [row.get("form_name", "") for row in rows]

    def import_nothing(self, project: str, record_field: str) -> None:
        """Stores no row. Raises `NotPermitted` where the token's user may not import."""
        self._call(calls.import_nothing(project, self._token(project), record_field), responses.read_count)

    def next_record_name(self, project: str) -> str:
        """One more than the highest number among the record ids. It is not reserved for the caller."""
        return self._read(calls.next_record_name(project, self._token(project)), responses.read_record_name)

    def export_log(self, project: str, *, since: datetime, record: str | None = None) -> list[LogLine]:
        """What was done to the project's records since then, or to one of them, oldest first.

        It needs the right Logging. `since` has the zone in which REDCap's dates are written. Not
        retried: on a busy project the log takes long, and nothing that must be done depends on it.
        """
        call = calls.export_log(project, self._token(project), since=since, record=record)
        return log_lines(self._call(call, responses.read_rows))

    def newest_log_time(self, project: str, *, since: datetime) -> datetime | None:
        """When the newest line about the project itself was written, to the minute; REDCap's own time, as `since`."""
        call = calls.export_log(project, self._token(project), since=since, record=None, kind="manage")
        times = [row.get("timestamp", "")[: len("YYYY-MM-DD HH:MM")] for row in self._call(call, responses.read_rows)]
        return max(filter(None, map(log_time, times)), default=None)

    def _token(self, project: str) -> str:
        if not self.has(project):
            raise ConfigurationError(f"redcap.tokens.{project}: expected a token, as the run needs this project.")
        return self._tokens[project]

    def _read(self, call: Call, read: Callable[[Call, Response], _T]) -> _T:
        """The result of a call that changes nothing, and therefore may be retried."""
        for wait in self._retry_waits_seconds:
            try:
                return self._call(call, read)
            except Misdirected:
                raise
            except Unanswered:
                self._sleep(wait)
        return self._call(call, read)

    def _call(self, call: Call, read: Callable[[Call, Response], _T]) -> _T:
        response = self._transport.send(call)
        try:
            return read(call, response)
        except Banned as exc:
            raise Banned(f"{exc} {bans.advice(self._rate_limit.pause())}") from exc
