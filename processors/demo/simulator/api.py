"""Answering one call of the API: `content` and `action` choose the operation, refusals become errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import descriptions, record_calls
from .question import Outcome, Question, action_of, return_format
from .replies import Refusal, error_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from .parameters import Parameters

_OPERATIONS: Final[dict[tuple[str, str], Callable[[Question], Outcome]]] = {
    ("record", "export"): record_calls.export_records,
    ("record", "import"): record_calls.import_records,
    ("record", "delete"): record_calls.delete_records,
    ("record", "rename"): record_calls.rename_record,
    ("generateNextRecordName", "export"): record_calls.next_record_name,
    ("metadata", "export"): descriptions.export_metadata,
    ("metadata", "import"): descriptions.import_metadata,
    ("exportFieldNames", "export"): descriptions.export_field_names,
    ("instrument", "export"): descriptions.export_instruments,
    ("repeatingFormsEvents", "export"): descriptions.export_repeating,
    ("repeatingFormsEvents", "import"): descriptions.import_repeating,
    ("project", "export"): descriptions.export_project,
    ("version", "export"): descriptions.export_version,
    ("log", "export"): descriptions.export_log,
    ("arm", "export"): descriptions.refuse_longitudinal,
    ("event", "export"): descriptions.refuse_longitudinal,
    ("formEventMapping", "export"): descriptions.refuse_longitudinal,
}


def answer(question: Question) -> Outcome:
    """Carry the call out under the project's lock; what REDCap refuses comes back as its error reply."""
    content_and_action = (question.parameters.text("content"), action_of(question.parameters))
    try:
        with question.project.lock_state:
            return _OPERATIONS.get(content_and_action, _refuse_content)(question)
    except Refusal as refusal:
        return Outcome(reply=error_reply(refusal, question.return_format))


def _refuse_content(_question: Question) -> Outcome:
    raise Refusal('The value of the parameter "content" is not valid')


def unknown_token(parameters: Parameters) -> Outcome:
    """REDCap's answer to a token that it does not know, and to a call without one: 403, not 401."""
    refusal = Refusal("You do not have permissions to use the API", status=403)
    return Outcome(reply=error_reply(refusal, return_format(parameters)))
