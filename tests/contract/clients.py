"""Three clients behind the same verbs: ours, and PyCap and redcaplite, which others wrote."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import redcap.request
from redcap.project import Project
from redcap.request import RedcapError
from redcaplite import RedcapClient
from redcaplite.http.error import APIException

from processors.demo.simulator import Simulator
from processors.errors import ServiceError
from processors.redcap import NoRateLimit, Redcap

Row = dict[str, str]


class Client(Protocol):
    """What all can do. Values are text, rows come in REDCap's order, an error is one of `errors`."""

    @property
    def errors(self) -> type[Exception]:
        """The base of what its calls end with."""

    def read(
        self,
        project: str,
        fields: Sequence[str] | None = None,
        *,
        records: Sequence[str] | None = None,
        since: datetime | None = None,
    ) -> list[Row]:
        """Rows of an export, the record id and the repeat columns among them."""

    def store(self, project: str, rows: Sequence[Mapping[str, str | int]], *, overwrite: bool = False) -> int:
        """Imports the rows; the count that REDCap gives."""

    def metadata(self, project: str) -> list[Row]:
        """The data dictionary."""

    def next_name(self, project: str) -> str:
        """The next record name."""

    def changed(self, project: str, since: datetime, record: str | None = None) -> list[str]:
        """The records that the log says were changed, oldest change first."""

    def close(self) -> None:
        """Ends its connections."""


class Ours:
    """Our client."""

    errors: type[Exception] = ServiceError

    def __init__(self, simulator: Simulator, tokens: Mapping[str, str]) -> None:
        self._redcap = Redcap(url=simulator.url, tokens=tokens, rate_limit=NoRateLimit(), sleep=lambda _seconds: None)

    def read(
        self,
        project: str,
        fields: Sequence[str] | None = None,
        *,
        records: Sequence[str] | None = None,
        since: datetime | None = None,
    ) -> list[Row]:
        return self._redcap.export_records(project, records=records, fields=fields, changed_since=since)

    def store(self, project: str, rows: Sequence[Mapping[str, str | int]], *, overwrite: bool = False) -> int:
        return self._redcap.import_records(project, rows, overwrite=overwrite)

    def metadata(self, project: str) -> list[Row]:
        return [
            {name: value for name, value in row.items() if not name.startswith("redcap_repeat")}
            for row in self._redcap.metadata(project)
        ]

    def next_name(self, project: str) -> str:
        return self._redcap.next_record_name(project)

    def changed(self, project: str, since: datetime, record: str | None = None) -> list[str]:
        return [line.record for line in self._redcap.export_log(project, since=since, record=record)]

    def close(self) -> None:
        self._redcap.close()


class PyCap:
    """PyCap, with its answers brought to text."""

    errors: type[Exception] = RedcapError

    def __init__(self, simulator: Simulator, tokens: Mapping[str, str]) -> None:
        self._projects = {name: Project(simulator.url, token) for name, token in tokens.items()}

    def read(
        self,
        project: str,
        fields: Sequence[str] | None = None,
        *,
        records: Sequence[str] | None = None,
        since: datetime | None = None,
    ) -> list[Row]:
        # It takes the time as it is, without a zone; ours is told in the machine's own.
        begin = since.astimezone().replace(tzinfo=None) if since is not None else None
        rows = self._projects[project].export_records(
            records=list(records) if records else None, fields=list(fields) if fields else None, date_begin=begin
        )
        return [_text(row) for row in rows]

    def store(self, project: str, rows: Sequence[Mapping[str, str | int]], *, overwrite: bool = False) -> int:
        answer = self._projects[project].import_records(
            [dict(row) for row in rows], overwrite="overwrite" if overwrite else "normal"
        )
        count: int = answer["count"]
        return count

    def metadata(self, project: str) -> list[Row]:
        return [_text(row) for row in self._projects[project].export_metadata()]

    def next_name(self, project: str) -> str:
        return str(self._projects[project].generate_next_record_name())

    def changed(self, project: str, since: datetime, record: str | None = None) -> list[str]:
        rows = self._projects[project].export_logging(
            log_type="record", record=record, begin_time=since.replace(tzinfo=None)
        )
        return [row["record"] for row in reversed(rows)]

    def close(self) -> None:
        # It keeps one session for the whole process.
        redcap.request._session.close()


class Redcaplite:
    """redcaplite, asked in json, as its csv goes through a table that guesses at types."""

    errors: type[Exception] = APIException

    def __init__(self, simulator: Simulator, tokens: Mapping[str, str]) -> None:
        self._projects = {name: RedcapClient(simulator.url, token) for name, token in tokens.items()}

    def read(
        self,
        project: str,
        fields: Sequence[str] | None = None,
        *,
        records: Sequence[str] | None = None,
        since: datetime | None = None,
    ) -> list[Row]:
        begin = since.astimezone() if since is not None else None
        rows = self._projects[project].export_records(
            format="json", records=list(records or []), fields=list(fields or []), dateRangeBegin=begin
        )
        return [_text(row) for row in rows]

    def store(self, project: str, rows: Sequence[Mapping[str, str | int]], *, overwrite: bool = False) -> int:
        answer = self._projects[project].import_records(
            [dict(row) for row in rows],
            format="json",
            returnContent="count",
            overwriteBehavior="overwrite" if overwrite else "normal",
        )
        count: int = answer["count"]
        return count

    def metadata(self, project: str) -> list[Row]:
        return [_text(row) for row in self._projects[project].get_metadata(format="json")]

    def next_name(self, project: str) -> str:
        return str(self._projects[project].generate_next_record_name())

    def changed(self, project: str, since: datetime, record: str | None = None) -> list[str]:
        rows = self._projects[project].get_logs(
            format="json", logtype="record", record=record, beginTime=since.replace(tzinfo=None)
        )
        return [row["record"] for row in reversed(rows)]

    def close(self) -> None:
        """It keeps no connections."""


def _text(row: Mapping[str, Any]) -> Row:
    return {name: str(value) for name, value in row.items()}
