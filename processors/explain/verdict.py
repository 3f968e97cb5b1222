"""What is requested for a study and why; where nothing is, the plain reason. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from processors.events.fact import Cause, CauseKind
from processors.events.holds import WITHDREW
from processors.explain.conditions import EntryAccount, RuleAccount
from processors.explain.sentences import SETTLED_BY, cause_name, destination, hold_in_words, of_each, positions
from processors.requests import Key, TransferRequest
from processors.routing.decisions import Conflict, KnownHold, Outcome

_NAMED_AT_MOST = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """All that the verdict goes by.

    `requests` are those of ours that are in force or being withdrawn, `ever_requested` is what ever was. `outcome` is
    what deciding all of the study's series anew would come to, `wanted` what is asked for then, whether it stands or
    not; `undecided`: the next run will do so. `others`: somebody else has requested a transfer; `by_hand`: what an
    operator decided about; `holds` is what is asked for and held. `patients` are the series of each. `doubted` are
    rules and entries with a say about it that are missing from REDCap's latest export. `id_projects` draw IDs for the
    AE title that the study was addressed to, if they are not `doubted_projects`. `rules` holds the accounts of each of
    its origins.
    """

    on_disk: bool
    undecided: bool
    forgotten: bool
    requests: Sequence[TransferRequest]
    conflicts: Sequence[Conflict]
    holds: Mapping[Key, KnownHold]
    held: tuple[str, str] | None
    patients: Sequence[Sequence[str]]
    others: bool
    by_hand: Collection[Key]
    ever_requested: Collection[Key]
    outcome: Outcome
    wanted: Collection[Key]
    doubted: Sequence[tuple[CauseKind, str]]
    late: Sequence[str]
    id_projects: Sequence[str]
    doubted_projects: Sequence[str]
    rules: Sequence[Sequence[RuleAccount]]
    entries: Sequence[EntryAccount]


def verdict(situation: Situation) -> list[str]:
    """What is requested, what keeps more from being requested, and what deciding anew would change."""
    lines = [_request(request, situation) for request in situation.requests]
    lines += [_conflict(conflict) for conflict in situation.conflicts]
    requested = {request.key for request in situation.requests}
    lines += [_held(key, hold, situation) for key, hold in situation.holds.items()]
    lines += [_withdrawn(key) for key in sorted(set(situation.by_hand) - requested)]
    if situation.held is not None:
        project, reason = situation.held
        waits = "No ID is drawn for it in" if reason == WITHDREW else "It waits for an ID of"
        lines.append(f"{waits} {project}: {reason}.")
    if len(situation.patients) > 1:
        lines.append(
            f"Its series are of {len(situation.patients)} patients ({of_each(situation.patients)}): while that lasts, "
            "nothing asks for it but a coupling entry with its study UID."
        )
    if situation.others:
        lines.append("Somebody else has requested transfers of it in REDCap: see the timeline.")
    lines += _doubts(situation)
    lines += _anew(situation)
    if not lines:
        lines.append(_nothing(situation))
    lines += [f"Routing rule {record} ran out of time on it: it matches nothing." for record in situation.late]
    lines += _near_misses(situation)
    return lines


def _request(request: TransferRequest, situation: Situation) -> str:
    state = {
        "requested": "it contradicts what the ledger holds, and is not written"
        if request.is_set_apart
        else "it waits to be written to REDCap",
        "placed": f"somebody has deleted or changed its row in REDCap, instance {request.instance}"
        if request.is_missing
        else f"it stands in REDCap as instance {request.instance}",
        "contested": "a person asked for another name in REDCap, which stands, and ours waits",
        "ending": "it is being withdrawn",
    }[request.state]
    sent = ", and has been sent" if request.was_sent else ""
    line = f"Requested for {destination(*request.key)}, because of {_name(request.cause)} [{request.position}]"
    line += f": {state}{sent}."
    if request.cause.kind == "rule" and request.key not in situation.wanted and not situation.forgotten:
        line += " Today's rules would not ask for it any more; it stands all the same."
    return line


def _name(cause: Cause) -> str:
    return cause_name(cause.kind, cause.record_id)


def _names(causes: Iterable[Cause]) -> str:
    return " and ".join(map(_name, causes))


def _conflict(conflict: Conflict) -> str:
    causes = _names(conflict.causes)
    key = destination(*conflict.key)
    if conflict.kind == "person":
        return f"Contested for {key}: a person asked for another name in REDCap, which stands; {causes} waits."
    if conflict.kind == "coupling stands":
        return f"Conflict for {key}: {causes} give different names; the coupling entry's stands."
    return f"Nothing is requested for {key}: {causes} give different names. Correct them in REDCap."


def _held(key: Key, hold: KnownHold, situation: Situation) -> str:
    goes_on = any(request.candidate.key == key for request in situation.outcome.requests)
    settled_by = "Nothing is in its way any more." if goes_on else SETTLED_BY[hold.obstacle.kind]
    if hold.obstacle.kind == WITHDREW:
        settled_by += " `fiona-ledger status` has the command that takes it off the list."
    return (
        f"Held for {destination(*key)} [{hold.position}], as {_name(hold.cause)} asks for it: "
        f"{hold_in_words(*hold.obstacle)}. {settled_by}"
    )


def _withdrawn(key: Key) -> str:
    return (
        f"Withdrawn by hand for {destination(*key)}: rules do not ask for it again, nor do coupling entries of before, "
        "only one that is made or changed since."
    )


def _doubts(situation: Situation) -> Iterator[str]:
    """What waits because REDCap's latest export has left something out, or a rule cannot be used as it reads."""
    for kind, record in situation.doubted:
        yield (
            f"{_capital(cause_name(kind, record))} is missing from REDCap's latest export, or cannot be used as it "
            "reads; what it would decide waits until that is settled."
        )
    for project in situation.doubted_projects:
        yield (
            f"The project {project} is missing from REDCap's latest export of projects; no ID is drawn for it before "
            "the next run sees the same."
        )


def _anew(situation: Situation) -> Iterator[str]:
    """What deciding all of the study again would change."""
    for request in situation.outcome.requests:
        cause, key = request.candidate.cause, request.candidate.key
        instead = f", in place of {positions(request.replaces)}" if request.replaces else ""
        if situation.undecided or cause.kind == "coupling" or key in situation.holds:
            yield f"The next run requests it for {destination(*key)}, because of {_name(cause)}{instead}."
        else:
            yield (
                f"{_capital(_name(cause))} would now have it requested for {destination(*key)}{instead}, but a rule is "
                "applied only when a study gains a series, and then it was not so. "
                "`fiona-ledger replay --project NAME` applies today's rules to studies of before."
            )
    for held in situation.outcome.held:
        cause, key, known = held.candidate.cause, held.candidate.key, situation.holds.get(held.candidate.key)
        if known is None or known.obstacle != held.obstacle:
            is_next = situation.undecided or known is not None
            start = "The next run holds it" if is_next else "Decided anew, it would be held"
            yield (
                f"{start} for {destination(*key)}, as {_name(cause)} asks for it: {hold_in_words(*held.obstacle)}. "
                f"{SETTLED_BY[held.obstacle.kind]}"
            )
    for conflict in situation.outcome.conflicts:
        causes = _names(conflict.causes)
        yield f"Decided anew, it would be a conflict for {destination(*conflict.key)}: {causes} give different names."


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _nothing(situation: Situation) -> str:
    waiting = [account.entry.record_id for account in situation.entries if account.named]
    if waiting and not situation.on_disk:
        return (
            f"Nothing is requested: coupling entry {', '.join(waiting)} names it, but its files have vanished; the "
            "entry waits until they arrive again."
        )
    start = "Nothing will be requested by the next run" if situation.undecided else "Nothing is requested"
    any_more = " any more" if situation.ever_requested else ""
    return f"{start}{any_more}: {_no_rule(situation)}, and no usable coupling entry names it.{_drawing(situation)}"


def _drawing(situation: Situation) -> str:
    had_one = {key.project for key in situation.ever_requested}
    told = ""
    if before := [project for project in situation.id_projects if project in had_one]:
        told += (
            f" {', '.join(before)} draws IDs for studies addressed to its AE title; what has gone out for this one "
            "before, or may have, is not asked for under another by itself."
        )
    if others := [project for project in situation.id_projects if project not in had_one]:
        told += (
            f" {', '.join(others)} draws IDs for studies addressed to its AE title, and has drawn none for this one "
            "yet: only those are considered that arrived within autoid.window_days."
        )
    return told


def _no_rule(situation: Situation) -> str:
    """Why no rule matches, in a few words."""
    accounts = [account for of_origin in situation.rules for account in of_origin]
    same_title = {account.rule.record_id for account in accounts if account.from_there and account.rule.active}
    if any(account.standing == "matches" for account in accounts):
        return "what matches has been decided otherwise (see the timeline)"
    if not accounts:
        return "there is no routing rule"
    if not any(account.rule.active for account in accounts):
        return "no routing rule is active"
    if not same_title:
        return "no active routing rule has its called or calling AE title"
    if situation.forgotten:
        return "whose it is has been forgotten, so that no pattern can be tried on it"
    if situation.late:
        return "a routing rule with its AE title ran out of time"
    number = f"routing rule {same_title.pop()} has" if len(same_title) == 1 else f"{len(same_title)} routing rules have"
    return f"{number} its AE title, but neither PatientID nor PatientName is accepted"


def _near_misses(situation: Situation) -> Iterator[str]:
    near: dict[str, None] = {}
    for account in (account for of_origin in situation.rules for account in of_origin):
        if account.standing == "near miss":
            near[f"routing rule {account.rule.record_id} ({'; '.join(account.notes)})"] = None
    for entry in situation.entries:
        if entry.standing == "near miss":
            near[f"coupling entry {entry.entry.record_id} ({'; '.join(entry.notes)})"] = None
    if near:
        more = f", and {len(near) - _NAMED_AT_MOST} more" if len(near) > _NAMED_AT_MOST else ""
        yield f"Near misses: {', '.join(list(near)[:_NAMED_AT_MOST])}{more}."
