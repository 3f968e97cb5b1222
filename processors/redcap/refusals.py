"""What a response other than the expected one means (403, a ban, an outage, refused rows), and what to do about it.

The first of these that fits is raised: a ban; a call that is not allowed (401, 403), by REDCap or by a
firewall before it; an address that is not the API; what REDCap's error text says of fields, of rows or
of the whole call. Anything else is `Unanswered`: nothing in it can be trusted.
"""

import re
from collections.abc import Callable
from typing import Final

from processors.errors import Refused, ServiceError, Unanswered

from . import bans, redaction
from .calls import Call
from .error_text import ErrorText, error_text, listed_fields, row_problems, unknown_fields
from .errors import Banned, Blocked, Misdirected, NotPermitted, RowProblem, RowsRefused, UnknownFields
from .transport import Response, proxy_refusal, shown_address
from .vocabulary import is_known

_NOT_ALLOWED: Final = (401, 403)
_PROXY_WANTS_A_PASSWORD: Final = 407
_NOT_THE_API: Final = (301, 302, 303, 307, 308, 404, 405, 410, 501)
_NOT_ITS_DECISION: Final = (408, 413, 429)
_SYSTEMIC = re.compile(
    r"\bparameter\b|\bspecified format\b|\bprivileges?\b|\bpermissions?\b|\bnot (implemented|supported)\b",
    re.IGNORECASE,
)
# Whatever its language, a page that asks for a password is no API.
_LOGIN = re.compile(r"<input\b[^>]*\btype\s*=\s*[\"']?password\b", re.IGNORECASE)
_READ_OF_A_PAGE: Final = 100_000
_MEMORY = re.compile(r"\bran out of (server )?memory\b|\bsmaller amount of data\b", re.IGNORECASE)
_SMALLER: Final = "Make redcap.batch_rows smaller if this comes again."


def refusal(call: Call, response: Response) -> ServiceError:
    """The error for a response that is not what was expected."""
    error = error_text(response.body)
    for judge in (_banned, _not_allowed, _misdirected, _refused):
        judged = judge(call, response, error)
        if judged is not None:
            return judged
    return Unanswered(call.message(_described(call, response, error), _outcome(call, response, error)))


def _described(call: Call, response: Response, error: ErrorText | None) -> str:
    """What came back, without values."""
    description = f"HTTP {response.status} and "
    if error is not None:
        words = redaction.shown(error.words, call.hidden)
        unshown = "an error in words that are not shown" if error.words.strip() else "an error without words"
        return description + (f"REDCap's words: {words}" if words else unshown)
    text = response.text.strip()
    if not text:
        return description + "an empty body"
    if text[0] in "[{":
        return description + "JSON that breaks off or is not well formed"
    kind = "a page" if text[0] == "<" else "a text"
    words = redaction.page(text, call.hidden)
    return description + f"{kind} in place of JSON, {f'saying: {words}' if words else 'in words that are not shown'}"


Judge = Callable[[Call, Response, ErrorText | None], ServiceError | None]


def _banned(call: Call, response: Response, error: ErrorText | None) -> ServiceError | None:
    text = _not_data(response, error)
    if response.status != 429 and not bans.looks_like_ban(text, is_page=error is None and response.status == 200):
        return None
    description = _described(call, response, error).rstrip(".")
    return Banned(f"REDCap project {call.project}, {call.name}: found {description}.")


def _not_data(response: Response, error: ErrorText | None) -> str:
    """What in a response cannot be somebody's data, which may speak of bans too."""
    if error is not None and not error.crashed:
        return "" if response.status == 400 else redaction.redacted(error.words)
    text = response.text.lstrip()
    return "" if text.startswith(("[", "{")) else redaction.whole_page(text)


def _not_allowed(call: Call, response: Response, error: ErrorText | None) -> ServiceError | None:
    if response.status == _PROXY_WANTS_A_PASSWORD:
        return Misdirected(call.message(*proxy_refusal(response.status)))
    if response.status not in _NOT_ALLOWED:
        return None
    if error is None:
        advice = (
            "This is not REDCap's own answer: a firewall, proxy or login page in front of it refuses "
            "the call. Ask who runs it to let API calls from this machine through."
        )
        return Blocked(call.message(_described(call, response, error), advice))
    right = "API Import/Update" if call.is_import else "API Export"
    advice = (
        f"Check that redcap.tokens.{call.project} is this project's token on this server, and that "
        f"its user has the right {right} there, is not suspended and has not expired."
    )
    if call.is_import:
        advice += " It says the same of a call that is larger than its PHP's post_max_size."
    return NotPermitted(call.message(_described(call, response, error), advice))


def _misdirected(call: Call, response: Response, error: ErrorText | None) -> ServiceError | None:
    if _LOGIN.search(response.text[:_READ_OF_A_PAGE]) and error is None:
        advice = "Check redcap.url, and have the login in front of REDCap's API let calls from this machine through."
        return Misdirected(call.message(f"HTTP {response.status} and a login page in place of JSON", advice))
    if response.status not in _NOT_THE_API:
        return None
    description = _described(call, response, error)
    if response.location:
        description += f", with a redirect to {shown_address(response.url, response.location)}"
    called = shown_address(response.url, response.url)
    advice = f"Check redcap.url: {called} is not REDCap's API; its address ends in /api/ on most servers."
    return Misdirected(call.message(description, advice))


def _refused(call: Call, response: Response, error: ErrorText | None) -> ServiceError | None:
    """REDCap's decision about this very call: about its fields, its rows or the call as a whole."""
    if error is None or error.crashed or not error.words.strip():
        return None
    if response.status >= 500 or response.status in _NOT_ITS_DECISION or _MEMORY.search(_own(error)):
        return None
    fields = error.fields or unknown_fields(error.words) or listed_fields(error.words, call.fields)
    if fields:
        shown = [name if name in call.fields or is_known(name) else "…" for name in fields]
        lacks = f"that the project lacks the fields {', '.join(shown)}"
        return UnknownFields(
            call.message(lacks, "Its data dictionary must be looked up again, and these left out."), fields
        )
    problems = row_problems(error.words, call.records, call.hidden) if call.is_import else ()
    if any(problem.record for problem in problems):
        return _rows_refused(call, problems)
    if response.status == 200:
        return None  # REDCap says no with 400; an error with 200 is a mishap of its server
    if problems and not _SYSTEMIC.search(_own(error)):
        return _rows_refused(call, problems)
    advice = "REDCap does not do what it was asked: check the project's set-up and the rights of the token's user."
    return Refused(call.message(_described(call, response, error), advice))


def _own(error: ErrorText) -> str:
    """REDCap's own words, without what it quotes."""
    return redaction.redacted(error.words, longest=len(error.words) + 1)


def _rows_refused(call: Call, problems: tuple[RowProblem, ...]) -> RowsRefused:
    first = problems[0]
    where = " ".join(part for part in (first.record, first.field) if part) or "a row that it does not name"
    plural = "problem" if len(problems) == 1 else "problems"
    message = call.message(
        f"{len(problems)} {plural} with the rows, the first of {where}: {first.message}",
        "None of these rows was stored.",
    )
    return RowsRefused(message, problems)


def _outcome(call: Call, response: Response, error: ErrorText | None) -> str:
    too_much = response.status == 413 or (error is not None and _MEMORY.search(error.words))
    cut_off = call.is_import and error is not None and not error.words.strip()
    return f"{call.outcome} {_SMALLER}" if too_much or cut_off else call.outcome
