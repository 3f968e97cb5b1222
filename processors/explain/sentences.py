"""What each event of a study says, as a sentence for a person. Pure; nothing that is sealed is needed or shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger.events import Event

Data = Mapping[str, Any]


@dataclass(kw_only=True, slots=True)
class Told:
    """What has been told of the study before an event, and what other streams say about it.

    `causes` are the events that hold what rules, entries and IDs said, by position; `requests` what was asked
    for, by the position of the request; `series` the newest content of each series.
    """

    causes: Mapping[int, Event] = field(default_factory=dict)
    requests: dict[int, Data] = field(default_factory=dict)
    series: dict[str, Data] = field(default_factory=dict)


def sentence(event: Event, told: Told) -> str:
    """The event in words; `told` moves on with it."""
    say = _SENTENCES.get(event.type)
    if say is None:
        return f"{event.type}: see `fiona-ledger export --from {event.position} --to {event.position}`."
    words = say(event.data, told)
    if event.type in ("SeriesDiscovered", "SeriesRevised"):
        told.series[event.data["SeriesInstanceUID"]] = event.data
    elif event.type == "TransferRequested":
        told.requests[event.position] = event.data
    return words


def cause_name(kind: object, record_id: object) -> str:
    """The rule, entry, ID or operator behind a decision."""
    words = {
        "rule": f"routing rule {record_id}",
        "coupling": f"coupling entry {record_id}",
        "autoid": f"the ID in AutoID record {record_id}",
        "operator": "an operator's decision",
    }
    return words.get(str(kind), f"{kind} {record_id}")


def destination(data: Data) -> str:
    """The project, with the event where there is one."""
    project = data.get("project") or "?"
    return f"{project}, event {data['event_name']}" if data.get("event_name") else str(project)


def _cause_then(cause: Data, causes: Mapping[int, Event]) -> str:
    """The cause, and what it said then."""
    event = causes.get(cause.get("position", 0))
    name = cause_name(cause.get("kind"), cause.get("record_id"))
    return name + (_said(event.data, cause.get("kind")) if event is not None else "")


def _said(data: Data, kind: object) -> str:
    """What the cause said, without patterns and names."""
    if kind == "rule":
        titles = [f"{side} {data[key]}" for side, key in (("to", "called"), ("from", "calling")) if data.get(key)]
        return f", which then said: {destination(data)}, for series {' or '.join(titles) or 'from nowhere'}"
    if kind == "coupling":
        names = [
            f"{what} {data[key]}" for what, key in (("accession", "accession"), ("study", "study")) if data.get(key)
        ]
        return f", which then said: {destination(data)}, for {' or '.join(names)}"
    return ""


def _arrived(data: Data, _told: Told) -> str:
    files = "" if data.get("NumFiles") is None else f" with {_files(data['NumFiles'])}"
    accession = (
        f", accession number {data['AccessionNumber'].strip()}" if data.get("AccessionNumber", "").strip() else ""
    )
    return (
        f"Series {data['SeriesInstanceUID']} arrived{files}, from {data.get('AETitleCaller') or '(blank)'} to "
        f"{data.get('AETitleCalled') or '(blank)'}{accession}."
    )


def _files(number: int | None) -> str:
    return "1 file" if number == 1 else f"{'an unknown number of' if number is None else number} files"


_REVISED = {
    "identity_fingerprint": "whose it is",
    "AETitleCaller": "the calling AE title",
    "AETitleCalled": "the called AE title",
    "AccessionNumber": "the accession number",
    "ClassifyType": "its classification",
}
_UNTOLD = ("fingerprint", "StudyInstanceUID", "SeriesInstanceUID")


def _revised(data: Data, told: Told) -> str:
    uid = data["SeriesInstanceUID"]
    before = told.series.get(uid)
    if before is None:
        return f"Series {uid} was revised."
    changed = [key for key in data if key not in _UNTOLD and data[key] != before.get(key)]
    if changed == ["NumFiles"]:
        before_then = "" if before.get("NumFiles") is None else f" from {before['NumFiles']}"
        return f"Series {uid} grew{before_then} to {_files(data['NumFiles'])}."
    names = [_REVISED.get(key, key) for key in changed if key != "NumFiles"]
    return f"Series {uid} was revised: {', '.join(names) or 'details'} changed."


def _requested(data: Data, told: Told) -> str:
    parts = [f"Requested for {destination(data)}, because of {_cause_then(data.get('cause', {}), told.causes)}."]
    if data.get("whole_match") is False:
        parts.append("The pattern matched the start of the text only.")
    if data.get("replaces"):
        parts.append(f"It replaces {_requests(data['replaces'])}.")
    return " ".join(parts)


def _retracted(data: Data, told: Told) -> str:
    return f"{_request(data, told)} is to be withdrawn: {data.get('reason')}."


def _placed(data: Data, told: Told) -> str:
    found = ", where it stood already" if data.get("found") else ""
    return f"{_request(data, told)} was placed in REDCap as instance {data.get('instance')}{found}."


def _amended(data: Data, told: Told) -> str:
    return (
        f"{_request(data, told)} was placed in REDCap as instance {data.get('instance')}, over request "
        f"[{data.get('replaced')}], which had not been sent."
    )


def _replaced(data: Data, told: Told) -> str:
    sent = "after it had been sent: this needs a look downstream" if data.get("sent") else "before it was sent"
    return f"{_request(data, told)} was replaced by [{data.get('by')}] {sent}."


def _withdrawn(data: Data, told: Told) -> str:
    if data.get("sent"):
        return f"{_request(data, told)} was withdrawn too late: it had been sent, which needs a look downstream."
    return f"{_request(data, told)} was withdrawn; it had not been sent."


def _conflict(data: Data, _told: Told) -> str:
    causes = " and ".join(cause_name(cause["kind"], cause["record_id"]) for cause in data.get("causes", ()))
    where = destination(data)
    if data.get("kind") == "person":
        return f"Conflict for {where}: a person asked for another name in REDCap. Theirs stands, ours waits."
    if data.get("kind") == "coupling stands":
        return f"Conflict for {where}: {causes} give different names. The coupling entry's stands."
    return f"Conflict for {where}: {causes} give different names. Nothing is requested."


def _refused(data: Data, _told: Told) -> str:
    return f"REDCap refused the {_row(data)} (field {data.get('field') or 'unknown'}): {data.get('message')}"


def _delivered(data: Data, _told: Told) -> str:
    parts = [] if data.get("row") is None else ["the study's row"]
    parts += [f"series {uid} as instance {placed['instance']}" for uid, placed in data.get("series", {}).items()]
    return f"Written to REDCap: {', '.join(parts) or 'nothing'}."


def _acknowledged(data: Data, _told: Told) -> str:
    return f"{data.get('by')} acknowledged what was noticed at [{data.get('position')}]: {data.get('reason')}"


def _adopted_transfer(data: Data, _told: Told) -> str:
    sent = ", sent already" if data.get("sent") else ""
    return f"A request for {destination(data)} stood in REDCap before this system{_instance(data)}{sent}."


def _observed(data: Data, _told: Told) -> str:
    where = f" to {destination(data)}" if data.get("project") else ""
    return f"Somebody else has requested a transfer{where} in REDCap{_instance(data)}."


def _sent(data: Data, told: Told) -> str:
    when = f" at {data['sent_at']}" if data.get("sent_at") else ""
    return f"{_request(data, told)} was sent{when}{_instance(data)}, as REDCap says."


def _failed(data: Data, told: Told) -> str:
    failure = f": {data['failure']}" if data.get("failure") else ""
    return f"{_request(data, told)} failed{_instance(data)}, as the sender reports{failure}."


def _reopened(data: Data, told: Told) -> str:
    return f"{_request(data, told)} is to be sent again{_instance(data)}: the sender's report was taken away."


def _accepted(data: Data, _told: Told) -> str:
    return f"{data.get('by')} accepted what REDCap says of the {_row(data)}: {data.get('reason')}"


def _by_hand(data: Data, _told: Told) -> str:
    what = {"retract": "is not to be requested", "reassign": "is requested under another name"}
    action = what.get(str(data.get("action")), str(data.get("action")))
    return f"{data.get('by')} decided by hand that {destination(data)} {action}: {data.get('reason')}"


def _request(data: Data, told: Told) -> str:
    """The request that an event is about, by its position; one of somebody else by its project."""
    position = data.get("request")
    asked = told.requests.get(position) if isinstance(position, int) else None
    if asked is not None:
        return f"The request [{position}] for {destination(asked)}"
    if position is not None:
        return f"The request [{position}]"
    return f"Somebody else's request for {destination(data)}"


def _requests(positions: object) -> str:
    return ", ".join(f"[{position}]" for position in positions) if isinstance(positions, list) else str(positions)


def _instance(data: Data) -> str:
    return f" (instance {data['instance']})" if data.get("instance") else ""


def _row(data: Data) -> str:
    """A row of REDCap, as its kind and key name it."""
    key = f" {data['key']}" if data.get("key") else ""
    return {"study": "study's row", "series": f"row of series{key}", "transfer": f"row of request{key}"}.get(
        str(data.get("kind")), f"{data.get('kind')} row{key}"
    )


_SENTENCES: Mapping[str, Callable[[Data, Told], str]] = {
    "SeriesDiscovered": _arrived,
    "SeriesRevised": _revised,
    "StudyVanished": lambda _data, _told: "The study's files vanished from disk.",
    "StudyReturned": lambda _data, _told: "The study's files are on disk again.",
    "FileRejected": lambda data, _told: f"The file {data['path']} was rejected: {data['reason']}.",
    "RejectionResolved": lambda data, _told: f"The rejected file {data['path']} is {data['how']} now.",
    "TransferRequested": _requested,
    "TransferRetracted": _retracted,
    "TransferPlaced": _placed,
    "TransferAmended": _amended,
    "TransferReplaced": _replaced,
    "RetractionDelivered": _withdrawn,
    "ConflictFound": _conflict,
    "ConflictResolved": lambda data, _told: f"The conflict for {destination(data)} is over.",
    "RuleTimedOut": lambda data, _told: f"Routing rule {data['record_id']} ran out of time, and matched nothing.",
    "RuleTimeoutResolved": lambda data, _told: f"Routing rule {data['record_id']} no longer runs out of time.",
    "StudyDelivered": _delivered,
    "RowRefused": _refused,
    "RowAccepted": lambda data, _told: f"REDCap has accepted the {_row(data)}.",
    "RowMissing": lambda data, _told: f"Somebody deleted or changed the {_row(data)} in REDCap.",
    "RowRestored": lambda data, _told: f"The {_row(data)} was written to REDCap again.",
    "Acknowledged": _acknowledged,
    "StudyHeld": lambda data, _told: f"Held for an ID of {data['project']}: {data['reason']}.",
    "StudyReleased": lambda data, _told: f"No longer held for an ID of {data['project']}: {data['reason']}.",
    "StudyAdopted": lambda _data, _told: "The study's record stood in REDCap before this system.",
    "TransferAdopted": _adopted_transfer,
    "TransferObserved": _observed,
    "TransferSent": _sent,
    "TransferFailed": _failed,
    "LostUpdateFound": lambda data, _told: f"Somebody wrote the {_row(data)} at the same moment{_instance(data)}.",
    "TransferReopened": _reopened,
    "AdoptedTransferGone": lambda data, _told: f"A request from before this system is gone{_instance(data)}.",
    "DifferenceAccepted": _accepted,
    "DecidedByHand": _by_hand,
}


def has_sentence(type_: str) -> bool:
    """Whether events of this type are told in words of their own."""
    return type_ in _SENTENCES
