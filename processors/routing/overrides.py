"""Amending by hand: an operator withdraws a transfer request, or gives it another pseudonym, and says why.

What an operator decided stands: rules do not ask for it again, nor do coupling entries that were
there before. An entry that is made or changed later is a person's newer word and is heeded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import text

from ledger import store
from ledger.events import NewEvent, new_event_id
from ledger.vault import SubjectName
from processors.delivery.actual import transfers_project
from processors.errors import ConfigurationError
from processors.events.types import EventType, study_stream
from processors.gateway import Gateway, Work
from processors.redcap import Redcap

Action = Literal["retract", "reassign"]


class Request(NamedTuple):
    """A request of ours that is in force; `instance` is where REDCap holds it, if anywhere."""

    position: int
    study: str
    project: str
    event_name: str
    state: str
    instance: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Amendment:
    """What an operator wants of a study's request in a project. `event_name`: None where it has only one there.

    `pseudonym` is the new one, None where the request is withdrawn.
    """

    study: str
    project: str
    event_name: str | None
    pseudonym: str | None
    by: str
    reason: str

    @property
    def action(self) -> Action:
        """What is to be done."""
        return "retract" if self.pseudonym is None else "reassign"


class SentRow(NamedTuple):
    """What went out under a request, as REDCap tells it: must be removed downstream by a person."""

    instance: int
    sent_at: str
    mapped_uid: str


def amend(gateway: Gateway, amendment: Amendment) -> Request:
    """Records what the operator decided; gives the request that it is about. REDCap is for the next delivery.

    Raises `ConfigurationError` where no request, or more than one, is meant, or nothing would change.
    """
    with gateway.begin() as work:
        # What is recorded meanwhile would not be seen.
        store.lock_head(work.connection)
        request = _meant(_in_force(work, amendment), amendment)
        if _says(work, request, amendment):
            raise ConfigurationError(
                f"--to-subject: expected another pseudonym than the one that study {amendment.study} has in "
                f"{amendment.project!r} already."
            )
        decided = _decided(request, amendment)
        (stored,) = work.record([decided])
        cause = {"kind": "operator", "record_id": amendment.by, "position": stored.position}
        work.record([_carried_out(work, request, amendment, cause)])
        work.record(_settled(work, request))
    return request


_IN_FORCE = text("""
    select position, study, project, event_name, state, instance from gateway.transfer
     where study = :study and project = :project and state in ('requested', 'placed', 'contested')
     order by position
""")


def _in_force(work: Work, amendment: Amendment) -> list[Request]:
    chosen = {"study": amendment.study, "project": amendment.project}
    return [Request(*row) for row in work.execute(_IN_FORCE, chosen)]


def _meant(requests: Sequence[Request], amendment: Amendment) -> Request:
    named = [request for request in requests if amendment.event_name in (None, request.event_name)]
    if len(named) == 1:
        return named[0]
    about = f"study {amendment.study} in project {amendment.project!r}"
    if named:
        events = ", ".join(repr(request.event_name) for request in named)
        raise ConfigurationError(f"--event: {about} is requested for the events {events}. Name the one that is meant.")
    found = ", ".join(repr(request.event_name) for request in requests) or "none"
    raise ConfigurationError(
        f"Expected a request of this system for {about} that is in force; found events: {found}. "
        f"`fiona-ledger audit transfer --study {amendment.study}` lists all that was ever requested. What people "
        "requested in REDCap is theirs to change there."
    )


def _says(work: Work, request: Request, amendment: Amendment) -> bool:
    (_, payload) = work.identities([request.position])[request.position]
    return amendment.pseudonym is not None and payload.get("pseudonym") == amendment.pseudonym


def _decided(request: Request, amendment: Amendment) -> NewEvent:
    return _plain(
        EventType.DECIDED_BY_HAND,
        request,
        event_name=request.event_name,
        action=amendment.action,
        by=amendment.by,
        reason=amendment.reason,
    )


def _carried_out(work: Work, request: Request, amendment: Amendment, cause: dict[str, Any]) -> NewEvent:
    if amendment.pseudonym is None:
        return _plain(EventType.TRANSFER_RETRACTED, request, request=request.position, reason="by hand", cause=cause)
    # Sealed for the study alone: an operator's pseudonym may be anybody's.
    name = SubjectName("study", "", request.study)
    subject = work.vault.subjects(work.connection, [name])[name]
    event_id = new_event_id()
    return NewEvent(
        stream=study_stream(request.study),
        type=EventType.TRANSFER_REQUESTED,
        data={
            "study": request.study,
            "project": request.project,
            "event_name": request.event_name,
            "cause": cause,
            "whole_match": True,
            "replaces": _replaced(work, request),
        },
        event_id=event_id,
        subject=subject,
        sealed=work.vault.seal(subject, event_id, {"pseudonym": amendment.pseudonym}),
    )


_REPLACES = text("select replaces from gateway.transfer where position = :position")


def _replaced(work: Work, request: Request) -> list[int]:
    """The request, and those whose rows it has not taken over yet itself."""
    unsettled: list[int] = []
    if request.state != "placed":
        unsettled = list(work.execute(_REPLACES, {"position": request.position}).scalar_one())
    return [request.position, *unsettled]


_CONFLICT = text("""
    select exists (select from gateway.conflict
                    where study = :study and project = :project and event_name = :event_name and kind <> 'person')
""")


def _settled(work: Work, request: Request) -> list[NewEvent]:
    """A conflict about the request is over. Only delivery can tell whether one with a person's request is."""
    key = {"study": request.study, "project": request.project, "event_name": request.event_name}
    if not work.execute(_CONFLICT, key).scalar_one():
        return []
    return [_plain(EventType.CONFLICT_RESOLVED, request, event_name=request.event_name)]


def _plain(type_: EventType, about: Request, **data: Any) -> NewEvent:
    return NewEvent(
        stream=study_stream(about.study), type=type_, data={"study": about.study, "project": about.project, **data}
    )


def sent_row(redcap: Redcap, request: Request) -> SentRow | None:
    """What went out under the request, by REDCap's own row; None where nothing did.

    To be asked before the row is amended.
    """
    fields = ("study_instance_uid", "transfer_project_name", "transfer_date", "transfer_mapped_uid")
    rows = redcap.export_records(transfers_project(redcap), records=[request.study], fields=fields)
    for row in rows:
        if row.get("redcap_repeat_instance") == str(request.instance) and row.get("transfer_date", "").strip():
            return SentRow(int(row["redcap_repeat_instance"]), row["transfer_date"], row.get("transfer_mapped_uid", ""))
    return None
