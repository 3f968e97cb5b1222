"""The client for REDCap's web API: calls over HTTP, in the budget, retried where that is harmless."""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import requests

from processors.errors import ConfigurationError, Unanswered

from . import answers, bans, connections, questions, redirects
from .answer import Answer
from .asked import Asked
from .budget import Budget, Sleep
from .errors import Banned, Misdirected
from .log import LogLine, log_lines
from .rows import Row

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_WAITS_SECONDS: Final = (1, 3, 9)
_LONGEST_CONNECT_SECONDS: Final = 10


class Redcap:
    """Calls to one REDCap server, each project with its token, over connections that are kept open.

    Reads are tried again on `Unanswered`; an import never is, because it may have been applied. Other
    errors of the calls: `Refused`, `RowsRefused`, `UnknownFields`, and `ConfigurationError` for a project
    without a token.
    """

    writes = True
    """Whether what is imported can be seen afterwards: not so in a dry run."""

    def __init__(
        self,
        *,
        url: str,
        tokens: Mapping[str, str],
        budget: Budget,
        timeout_seconds: float = 60,
        ca_bundle: Path | None = None,
        sleep: Sleep = time.sleep,
    ) -> None:
        if ca_bundle is not None and not ca_bundle.is_file():
            raise ConfigurationError(f"redcap.ca_bundle: expected a file of certificates, {ca_bundle} is none.")
        self.calls = 0
        self._url = url
        self._tokens = dict(tokens)
        self._budget = budget
        self._timeout = (min(timeout_seconds, _LONGEST_CONNECT_SECONDS), timeout_seconds)
        self._verify: str | bool = True if ca_bundle is None else str(ca_bundle)
        self._sleep = sleep
        self._session = _session()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def has(self, project: str) -> bool:
        """Whether a token for the project is configured."""
        return bool(self._tokens.get(project))

    def address(self, project: str) -> str:
        """Where the project is, in a form that may be kept: equal for the same server and token, and tells neither."""
        told = f"{self._url} {self._tokens.get(project, '')}"
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    def export_records(
        self,
        project: str,
        *,
        records: Sequence[str] | None = None,
        fields: Sequence[str] | None = None,
        changed_since: datetime | None = None,
    ) -> list[Row]:
        """The rows of these records (None: all), restricted to fields (None: all), all values as text.

        Records that do not exist are absent. The record id is only there if it is among the fields, or
        fields is None; both repeat columns always are. `changed_since` gives whole records in whose log
        there is anything since; REDCap takes it as its local time, so allow for its clock and for the
        hour that a change from summer time repeats.
        """
        if records is not None and changed_since is not None:
            raise ValueError("expected records or changed_since: REDCap does not document what both mean")
        if records is not None and not records:
            return []  # to REDCap, no records would mean all of them
        form = questions.export_records(records, fields, changed_since)
        call = "export of records" if records is None else f"export of {_number(len(records), 'record')}"
        asked = self._asked(project, call, "a JSON list of rows", fields=fields or ())
        return self._read(asked, form, answers.read_rows)

    def import_records(self, project: str, rows: Sequence[Mapping[str, str | int]], *, overwrite: bool) -> int:
        """Stores the rows; the number of their distinct records, which REDCap has confirmed.

        The record id stands first in each row. Blanks erase what is there only with `overwrite`. Rows too
        large for one body are sent in several, so that of an error's rows some may be stored.
        """
        if not rows:
            return 0
        record_field = questions.record_field(rows)
        for part, form in questions.import_parts(rows, overwrite=overwrite):
            records = len({str(row[record_field]) for row in part})
            asked = self._asked(
                project,
                f"import of {_number(len(part), 'row')}",
                f"a count of {_number(records, 'record')}",
                rows=part,
                record_field=record_field,
            )
            self._ask(asked, form, answers.read_count)
        return len({str(row[record_field]) for row in rows})

    def metadata(self, project: str) -> list[Row]:
        """The project's data dictionary, one row a field, the record id first."""
        asked = self._asked(project, "export of the data dictionary", "a JSON list of fields")
        return self._read(asked, questions.metadata(), answers.read_metadata)

    def next_record_name(self, project: str) -> str:
        """One more than the highest number among the record ids. It is not reserved for the caller."""
        asked = self._asked(project, "question for the next record name", "a number")
        return self._read(asked, questions.next_record_name(), answers.read_record_name)

    def export_log(self, project: str, *, since: datetime, record: str | None = None) -> list[LogLine]:
        """What was done to the project's records since then, or to one of them, oldest first.

        It needs the right Logging. `since` has the zone in which REDCap's dates are written. Not asked
        again: on a busy project the log takes long, and nothing that must be done depends on it.
        """
        asked = self._asked(project, "export of the log", "a JSON list of log entries")
        return log_lines(self._ask(asked, questions.log(since, record), answers.read_rows))

    def _asked(
        self,
        project: str,
        call: str,
        expected: str,
        *,
        fields: Sequence[str] = (),
        rows: Sequence[Mapping[str, str | int]] = (),
        record_field: str = "",
    ) -> Asked:
        if not self.has(project):
            raise ConfigurationError(f"redcap.tokens.{project}: expected a token, as the run needs this project.")
        return Asked(
            project=project,
            call=call,
            expected=expected,
            token=self._tokens[project],
            fields=fields,
            rows=rows,
            record_field=record_field,
        )

    def _read(self, asked: Asked, form: questions.Form, read: Callable[[Asked, Answer], _T]) -> _T:
        """Asks what changes nothing, and therefore may be asked again."""
        for wait in _WAITS_SECONDS:
            try:
                return self._ask(asked, form, read)
            except Misdirected:
                raise
            except Unanswered:
                self._sleep(wait)
        return self._ask(asked, form, read)

    def _ask(self, asked: Asked, form: questions.Form, read: Callable[[Asked, Answer], _T]) -> _T:
        answer = self._send(asked, form)
        try:
            return read(asked, answer)
        except Banned as exc:
            raise Banned(f"{exc} {bans.advice(self._budget.pause())}") from exc

    def _send(self, asked: Asked, form: questions.Form) -> Answer:
        """The answer to the call, after one redirect at most."""
        answer = self._post(asked, form)
        if answer.status not in redirects.FOLLOWED or not answer.location:
            return answer
        shown = redirects.shown(answer.url, answer.location)
        try:
            self._url = redirects.target(answer.url, answer.location)
        except ValueError as exc:
            raise Misdirected(
                asked.message(
                    f"a redirect to {shown}, which was not followed because {exc}",
                    "If REDCap's API is there, configure that address as redcap.url.",
                )
            ) from exc
        _log.warning("REDCap redirects to %s: configure that address as redcap.url.", shown)
        return self._post(asked, form)

    def _post(self, asked: Asked, form: questions.Form) -> Answer:
        """One HTTP call. Redirects are not followed: requests would turn the POST into a GET."""
        self._budget.take()
        self.calls += 1
        try:
            response = self._session.post(
                self._url,
                **_body(asked, {"token": asked.token, **form}),
                timeout=self._timeout,
                # Given with the call: REQUESTS_CA_BUNDLE would override a session's own setting.
                verify=self._verify,
                allow_redirects=False,
            )
        except OSError as exc:  # those of requests are OSErrors, and it lets some of the system's through
            raise _unanswered(asked, exc, self._timeout[1]) from exc
        return Answer(
            status=response.status_code,
            body=response.content,
            url=self._url,
            location=response.headers.get("Location", ""),
        )


def _session() -> requests.Session:
    """A session that obeys the environment's proxies and CA bundles, and sends no credentials but the token.

    Hospitals set HTTPS_PROXY, NO_PROXY and REQUESTS_CA_BUNDLE for all programs of a machine, and without
    them nothing is reached; `trust_env = False` would ignore them. It would keep .netrc out, too: that is
    done by an authentication of our own that adds nothing, since requests reads .netrc only where there
    is none. Cookies are refused: they would tie calls of different tokens to one session of REDCap's.
    """
    session = requests.Session()
    session.auth = _no_credentials
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "fiona-ledger"
    session.headers["Accept"] = "application/json"
    return session


def _body(asked: Asked, form: questions.Form) -> dict[str, Any]:
    """The form as `requests` is to send it: rows as they are, in parts; all else as usual.

    REDCap takes either. Percent-encoded, 500 rows are a third larger, and take 9 ms to encode instead of 0.6.
    """
    return {"files": {name: (None, value) for name, value in form.items()}} if asked.is_import else {"data": form}


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _unanswered(asked: Asked, exc: OSError, timeout_seconds: float) -> Unanswered:
    refused = connections.certificate_problem(exc)
    if not refused:
        return Unanswered(asked.message(connections.problem(exc, timeout_seconds), asked.outcome))
    return Misdirected(
        asked.message(
            f"a certificate that is not accepted ({refused})",
            "Certificates are always checked: name the hospital's certificate authority as redcap.ca_bundle, "
            "or have the server's certificate mended.",
        )
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
