"""What each event of a study says, as a sentence for a person. Pure; nothing that is sealed is needed or shown.

A type of event gets its sentence from the function whose first argument is of that type; those of other streams
(rules, IDs, keys) have none, and are pointed to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

from ledger.events import Event
from processors.events import FACTS
from processors.events.deliveries import (
    Acknowledged,
    DifferenceAccepted,
    LostUpdateFound,
    RowAccepted,
    RowMissing,
    RowRefused,
    RowRestored,
    StudyDelivered,
)
from processors.events.fact import Cause, CauseKind, Fact
from processors.events.holds import HoldKind, RequestHeld, RequestQuestioned, RequestReleased
from processors.events.operations import StudyAdopted
from processors.events.patients import (
    Consequence,
    PatientRecognised,
    PatientsJoined,
    StudyChangeFound,
    TwoNamesFound,
    TwoPatientsFound,
    TwoPatientsResolved,
)
from processors.events.pseudonyms import StudyHeld, StudyReleased
from processors.events.rules import (
    ConflictFound,
    ConflictResolved,
    CouplingEntryChanged,
    DecidedByHand,
    DecisionDeferred,
    DecisionResumed,
    RoutingRuleChanged,
    RuleTimedOut,
    RuleTimeoutResolved,
)
from processors.events.series import (
    FileRejected,
    RejectionResolved,
    SeriesDiscovered,
    SeriesFact,
    SeriesReturned,
    SeriesRevised,
    SeriesVanished,
    StudyRequestedByOthers,
    StudyReturned,
    StudyVanished,
)
from processors.events.transfers import (
    AdoptedTransferGone,
    DoubleEnded,
    DoubleFound,
    Fate,
    TransferAdopted,
    TransferAmended,
    TransferFailed,
    TransferObserved,
    TransferPlaced,
    TransferRecalled,
    TransferReopened,
    TransferRequested,
    TransferRetracted,
    TransferSent,
    TransferStrayed,
    TransferWithdrawn,
)
from processors.events.withdrawals import StudyWithdrawn, TaskDone


@dataclass(kw_only=True, slots=True)
class History:
    """What has happened to the study before an event, and what the causes of its requests say.

    `causes` are by their positions, `requests` too; `series` holds the newest content of each series, `sendings` the
    request (None: somebody else's), instance and date of each.
    """

    causes: Mapping[int, Fact] = field(default_factory=dict)
    requests: dict[int, TransferRequested] = field(default_factory=dict)
    series: dict[str, SeriesFact] = field(default_factory=dict)
    sendings: set[tuple[int | None, int, str]] = field(default_factory=set)

    def add(self, position: int, fact: Fact) -> None:
        """Moves on by one event."""
        if isinstance(fact, SeriesFact):
            self.series[fact.SeriesInstanceUID] = fact
        elif isinstance(fact, TransferRequested):
            self.requests[position] = fact
        elif isinstance(fact, TransferSent):
            self.sendings.add(_sending(fact))


def sentence(event: Event, history: History, sealed: Mapping[str, Any] | None = None) -> str:
    """The event in words, with what was unsealed of it; `history` moves on. Without any, the command that shows it."""
    fact_type = FACTS.get(event.type)
    fact = None if fact_type is None else fact_type.read(event, sealed)
    words = "" if fact is None else _words(fact, history)
    if fact is not None:
        history.add(event.position, fact)
    return words or f"{event.type}: see `fiona-ledger export --from {event.position} --to {event.position}`."


def cause_name(kind: CauseKind, record_id: str) -> str:
    """The rule, entry, generated ID or operator behind a decision."""
    names: Mapping[CauseKind, str] = {
        "rule": "routing rule",
        "coupling": "coupling entry",
        "autoid": "AutoID record",
        "operator": "a decision by",
    }
    return f"{names[kind]} {record_id}"


def destination(project: str, event_name: str | None) -> str:
    """The project, with the event where there is one."""
    return f"{project or '?'}, event {event_name}" if event_name else project or "?"


@singledispatch
def _words(_fact: Fact, _history: History) -> str:
    """The fact in words; "" where its type has none."""
    return ""


@_words.register
def _series_discovered(fact: SeriesDiscovered, _history: History) -> str:
    files = "" if fact.NumFiles is None else f" with {_files(fact.NumFiles)}"
    return (
        f"Series {fact.SeriesInstanceUID} arrived{files}, from {fact.AETitleCaller or '(blank)'} to "
        f"{fact.AETitleCalled or '(blank)'}{', with an accession number' if fact.accession else ''}."
    )


_REVISED = {
    "identity_fingerprint": "whose it is",
    "study_fingerprint": "the study's description or institution",
    "AETitleCaller": "the calling AE title",
    "AETitleCalled": "the called AE title",
    "accession": "the accession number",
    "ClassifyType": "its classification",
}


@_words.register
def _series_revised(fact: SeriesRevised, history: History) -> str:
    uid = fact.SeriesInstanceUID
    before = history.series.get(uid)
    if before is None:
        return f"Series {uid} was revised."
    earlier = before.data
    changed = [name for name, value in fact.data.items() if name != "fingerprint" and value != earlier[name]]
    if changed == ["NumFiles"]:
        known = "" if before.NumFiles is None else f" from {before.NumFiles}"
        return f"Series {uid} grew{known} to {_files(fact.NumFiles)}."
    names = [_REVISED.get(name, name) for name in changed if name != "NumFiles"]
    return f"Series {uid} was revised: {', '.join(names) or 'details'} changed."


def _files(number: int | None) -> str:
    return "1 file" if number == 1 else f"{'an unknown number of' if number is None else number} files"


@_words.register
def _study_vanished(_fact: StudyVanished, _history: History) -> str:
    return "The study's files vanished from disk."


@_words.register
def _study_returned(_fact: StudyReturned, _history: History) -> str:
    return "The study's files are on disk again."


@_words.register
def _series_vanished(fact: SeriesVanished, _history: History) -> str:
    return f"Series {fact.SeriesInstanceUID} vanished from disk; others of the study are there."


@_words.register
def _series_returned(fact: SeriesReturned, _history: History) -> str:
    return f"Series {fact.SeriesInstanceUID} is on disk again."


@_words.register
def _file_rejected(fact: FileRejected, _history: History) -> str:
    return f"The file {fact.path} was rejected: {fact.reason}."


@_words.register
def _rejection_resolved(fact: RejectionResolved, _history: History) -> str:
    return f"The rejected file {fact.path} is {fact.how} now."


@_words.register
def _transfer_requested(fact: TransferRequested, history: History) -> str:
    cause = cause_name(fact.cause.kind, fact.cause.record_id) + _content(history.causes.get(fact.cause.position))
    parts = [f"Requested for {destination(fact.project, fact.event_name)}, because of {cause}."]
    if not fact.whole_match:
        parts.append("The pattern matched the start of the text only.")
    if fact.replaces:
        parts.append(f"It replaces {positions(fact.replaces)}.")
    return " ".join(parts)


def _content(cause: Fact | None) -> str:
    """What a rule or entry said when it led to something, without patterns and names."""
    match cause:
        case RoutingRuleChanged():
            titles = _labelled({"to": cause.called, "from": cause.calling}) or "from nowhere"
            said = f"{destination(cause.project, cause.event_name)}, for series {titles}"
            return f", which then said: {said}{_changed_by(cause)}"
        case CouplingEntryChanged():
            names = " or ".join(
                [
                    *(["an accession number"] if cause.accession else []),
                    *([f"study {cause.study}"] if cause.study else []),
                ]
            )
            said = f"{destination(cause.project, cause.event_name)}, for {names}"
            return f", which then said: {said}{_changed_by(cause)}"
        case _:
            return ""


def _changed_by(cause: RoutingRuleChanged | CouplingEntryChanged) -> str:
    """Who had made it say so, where REDCap's log told."""
    if cause.changed_by is None:
        return ""
    return f" (by {cause.changed_by} in REDCap{f', {cause.changed_at}' if cause.changed_at else ''})"


def _labelled(texts: Mapping[str, str]) -> str:
    """Those that are not blank, each after its label."""
    return " or ".join(f"{label} {text}" for label, text in texts.items() if text)


@_words.register
def _transfer_retracted(fact: TransferRetracted, history: History) -> str:
    return f"{_request(fact.request, history)} is to be withdrawn: {fact.reason}."


@_words.register
def _transfer_placed(fact: TransferPlaced, history: History) -> str:
    standing = ", where it stood already" if fact.found else ""
    return f"{_request(fact.request, history)} was placed in REDCap as instance {fact.instance}{standing}."


@_words.register
def _transfer_amended(fact: TransferAmended, history: History) -> str:
    return (
        f"{_request(fact.request, history)} was placed in REDCap as instance {fact.instance}, over request "
        f"[{fact.replaced}], which had not been sent."
    )


_FATES: Mapping[Fate, str] = {
    "unsent": "it had not been sent",
    "possibly sent": "it may have been sent, which needs a look downstream",
    "sent": "it had been sent, which needs a look downstream",
}


@_words.register
def _transfer_withdrawn(fact: TransferWithdrawn, history: History) -> str:
    ended = "withdrawn" if fact.by is None else f"replaced by [{fact.by}]"
    return f"{_request(fact.request, history)} was {ended}: {_FATES[fact.fate]}."


@_words.register
def _transfer_recalled(fact: TransferRecalled, history: History) -> str:
    return f"{_request(fact.request, history)} was taken back from the sender's queue{_instance(fact.instance)}."


@_words.register
def _transfer_strayed(fact: TransferStrayed, history: History) -> str:
    request = _request(fact.request, history)
    return f"{request} has a row that can be sent although it had ended{_instance(fact.instance)}: it is ended again."


@_words.register
def _double_found(fact: DoubleFound, history: History) -> str:
    request = _request(fact.request, history)
    return f"{request} stands in REDCap twice, the other row{_instance(fact.instance)}: one of them is ended."


@_words.register
def _double_ended(fact: DoubleEnded, history: History) -> str:
    return f"{_request(fact.request, history)} has one row in REDCap again that can be sent."


_CONSEQUENCES: Mapping[Consequence, str] = {
    "stands": "it stands all the same",
    "amended": "another one takes its place",
    "withdrawn": "nothing asks for it any more",
}


@_words.register
def _study_change_found(fact: StudyChangeFound, history: History) -> str:
    request = _request(fact.request, history)
    return f"{request} rests on what has changed ({', '.join(fact.changed)}): {_CONSEQUENCES[fact.consequence]}."


@_words.register
def _two_patients_found(fact: TwoPatientsFound, _history: History) -> str:
    return (
        f"Its series are of {len(fact.patients)} patients: {of_each(fact.patients)}. Nothing is requested but what a "
        "coupling entry with its study UID asks for."
    )


@_words.register
def _two_patients_resolved(_fact: TwoPatientsResolved, _history: History) -> str:
    return "Its series on disk are of one patient again: all of it is decided anew."


@_words.register
def _two_names_found(fact: TwoNamesFound, _history: History) -> str:
    return (
        f"Its PatientName has nothing in common with that of {', '.join(fact.studies)}, under the same PatientID: "
        "one of them may be somebody else's."
    )


def of_each(patients: Iterable[Sequence[str]]) -> str:
    """The series of each patient."""
    return "; ".join(f"{letter}: {', '.join(series)}" for letter, series in zip(_LETTERS, patients, strict=False))


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@_words.register
def _conflict_found(fact: ConflictFound, _history: History) -> str:
    where = destination(fact.project, fact.event_name)
    if fact.kind == "person":
        return f"Conflict for {where}: a person asked for another name in REDCap. Theirs stands, ours waits."
    outcome = "The coupling entry's stands." if fact.kind == "coupling stands" else "Nothing is requested."
    return f"Conflict for {where}: {_cause_names(fact.causes)} give different names. {outcome}"


def _cause_names(causes: Iterable[Cause]) -> str:
    return " and ".join(cause_name(cause.kind, cause.record_id) for cause in causes)


@_words.register
def _conflict_resolved(fact: ConflictResolved, _history: History) -> str:
    return f"The conflict for {destination(fact.project, fact.event_name)} is over."


@_words.register
def _patient_recognised(fact: PatientRecognised, _history: History) -> str:
    if fact.patient is None and fact.request is not None:
        return f"Found out that a request of it uses its pseudonym in {fact.project}; nobody can tell for whom."
    if fact.patient is None:
        return f"Its PatientID is its pseudonym in {fact.project}: it says nothing about whose it is."
    return f"Found out for whom its pseudonym in {fact.project} is used."


@_words.register
def _patients_joined(fact: PatientsJoined, _history: History) -> str:
    return f"{fact.by} said that its PatientID and another in {fact.project} are one person's: {fact.reason}"


@_words.register
def _request_held(fact: RequestHeld, _history: History) -> str:
    cause = cause_name(fact.cause.kind, fact.cause.record_id)
    about = hold_in_words(fact.kind, fact.details, fact.studies)
    return f"Held for {destination(fact.project, fact.event_name)}, as {cause} asks for it: {about}."


SETTLED_BY: Mapping[HoldKind, str] = {
    "two patients, one pseudonym": (
        "Correct the entry whose pseudonym is another patient's; or, if the PatientIDs are one person's, give "
        "`fiona-ledger same-patient`."
    ),
    "one patient, two pseudonyms": "Correct the entry: the patient has another pseudonym in this project already.",
    "pseudonym does not fit": "Correct the pseudonym where it is asked for, or the project's naming pattern.",
    "project is closed": "It goes on when REDCap's list of projects says that the project is open.",
    "unknown project": "Correct the project's name where it is asked for.",
    "participant withdrew": "It stays so.",
}
"""How what is held goes on."""


def hold_in_words(kind: HoldKind, details: str, studies: Sequence[str]) -> str:
    """Why something is held: the kind, what is wrong, and the other studies that are concerned."""
    others = f"other studies: {', '.join(studies)}" if studies else ""
    return ": ".join([kind, *["; ".join(filter(None, [details, others]))] * bool(details or others)])


@_words.register
def _request_questioned(fact: RequestQuestioned, _history: History) -> str:
    about = hold_in_words(fact.kind, fact.details, fact.studies)
    return (
        f"What is requested for {destination(fact.project, fact.event_name)} stands, and is to be looked at: {about}."
    )


@_words.register
def _request_released(fact: RequestReleased, _history: History) -> str:
    return f"No longer held for {destination(fact.project, fact.event_name)}."


@_words.register
def _decision_deferred(fact: DecisionDeferred, _history: History) -> str:
    where = destination(fact.project, fact.event_name)
    missing = ", ".join(cause_name(cause.kind, cause.record_id) for cause in fact.causes)
    return f"Not decided for {where} yet: REDCap's latest export lacks {missing}, or has it unusable."


@_words.register
def _decision_resumed(fact: DecisionResumed, _history: History) -> str:
    return f"Decided for {destination(fact.project, fact.event_name)}, as no export leaves that open any more."


@_words.register
def _rule_timed_out(fact: RuleTimedOut, _history: History) -> str:
    return f"Routing rule {fact.record_id} ran out of time, and matched nothing."


@_words.register
def _rule_timeout_resolved(fact: RuleTimeoutResolved, _history: History) -> str:
    return f"Routing rule {fact.record_id} no longer runs out of time."


@_words.register
def _decided_by_hand(fact: DecidedByHand, _history: History) -> str:
    outcome = {"retract": "is not to be requested", "reassign": "is requested under another name"}[fact.action]
    return f"{fact.by} decided by hand that {destination(fact.project, fact.event_name)} {outcome}: {fact.reason}"


@_words.register
def _study_delivered(fact: StudyDelivered, _history: History) -> str:
    parts = [] if fact.row is None else ["the study's row"]
    parts += [f"series {uid} as instance {placed['instance']}" for uid, placed in fact.series.items()]
    return f"Written to REDCap: {', '.join(parts) or 'nothing'}."


@_words.register
def _row_refused(fact: RowRefused, _history: History) -> str:
    told = f"REDCap refused the {_row(fact.kind, fact.key)} (field {fact.field or 'unknown'}): {fact.message}"
    return f"{told} In full: {fact.words}" if fact.words and fact.words != fact.message else told


@_words.register
def _row_accepted(fact: RowAccepted, _history: History) -> str:
    return f"REDCap has accepted the {_row(fact.kind, fact.key)}."


@_words.register
def _row_missing(fact: RowMissing, _history: History) -> str:
    return f"Somebody deleted or changed the {_row(fact.kind, fact.key)} in REDCap."


@_words.register
def _row_restored(fact: RowRestored, _history: History) -> str:
    return f"The {_row(fact.kind, fact.key)} was written to REDCap again."


@_words.register
def _lost_update_found(fact: LostUpdateFound, _history: History) -> str:
    key = fact.series if fact.request is None else str(fact.request)
    return f"Somebody wrote the {_row(fact.kind, key or '')}{_instance(fact.instance)} at the same moment."


@_words.register
def _difference_accepted(fact: DifferenceAccepted, _history: History) -> str:
    return f"{fact.by} accepted what REDCap says of the {_row(fact.kind, fact.key)}: {fact.reason}"


@_words.register
def _acknowledged(fact: Acknowledged, _history: History) -> str:
    return f"{fact.by} acknowledged what was noticed at [{fact.position}]: {fact.reason}"


@_words.register
def _study_withdrawn(fact: StudyWithdrawn, _history: History) -> str:
    return f"The participant withdrew from {fact.project} [{fact.withdrawal}]."


@_words.register
def _task_done(fact: TaskDone, _history: History) -> str:
    return f"{fact.by} has seen to what was sent [{fact.position}]: {fact.reason}"


@_words.register
def _study_held(fact: StudyHeld, _history: History) -> str:
    return f"Held for an ID of {fact.project}: {fact.reason}."


@_words.register
def _study_released(fact: StudyReleased, _history: History) -> str:
    return f"No longer held for an ID of {fact.project}: {fact.reason}."


@_words.register
def _study_adopted(_fact: StudyAdopted, _history: History) -> str:
    return "The study's record stood in REDCap before this system."


@_words.register
def _study_requested_by_others(_fact: StudyRequestedByOthers, _history: History) -> str:
    return "Somebody else has requested a transfer of it in REDCap: no ID is drawn for it."


@_words.register
def _transfer_adopted(fact: TransferAdopted, _history: History) -> str:
    sent = ", sent already" if fact.sent else ""
    where = destination(fact.project, fact.event_name)
    return f"A request for {where} stood in REDCap before this system{_instance(fact.instance)}{sent}."


@_words.register
def _adopted_transfer_gone(fact: AdoptedTransferGone, _history: History) -> str:
    return f"A request from before this system is gone{_instance(fact.instance)}."


@_words.register
def _transfer_observed(fact: TransferObserved, _history: History) -> str:
    where = f" to {destination(fact.project, fact.event_name)}" if fact.project else ""
    return f"Somebody else has requested a transfer{where} in REDCap{_instance(fact.instance)}."


@_words.register
def _transfer_sent(fact: TransferSent, history: History) -> str:
    when = f" at {fact.sent_at}" if fact.sent_at else ""
    if _sending(fact) in history.sendings:
        uids = f": study UID {', '.join(fact.mapped_uids)}" if fact.mapped_uids else ""
        reported = _reported(fact, history)
        return f"{reported} was sent once{when}{_instance(fact.instance)}; REDCap tells otherwise of that{uids}."
    return f"{_reported(fact, history)} was sent{when}{_instance(fact.instance)}, as REDCap says."


@_words.register
def _transfer_failed(fact: TransferFailed, history: History) -> str:
    failure = f": {fact.failure}" if fact.failure else ""
    return f"{_reported(fact, history)} failed{_instance(fact.instance)}, as the sender reports{failure}."


@_words.register
def _transfer_reopened(fact: TransferReopened, history: History) -> str:
    instance = _instance(fact.instance)
    return f"{_reported(fact, history)} is to be sent again{instance}: the sender's report was taken away."


def _sending(fact: TransferSent) -> tuple[int | None, int, str]:
    """Equal for all that is told of one sending."""
    return fact.request, fact.instance, fact.sent_at


def _reported(fact: TransferSent | TransferFailed | TransferReopened, history: History) -> str:
    """The request that the sender has reported on: ours by its position, somebody else's by its project."""
    if fact.request is None:
        return f"Somebody else's request for {destination(fact.project, fact.event_name)}"
    return _request(fact.request, history)


def _request(position: int, history: History) -> str:
    request = history.requests.get(position)
    where = "" if request is None else f" for {destination(request.project, request.event_name)}"
    return f"The request [{position}]{where}"


def positions(numbers: Sequence[int]) -> str:
    """Positions in the ledger, as sentences name them."""
    return ", ".join(f"[{number}]" for number in numbers)


def _instance(number: int) -> str:
    return f" (instance {number})"


def _row(kind: str, key: str) -> str:
    """A row of REDCap, as its kind and key name it."""
    names = {"study": "study's row", "series": f"row of series {key}", "transfer": f"row of request [{key}]"}
    return names.get(kind) or f"{kind} row {key}".rstrip()
