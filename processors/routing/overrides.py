"""Amending by hand: an operator withdraws a transfer request, or gives it another pseudonym, and says why.

What an operator decided stands: rules do not ask for it again, nor do coupling entries that were
there before. An entry that is made or changed later is a person's newer word and is heeded.
Forgetting somebody decides so about all that was requested of their studies.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import text

from ledger import store
from ledger.vault import SubjectName
from processors.delivery.actual import transfers_of
from processors.errors import ConfigurationError
from processors.events.fact import Cause, Fact
from processors.events.holds import RequestHeld, RequestReleased
from processors.events.pseudonyms import StudyReleased
from processors.events.rules import Action, ConflictResolved, DecidedByHand
from processors.events.transfers import TransferRequested, TransferRetracted
from processors.gateway import Gateway, Work
from processors.redcap import Redcap
from processors.redcap.incoming import ABSENT
from processors.requests import IN_FORCE, Key, Report, TransferRequest, TransferRow, owner
from processors.routing.decisions import Obstacle
from processors.routing.identify import claim_of, outcome_of
from processors.routing.identity import compare
from processors.routing.patients import patients_of
from processors.stored_requests import requests_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Amendment:
    """What an operator wants of a study's requests in a project.

    `event_name`: None for a withdrawal from the whole project, and where there is only one to be reassigned.

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


class Amended(NamedTuple):
    """The requests that an operator's decision is about, and what was asked for and held, and is given up.

    `held` is what keeps the new pseudonym from being requested, if anything does.
    """

    requests: list[TransferRequest]
    given_up: list[Key]
    held: Obstacle | None = None


def amend(gateway: Gateway, amendment: Amendment, *, holds_split: bool = False) -> Amended:
    """Records what the operator decided, and gives what it is about. REDCap is for the next delivery.

    Raises `ConfigurationError` where no request is meant, or nothing would change.
    """
    with gateway.begin() as work:
        # What is recorded meanwhile would not be seen.
        store.lock_head(work.connection)
        standing = requests_of(work, [amendment.study], states=(*IN_FORCE, "ending")).get(amendment.study, [])
        held, waiting = _held(work, amendment), _waiting_for_id(work, amendment)
        given_up = held or [Key(amendment.project, "") for _ in waiting]
        requests = _meant([each for each in standing if each.project == amendment.project], given_up, amendment)
        decided = DecidedByHand(
            study=amendment.study,
            project=amendment.project,
            event_name=amendment.event_name if amendment.pseudonym is None else requests[0].event_name,
            action=amendment.action,
            by=amendment.by,
            reason=amendment.reason,
        )
        (stored,) = work.record([decided])
        cause = Cause("operator", amendment.by, stored.position)
        work.record(RequestReleased(study=amendment.study, **key._asdict()) for key in held)
        work.record(
            StudyReleased(study=amendment.study, project=amendment.project, reason=reason) for reason in waiting
        )
        obstacle = None
        for request in filter(attrgetter("in_force"), requests):
            facts = list(_carried_out(work, request, amendment, cause, holds_split=holds_split))
            obstacle = next((_obstacle(fact) for fact in facts if isinstance(fact, RequestHeld)), None)
            # Sealed for the study alone: an operator's pseudonym may be anybody's.
            subject = SubjectName("study", "", request.study)
            work.record([work.seal(fact, subject) if fact.SEALED else fact for fact in facts])
            work.record(_settled(work, request))
    return Amended(requests, given_up, obstacle)


def end_all(work: Work, studies: Collection[str], *, by: str, reason: str) -> list[TransferRequest]:
    """Records that nothing of these studies is to go where it was requested or held for; gives the requests that end.

    With them those that ended before and that REDCap has still to be told of, which is for the next delivery.
    """
    standing = requests_of(work, studies, states=(*IN_FORCE, "ending"))
    held = work.execute(_HELD_OF_STUDIES, {"studies": list(studies)}).all()
    requests = [request for study in sorted(standing) for request in standing[study]]
    in_force = [request for request in requests if request.in_force]
    concerned = {(request.study, request.project) for request in in_force} | {(row.study, row.project) for row in held}
    positions = {}
    for study, project in sorted(concerned):
        decided = DecidedByHand(study=study, project=project, event_name=None, action="retract", by=by, reason=reason)
        (stored,) = work.record([decided])
        positions[study, project] = stored.position
    work.record(RequestReleased(study=study, project=project, event_name=event) for study, project, event in held)
    for request in in_force:
        cause = Cause("operator", by, positions[request.study, request.project])
        work.record([_retracted(request, "the patient was forgotten", cause), *_settled(work, request)])
    return requests


def retract_all(work: Work, requests: Sequence[TransferRequest], *, by: str, reason: str) -> None:
    """Records that these requests have ended, each for its project and event, as an operator's decision."""
    for request in requests:
        key = request.key._asdict()
        decided = DecidedByHand(study=request.study, **key, action="retract", by=by, reason=reason)
        (stored,) = work.record([decided])
        cause = Cause("operator", by, stored.position)
        work.record([_retracted(request, "by hand", cause), *_settled(work, request)])


def keep_from(work: Work, study: str, project: str, *, by: str, reason: str) -> None:
    """Records that the study is not to go to the project, as an operator's decision."""
    work.record([DecidedByHand(study=study, project=project, event_name=None, action="retract", by=by, reason=reason)])


_HELD_OF_STUDIES = text("""
    select study, project, event_name from gateway.held_request where study = any(:studies) order by 1, 2, 3
""")


def _obstacle(held: RequestHeld) -> Obstacle:
    return Obstacle(held.kind, held.details, held.studies)


_HELD = text("""
    select project, event_name from gateway.held_request
     where study = :study and project = :project and event_name = coalesce(:event_name, event_name)
     order by event_name
""")


def _held(work: Work, amendment: Amendment) -> list[Key]:
    """What is asked for and held, where it is to be given up."""
    if amendment.pseudonym is not None:
        return []
    about = {"study": amendment.study, "project": amendment.project, "event_name": amendment.event_name}
    return [Key(*row) for row in work.execute(_HELD, about)]


_WAITING = text("select reason from gateway.held_study where study = :study and project = :project")


def _waiting_for_id(work: Work, amendment: Amendment) -> list[str]:
    """Why the study waits for an ID of the project, where that is to be given up."""
    if amendment.pseudonym is not None:
        return []
    return list(work.execute(_WAITING, {"study": amendment.study, "project": amendment.project}).scalars())


def _meant(requests: Sequence[TransferRequest], held: Collection[Key], amendment: Amendment) -> list[TransferRequest]:
    """The requests that are meant: a withdrawal is for all events of the project, unless one is named.

    It is for what has ended before as well, and REDCap has still to be told of.
    """
    named = [request for request in requests if amendment.event_name in (None, request.event_name)]
    if amendment.pseudonym is not None:
        named = [request for request in named if request.in_force]
    about = f"study {amendment.study} in project {amendment.project!r}"
    waits = "" if all(request.in_force for request in requests) else "; one that ended waits to be taken back"
    if not named and not held:
        events = ", ".join(repr(request.event_name) for request in requests if request.in_force) or "none"
        raise ConfigurationError(
            f"Expected a request of this system for {about} that is in force; found events: {events}{waits}. "
            f"`fiona-ledger audit transfer --study {amendment.study}` lists all that was ever requested. What people "
            "requested in REDCap is theirs to change there."
        )
    if amendment.pseudonym is not None and len(named) > 1:
        events = ", ".join(repr(request.event_name) for request in named)
        raise ConfigurationError(f"--event: {about} is requested for the events {events}. Name the one that is meant.")
    if amendment.pseudonym is not None and named[0].pseudonym == amendment.pseudonym:
        raise ConfigurationError(
            f"--to-subject: expected another pseudonym than the one that study {amendment.study} has in "
            f"{amendment.project!r} already{waits}."
        )
    return named


def _carried_out(
    work: Work, request: TransferRequest, amendment: Amendment, cause: Cause, *, holds_split: bool
) -> Iterator[Fact]:
    """What is recorded of it. What would give a pseudonym to a second patient is held, and the request ends."""
    if amendment.pseudonym is None:
        yield _retracted(request, "by hand", cause)
        return
    requested = TransferRequested(
        study=request.study,
        **request.key._asdict(),
        cause=cause,
        whole_match=True,
        replaces=(request.position,),
        pseudonym=amendment.pseudonym,
    )
    claim = claim_of(requested, patients_of(work, [request.study]).get(request.study, []))
    comparison = compare(work, [] if claim is None else [claim], holds_split=holds_split)
    for fact in outcome_of(requested, comparison):
        yield fact
        if isinstance(fact, RequestHeld):
            yield _retracted(request, f"what is asked for now is held ({fact.kind})", cause)


def _retracted(request: TransferRequest, reason: str, cause: Cause) -> TransferRetracted:
    return TransferRetracted(
        study=request.study, project=request.project, request=request.position, reason=reason, cause=cause
    )


_CONFLICT = text("""
    select exists (select from gateway.conflict
                    where study = :study and project = :project and event_name = :event_name and kind <> 'person')
""")


def _settled(work: Work, request: TransferRequest) -> list[Fact]:
    """A conflict about the request is over. Only delivery can tell whether one with a person's request is."""
    about = {"study": request.study, **request.key._asdict()}
    return [ConflictResolved(**about)] if work.execute(_CONFLICT, about).scalar_one() else []


class RowsThere(NamedTuple):
    """Rows of REDCap's: those under which something went out, and those by which others ask for what is withdrawn."""

    sent: list[TransferRow]
    of_others: list[TransferRow]


def _as_told(request: TransferRequest) -> TransferRow:
    """The row under which it was sent, as the sender had told of it: somebody may have deleted it since."""
    return TransferRow(
        study=request.study,
        instance=request.instance or 0,
        project=request.project,
        event_name=request.event_name,
        name="",
        requested=request.minute,
        report=Report("sent", request.sent_at, request.report.errors, None, request.sent_uids),
    )


def _stood_in(row: TransferRow, request: TransferRequest) -> bool:
    """Whether the row is the request's, whoever made it. Of one that asks for something else by now, nobody can tell
    from the row what was sent: the archive that it names need not have it.
    """
    return row.instance == request.instance and (row.is_report_alone or request.is_for(row.key))


def rows_there(
    gateway: Gateway, redcap: Redcap, amendment: Amendment, requests: Sequence[TransferRequest]
) -> RowsThere:
    """What a person must remove downstream, or may have to remove in REDCap, which no row of ours tells.

    To be asked before the rows are amended.
    """
    rows = transfers_of(gateway, redcap, [amendment.study]).get(amendment.study, ABSENT).transfers
    with gateway.begin() as work:
        ours = requests_of(work, [amendment.study]).get(amendment.study, [])
    sent = [row for row in rows if row.report.state == "sent" and any(_stood_in(row, each) for each in requests)]
    told = {row.instance for row in sent}
    gone = [_as_told(request) for request in requests if request.was_sent]
    return RowsThere(
        sent=[*sent, *(row for row in gone if row.instance not in told)],
        of_others=[
            row
            for row in rows
            if amendment.pseudonym is None
            and row.is_sendable
            and row.project == amendment.project
            and amendment.event_name in (None, row.event_name)
            and not owner(row, ours).wrote
        ],
    )
