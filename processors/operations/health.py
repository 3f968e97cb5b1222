"""Whether the gateway does its work: one judgement for `status`, `check` and the metrics. Pure.

    gather: status.py (the ledger), diary.py (a file)  ->  Facts  ->  findings  ->  words on a screen, an exit code

What a person must look at study by study (`processors.attention`) is no part of it: a gateway with a hundred conflicts
is a healthy one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import Final, NamedTuple, Self

from processors.clocks import TOLD_FROM, believed, is_due

LONGEST_WAIT: Final = timedelta(hours=1)
"""For so long a row may wait to be written before somebody should know: after it, a refused one is tried again."""

APPROVAL_WARNING: Final = timedelta(days=14)
UNVOUCHED_WARNING: Final = timedelta(days=1)
CERTIFICATE_NOTICE: Final = timedelta(days=30)
CERTIFICATE_WARNING: Final = timedelta(days=14)
CERTIFICATE_CRITICAL: Final = timedelta(days=3)


class Severity(IntEnum):
    """How bad a finding is. The numbers are those with which checks of Nagios, Icinga and Docker end."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


class Finding(NamedTuple):
    """One thing that is not as it should be, or will not be for long.

    `since` and `until` are for the reader's clock, so they are not in the words. `advice` is what to do.
    """

    kind: str
    severity: Severity
    words: str
    advice: str
    since: datetime | None = None
    until: datetime | None = None


class Attempts(NamedTuple):
    """How the runs under one command went: the newest that got through, and those since that an error ended.

    `error` is the newest one's words, `error_kind` its class; `failing_since` when the first of them began.
    """

    command: str
    succeeded_at: datetime | None
    failing_since: datetime | None = None
    failed_at: datetime | None = None
    exit_code: int = 0
    error_kind: str = ""
    error: str = ""


class Unrecorded(NamedTuple):
    """A run that ended before the ledger could keep that it did; `since` when such runs began."""

    since: datetime
    at: datetime
    exit_code: int
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the judgement rests on. `unreachable` says why the ledger cannot be asked: then it tells nothing else.

    `ledger_loss` is what shows that the ledger has lost events, and `loss_since` since when it may lack some.
    `first_start` is that of the first run since the last success; `disk_warning` what the latest run said of the raw
    folder; `own_clock_ahead` by how much our clock is, by whose; `silent_witnesses` who vouches for no checkpoint,
    since when, and why, as a predicate.
    """

    now: datetime
    silent_after: timedelta
    clock_tolerance: timedelta
    sender_patience: timedelta
    unreachable: str = ""
    unrecorded: Unrecorded | None = None
    ledger_loss: str = ""
    loss_since: datetime | None = None
    last_success: datetime | None = None
    last_start: datetime | None = None
    first_start: datetime | None = None
    under_way: datetime | None = None
    attempts: Sequence[Attempts] = ()
    disk_warning: str = ""
    disk_since: datetime | None = None
    banned_until: datetime | None = None
    own_clock_ahead: Mapping[str, timedelta] = field(default_factory=dict)
    rows_wait_since: datetime | None = None
    unsent_since: datetime | None = None
    approvals: Sequence[tuple[str, date]] = ()
    silent_witnesses: Sequence[tuple[str, datetime, str]] = ()
    certificate_ends: datetime | None = None

    @classmethod
    def of_nothing(cls, now: datetime, unreachable: str, unrecorded: Unrecorded | None) -> Self:
        """What is known where the ledger cannot be asked."""
        never = timedelta.max
        return cls(
            now=now,
            silent_after=never,
            clock_tolerance=never,
            sender_patience=never,
            unreachable=unreachable,
            unrecorded=unrecorded,
        )


def findings(facts: Facts) -> list[Finding]:
    """What is wrong, the worst first."""
    found = [*_unreachable(facts), *_unrecorded(facts)]
    if not facts.unreachable:
        found += [finding for judge in _JUDGES for finding in judge(facts)]
    return sorted(found, key=lambda finding: -finding.severity)


def worst(found: Sequence[Finding]) -> Severity:
    """How bad it is, all in all."""
    return max((finding.severity for finding in found), default=Severity.OK)


def _on_a_line(message: str) -> str:
    return " ".join(message.split())


def _unreachable(facts: Facts) -> Iterator[Finding]:
    if facts.unreachable:
        since = facts.unrecorded.since if facts.unrecorded is not None and _ends_runs_too(facts) else None
        words = _on_a_line(facts.unreachable)
        yield Finding("unreachable", Severity.CRITICAL, words, "Mend what the message names.", since=since)


def _ends_runs_too(facts: Facts) -> bool:
    """Whether what is in our way is what ends runs before the ledger can tell of them."""
    told = facts.unrecorded
    return told is not None and _on_a_line(told.error) == _on_a_line(facts.unreachable)


def _unrecorded(facts: Facts) -> Iterator[Finding]:
    told = _newest_unrecorded(facts)
    if told is not None and not _ends_runs_too(facts):
        severity = Severity.CRITICAL if told.exit_code != _SERVICE else Severity.WARNING
        yield Finding(
            "not recorded",
            severity,
            f"Runs end before the ledger can tell of them: {_on_a_line(told.error)}",
            "Mend what the message names; the next run that gets through takes this away.",
            since=told.since,
        )


def _newest_unrecorded(facts: Facts) -> Unrecorded | None:
    """The run that ended before it was recorded, while none has got through since."""
    told, success = facts.unrecorded, believed(facts.last_success, facts.now)
    return told if told is not None and (success is None or success < told.at) else None


def _loss(facts: Facts) -> Iterator[Finding]:
    if facts.ledger_loss:
        yield Finding(
            "restored",
            Severity.CRITICAL,
            f"The ledger was restored from a backup, or lost its last events: {_on_a_line(facts.ledger_loss)}",
            "Nothing is requested or drawn until `fiona-ledger adopt --after-restore` has shown what would come "
            "of it, and somebody has said yes (docs/backup.md).",
            since=facts.loss_since,
        )


def _silence(facts: Facts) -> Iterator[Finding]:
    last, started = believed(facts.last_success, facts.now), believed(facts.last_start, facts.now)
    since = last or believed(facts.first_start, facts.now) or started
    is_tried = started is not None and (last is None or started > last)
    unrecorded = _newest_unrecorded(facts)
    if unrecorded is not None and (started is None or started < unrecorded.at):
        # It was started all the same, though the ledger does not know.
        is_tried = facts.now - unrecorded.at < facts.silent_after
        since = (since or unrecorded.since) if is_tried else unrecorded.at
    elif last is None and started is None:
        yield Finding("silent", Severity.WARNING, "No run has been started yet.", _START)
        return
    if since is None or facts.now - since < facts.silent_after:
        return
    if facts.under_way is not None:
        yield Finding(
            "silent",
            Severity.WARNING,
            "No run has got through, and one is under way.",
            "A first run, or a replay, may take hours; `fiona-ledger status` tells where it works.",
            since=since,
        )
    elif is_tried:
        yield Finding(
            "silent",
            Severity.CRITICAL,
            "Runs are started and none gets through.",
            "Start `fiona-ledger run --verbose` by hand: it says what stops it.",
            since=since,
        )
    else:
        yield Finding("silent", Severity.CRITICAL, "No run has been started.", _START, since=since)


_START: Final = (
    "Look whether the timer is on (`systemctl status fiona-ledger.timer`; or fiona-ledger-resident.service, or cron's "
    "table), then start `fiona-ledger run --verbose` by hand."
)
_USAGE, _SERVICE = 2, 3
_LOSS: Final = "LedgerBehind"


def _errors(facts: Facts) -> Iterator[Finding]:
    done = {half: _newest(facts, half) for half in ("incoming", "autoid", "else")}
    for each in facts.attempts:
        if each.error_kind == _LOSS:
            continue  # told once, for all commands
        if each.failed_at is None or all(_is_later(done[half], each.failed_at) for half in halves(each.command)):
            continue
        kind, severity, advice = _ERRORS.get(
            each.error_kind,
            ("error", Severity.WARNING if each.exit_code == _SERVICE else Severity.CRITICAL, _NEXT_RUN),
        )
        words = f"`{each.command}` ended with an error: {_on_a_line(each.error)}"
        yield Finding(kind, severity, words, advice, since=each.failing_since)


_NEXT_RUN: Final = "Mend what the message names; each run tries again."
_REFUSED: Final = (
    "refused",
    Severity.CRITICAL,
    "Trying again changes nothing: have the token, the right or the ban that the message names mended in REDCap.",
)
_ERRORS: Final[Mapping[str, tuple[str, Severity, str]]] = {
    "Refused": _REFUSED,
    "NotPermitted": _REFUSED,
    "Blocked": _REFUSED,
    "ConfigurationError": ("configuration", Severity.CRITICAL, "Mend the configuration; the next run goes on."),
    "KeyProblem": ("configuration", Severity.CRITICAL, "Put the master key back from its copy; the next run goes on."),
    "Banned": (
        "ban",
        Severity.CRITICAL,
        "Have the address taken off REDCap's list of banned ones, and find out what else calls from here.",
    ),
    "WrongClock": ("clock", Severity.CRITICAL, "Have the wrong clock set; the next run goes on by itself."),
}


def halves(command: str) -> Sequence[str]:
    """What a run under this command does: of the periodic job one half, or both; all else is something else."""
    return {
        "run": ("incoming", "autoid"),
        "run --only incoming": ("incoming",),
        "populateIncoming": ("incoming",),
        "run --only autoid": ("autoid",),
        "populateAutoID": ("autoid",),
    }.get(command, ("else",))


def _newest(facts: Facts, half: str) -> datetime | None:
    """When that half was last done. What somebody started by hand and left is over when any run gets through."""
    moments = [
        moment
        for each in facts.attempts
        if (half == "else" or half in halves(each.command)) and (moment := believed(each.succeeded_at, facts.now))
    ]
    return max(moments, default=None)


def _is_later(moment: datetime | None, than: datetime) -> bool:
    return moment is not None and moment > than


def _disk(facts: Facts) -> Iterator[Finding]:
    if facts.disk_warning:
        yield Finding(
            "disk",
            Severity.CRITICAL,
            facts.disk_warning,
            "Have the disk of source.raw mounted; the next run goes on by itself.",
            since=facts.disk_since,
        )


def _ban(facts: Facts) -> Iterator[Finding]:
    if facts.banned_until is not None and facts.banned_until > facts.now:
        yield Finding(
            "ban",
            Severity.CRITICAL,
            "REDCap keeps this address out, and is not called.",
            "Have the address taken off REDCap's list of banned ones, and find out what else calls from here.",
            until=facts.banned_until,
        )


def _clocks(facts: Facts) -> Iterator[Finding]:
    return clock_findings(facts.own_clock_ahead, facts.clock_tolerance)


def clock_findings(own_clock_ahead: Mapping[str, timedelta], tolerance: timedelta) -> Iterator[Finding]:
    """What is to be said of clocks that differ from ours; critical beyond what is tolerated."""
    for whose, ahead in own_clock_ahead.items():
        if abs(ahead) >= TOLD_FROM:
            side = "ahead of" if ahead > timedelta(0) else "behind"
            yield Finding(
                "clock",
                Severity.CRITICAL if abs(ahead) > tolerance else Severity.WARNING,
                f"This machine's clock is {abs(ahead) / timedelta(minutes=1):.0f} minutes {side} that of {whose}.",
                "Have the wrong one set (on Linux, `timedatectl` shows whether it is synchronised).",
            )


def _waiting(facts: Facts) -> Iterator[Finding]:
    rows, unsent = believed(facts.rows_wait_since, facts.now), believed(facts.unsent_since, facts.now)
    if rows is not None and facts.now - rows >= LONGEST_WAIT:
        yield Finding(
            "rows wait",
            Severity.WARNING,
            "Rows wait to be written to REDCap.",
            "They are written when a run reaches REDCap and REDCap takes them.",
            since=rows,
        )
    if unsent is not None and facts.now - unsent >= facts.sender_patience:
        yield Finding(
            "requests wait",
            Severity.WARNING,
            "Requests wait in REDCap to be sent.",
            "Is the sender running, and are the studies' files on disk?",
            since=unsent,
        )


def _endings(facts: Facts) -> Iterator[Finding]:
    today = facts.now.date()
    for project, ends in facts.approvals:
        yield Finding(
            "approval",
            Severity.WARNING if ends - today <= APPROVAL_WARNING else Severity.OK,
            f"The approval of {project} ends on {ends}: nothing new goes there afterwards.",
            "Have it extended, and the date in REDCap's list of projects.",
        )
    yield from certificate_findings(facts.certificate_ends, facts.now)


def certificate_findings(ends: datetime | None, now: datetime) -> Iterator[Finding]:
    """What is to be said of a certificate that ends soon; None: of none that is known."""
    if ends is not None and ends - now <= CERTIFICATE_NOTICE:
        yield Finding(
            "certificate",
            _severity_of_certificate(ends - now),
            "The certificate of REDCap's server runs out: nothing reaches it afterwards.",
            "Have REDCap's administrators renew it.",
            until=ends,
        )


def _witnesses(facts: Facts) -> Iterator[Finding]:
    for name, since, words in facts.silent_witnesses:
        yield Finding(
            "witness",
            Severity.WARNING if is_due(since, facts.now, UNVOUCHED_WARNING) else Severity.OK,
            f"Nothing vouches for the ledger's checkpoint: {name} {_on_a_line(words)}.",
            "Mend what the message names; it is asked again each hour, and nothing else waits for it.",
            since=since,
        )


def _severity_of_certificate(left: timedelta) -> Severity:
    if left <= CERTIFICATE_CRITICAL:
        return Severity.CRITICAL
    return Severity.WARNING if left <= CERTIFICATE_WARNING else Severity.OK


_JUDGES: Final = (_loss, _silence, _errors, _disk, _ban, _clocks, _waiting, _endings, _witnesses)
