"""Turning an answer that is not the expected one into the error that says so, and what to do about it."""

import re
from collections.abc import Callable
from typing import Final

from processors.errors import Refused, ServiceError, Unanswered

from . import bans, problems, redirects, wording
from .answer import Answer
from .asked import Asked
from .complaint import Complaint, complaint
from .errors import Banned, Misdirected, RowProblem, RowsRefused, UnknownFields

_NOT_ALLOWED: Final = (401, 403)
_NOT_THE_API: Final = (301, 302, 303, 307, 308, 404, 405, 410, 501)
_NOT_ITS_DECISION: Final = (408, 413, 429)
_SYSTEMIC = re.compile(
    r"\bparameter\b|\bspecified format\b|\bprivileges?\b|\bpermissions?\b|\bnot (implemented|supported)\b",
    re.IGNORECASE,
)
_MEMORY = re.compile(r"\bran out of (server )?memory\b|\bsmaller amount of data\b", re.IGNORECASE)
_SMALLER: Final = "Make redcap.batch_rows smaller if this comes again."


def failure(asked: Asked, answer: Answer) -> ServiceError:
    """The error for an answer that is not what was expected."""
    said = complaint(answer.body)
    for judge in (_banned, _not_allowed, _misdirected, _complained):
        error = judge(asked, answer, said)
        if error is not None:
            return error
    return Unanswered(asked.message(described(asked, answer, said), _outcome(asked, answer, said)))


def described(asked: Asked, answer: Answer, said: Complaint | None = None) -> str:
    """What came back, without values."""
    found = f"HTTP {answer.status} and "
    if said is not None:
        words = wording.cleaned(said.words, asked.hidden)
        return found + (f"REDCap's words: {words}" if words else "an error without words")
    text = answer.text.strip()
    if not text:
        return found + "an empty body"
    if text[0] in "[{":
        return found + "JSON that breaks off or is not well formed"
    kind = "a page" if text[0] == "<" else "a text"
    return found + f"{kind} in place of JSON, saying: {wording.page(text, asked.hidden)}"


Judge = Callable[[Asked, Answer, Complaint | None], ServiceError | None]


def _banned(asked: Asked, answer: Answer, said: Complaint | None) -> ServiceError | None:
    if answer.status != 429 and not bans.looks_like_ban(_not_data(answer, said)):
        return None
    found = described(asked, answer, said).rstrip(".")
    return Banned(f"REDCap project {asked.project}, {asked.call}: found {found}.")


def _not_data(answer: Answer, said: Complaint | None) -> str:
    """What in an answer cannot be somebody's data, which may speak of bans too."""
    if said is not None and not said.crashed:
        return "" if answer.status == 400 else wording.cleaned(said.words)
    text = answer.text.lstrip()
    return "" if text.startswith(("[", "{")) else wording.whole_page(text)


def _not_allowed(asked: Asked, answer: Answer, said: Complaint | None) -> ServiceError | None:
    if answer.status not in _NOT_ALLOWED:
        return None
    if said is None:
        advice = (
            "This is not REDCap's own answer: a firewall, proxy or login page in front of it refuses "
            "the call. Ask who runs it to let API calls from this machine through."
        )
    else:
        right = "API Import/Update" if asked.is_import else "API Export"
        advice = (
            f"Check that redcap.tokens.{asked.project} is this project's token on this server, and that "
            f"its user has the right {right} there, is not suspended and has not expired."
        )
    return Refused(asked.message(described(asked, answer, said), advice))


def _misdirected(asked: Asked, answer: Answer, said: Complaint | None) -> ServiceError | None:
    if answer.status not in _NOT_THE_API:
        return None
    found = described(asked, answer, said)
    if answer.location:
        found += f", with a redirect to {redirects.shown(answer.url, answer.location)}"
    advice = f"Check redcap.url: {answer.url} is not REDCap's API; its address ends in /api/ on most servers."
    return Misdirected(asked.message(found, advice))


def _complained(asked: Asked, answer: Answer, said: Complaint | None) -> ServiceError | None:
    """REDCap's decision about this very call: about its fields, its rows or the call as a whole."""
    if said is None or said.crashed or not said.words.strip():
        return None
    if answer.status >= 500 or answer.status in _NOT_ITS_DECISION or _MEMORY.search(_own(said)):
        return None
    fields = said.fields or problems.unknown_fields(said.words)
    if fields:
        lacks = f"that the project lacks the fields {', '.join(fields)}"
        return UnknownFields(
            asked.message(lacks, "Its data dictionary must be looked up again, and these left out."), fields
        )
    found = problems.row_problems(said.words, asked.records, asked.hidden) if asked.is_import else ()
    if any(problem.record for problem in found):
        return _rows_refused(asked, found)
    if answer.status == 200:
        return None  # REDCap says no with 400; an error with 200 is a mishap of its server
    if found and not _SYSTEMIC.search(_own(said)):
        return _rows_refused(asked, found)
    advice = "REDCap does not do what it was asked: check the project's set-up and the rights of the token's user."
    return Refused(asked.message(described(asked, answer, said), advice))


def _own(said: Complaint) -> str:
    """REDCap's own words, without what it quotes."""
    return wording.cleaned(said.words, longest=len(said.words) + 1)


def _rows_refused(asked: Asked, found: tuple[RowProblem, ...]) -> RowsRefused:
    first = found[0]
    where = " ".join(part for part in (first.record, first.field) if part) or "a row that it does not name"
    plural = "problem" if len(found) == 1 else "problems"
    message = asked.message(
        f"{len(found)} {plural} with the rows, the first of {where}: {first.message}",
        "None of these rows was stored.",
    )
    return RowsRefused(message, found)


def _outcome(asked: Asked, answer: Answer, said: Complaint | None) -> str:
    too_much = answer.status == 413 or (said is not None and _MEMORY.search(said.words))
    cut_off = asked.is_import and said is not None and not said.words.strip()
    return f"{asked.outcome} {_SMALLER}" if too_much or cut_off else asked.outcome
