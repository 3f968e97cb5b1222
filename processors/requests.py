"""A transfer request, from its decision until nothing of it can be sent any more; and which rows are ours. Pure.

The one place that says which requests are in force, whose a row of `transfers` is, what the sender may
hold of it, and what a row's fields mean. `stored_requests` reads them from the ledger.

A request is one study for one project and event under one pseudonym. Its states, and what leads there:

| state | in force | meaning | reached by |
|---|---|---|---|
| requested | yes | decided; its row waits to be written | TransferRequested |
| placed | yes | a row in REDCap asks for it, ours or a person's (`found`) | TransferPlaced, TransferAmended |
| contested | yes | a person asks for another pseudonym, and theirs stands | ConflictFound that names it |
| ending | no | replaced or retracted, its rows not ended yet | TransferRetracted, TransferRequested in its place |
| withdrawn | no | ended unsent: no row of it is left | TransferWithdrawn (unsent), TransferAmended of its row |
| closed | no | ended, and was sent, or may have been: its row has no name | TransferWithdrawn (sent, possibly sent) |

A row that is somebody else's (`found`) is left as it is.
TransferStrayed leads back to `ending`: a row turned up that can be sent all the same.

What the sender reports of a request stands beside its state (`Report`): awaited, possibly sent, sent
so many times, failed.

Whose a row is (`owner`), the first line that fits:

| a request of ours | the row | is |
|---|---|---|
| known to stand in this instance, not `found`, its end not written yet | says what it says | ours |
| the same, withdrawn or closed: its row was emptied | says what it says again, and its minute | ours: restored |
| the same, known to be deleted or changed by people | says what it says again, and its minute | ours: put back |
| not in force, known to stand elsewhere or nowhere | has no name, its key, and its minute alone | ours: unrecorded |
| in force, known to have stood in this instance | the same | ours: a double that was closed |
| the newest known to stand in this instance, not `found`, not in force | has no name | ours: emptied or closed |
| the same, in force | holds the sender's words alone | ours: deleted when the sender had a copy of it |
| any, known to have stood in this instance | the same | ours: as above |
| any | says what it says, and tells the minute of the request | ours: its import was never recorded |
| `found` in this instance | says what it says | somebody else's, and answers it |
| any other | whatever it says | somebody else's |

So the same asked for by a person, in another minute, never makes a request of ours placed or sent.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from processors.alterations import is_saved_as
from processors.bounds import storable
from processors.clocks import believed
from processors.events.fact import Cause

State = Literal["requested", "placed", "contested", "ending", "withdrawn", "closed"]
ReportState = Literal["awaited", "possibly sent", "sent", "failed"]

IN_FORCE: tuple[State, ...] = ("requested", "placed", "contested")
"""The states in which a request is what somebody wants."""

_EMPTIED: tuple[State, ...] = ("withdrawn", "closed")

GRACE = timedelta(minutes=1)
"""The sender looks at `transfers` every minute: a row that stood longer may be in its hands."""

MINUTE = "%Y-%m-%d %H:%M"
"""How REDCap writes a moment (its validation datetime_ymd)."""


class Key(NamedTuple):
    """What a study may be requested for only once."""

    project: str
    event_name: str


class Report(NamedTuple):
    """What the sender has written into a row: `sent_at` as REDCap has it, the codes ticked, the failure's class.

    `sent_at` is filled in after a failure, too. `mapped_uids` are the study UIDs under which it was sent.
    """

    state: ReportState
    sent_at: str | None = None
    errors: tuple[str, ...] = ()
    failure: str | None = None
    mapped_uids: tuple[str, ...] = ()


AWAITED = Report("awaited")
"""Nothing yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferRow:
    """A row of `transfers` as REDCap has it, whoever made it, blanks stripped.

    `requested` is the minute that it tells. `error_fields` are those in which the sender may have noted errors.
    """

    study: str
    instance: int
    project: str
    event_name: str
    name: str
    requested: str
    report: Report = AWAITED
    error_fields: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """What it asks for."""
        return Key(self.project, self.event_name)

    @property
    def is_sendable(self) -> bool:
        """Whether the sender carries it out, now or when a late series arrives."""
        return bool(self.project and self.name)

    @property
    def is_report_alone(self) -> bool:
        """Whether the sender has written into it, and nobody else has a word there."""
        return not (self.project or self.name) and self.report != AWAITED

    @property
    def is_blank(self) -> bool:
        """Whether it says nothing at all: such as a row that was emptied."""
        return not (self.project or self.name) and self.report == AWAITED


class WrittenRow(NamedTuple):
    """A row in which a request of ours stands or stood, since when, and whether its file was taken back."""

    instance: int
    since: datetime
    recalled: bool = False

    def may_be_taken(self, now: datetime) -> bool:
        """Whether the sender may hold a copy of it. A time that lies ahead says nothing: the careful answer holds."""
        since = believed(self.since, now)
        return not self.recalled and (since is None or now - since > GRACE)


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferRequest:
    """A request of ours, whatever became of it.

    `position` is that of its TransferRequested. `pseudonym` is None where it was forgotten; `name_fingerprint` is the
    keyed hash of it that stays, None where it came from the PatientID or PatientName.
    `requested_at` is in the hospital's zone: its row tells that minute. `placed_at` is when its row was
    recorded to stand in `instance`. `replaces` are the requests in whose place it was made. `recalled`: its
    file was taken back from the sender's queue; `taken`: the sender's folders tell that it has carried it out.
    `earlier` are the rows of ours in which it stood before it came to stand in `instance`, of which the sender may hold
    copies all the same, and doubles.
    `sends` is how often it was sent, last at `sent_at` as REDCap had it, under `sent_uids`, whatever the sender has
    reported since; `told` are the sendings, each as the instance and the date that the sender wrote there.
    `is_missing`: people are known to have deleted or changed its row, or deleted its record.
    `is_set_apart`: it contradicts what the ledger holds, and is not written.
    """

    position: int
    study: str
    key: Key
    pseudonym: str | None
    cause: Cause
    requested_at: datetime
    state: State
    name_fingerprint: str | None = None
    instance: int | None = None
    found: bool = False
    placed_at: datetime | None = None
    replaces: tuple[int, ...] = ()
    recalled: bool = False
    taken: bool = False
    earlier: tuple[WrittenRow, ...] = ()
    sends: int = 0
    sent_at: str | None = None
    sent_uids: tuple[str, ...] = ()
    told: frozenset[str] = frozenset()
    is_missing: bool = False
    is_set_apart: bool = False
    report: Report = AWAITED

    @property
    def project(self) -> str:
        """The research project that the study is to go to."""
        return self.key.project

    @property
    def event_name(self) -> str:
        """The project's event; blank where it has none."""
        return self.key.event_name

    @property
    def in_force(self) -> bool:
        """Whether somebody wants it."""
        return self.state in IN_FORCE

    @property
    def was_sent(self) -> bool:
        """Whether it was ever sent: a later attempt may have failed, or somebody have taken the date away."""
        return self.sends > 0 or self.report.state == "sent"

    @property
    def minute(self) -> str:
        """The minute that its row tells."""
        return self.requested_at.strftime(MINUTE)

    def says(self, row: TransferRow) -> bool:
        """Whether the row asks for the same, as REDCap saves it. A forgotten pseudonym equals any."""
        if not row.name or not self.is_for(row.key):
            return False
        return self.pseudonym is None or is_saved_as(storable(self.pseudonym), row.name)

    def stands_in(self, rows: Iterable[TransferRow]) -> bool:
        """Whether the row where it was placed is among these and says what it asks for."""
        return any(
            row.instance == self.instance and (self.says(row) if self.found else self.is_said_here_by(row))
            for row in rows
        )

    def is_said_here_by(self, row: TransferRow) -> bool:
        """Whether the row, where ours is known to stand, is ours: once ours was emptied or deleted, by its minute."""
        is_gone = self.is_missing or self.state in _EMPTIED
        return self.says(row) and (not is_gone or self.minute == row.requested)

    def is_for(self, key: Key) -> bool:
        """Whether a row with that key is for the same project and event."""
        return self.key == key or all(map(is_saved_as, self.key, key))

    def is_closed_in(self, row: TransferRow) -> bool:
        """Whether the row reads as closing leaves one of it, or a double of it."""
        is_over = not self.in_force or row.instance in self.instances
        return is_over and not row.name and self.is_for(row.key)

    def may_be_taken(self, now: datetime) -> bool:
        """Whether the sender may hold a copy of a row of it: it may be sent as it was then, whatever the row says."""
        row = WrittenRow(self.instance or 0, self.placed_at or self.requested_at, self.recalled)
        return self.taken or row.may_be_taken(now) or self.was_left_behind(now)

    def was_left_behind(self, now: datetime) -> bool:
        """Whether the sender may hold a copy of a row in which it stood before."""
        return any(row.may_be_taken(now) for row in self.earlier)

    @property
    def instances(self) -> tuple[int, ...]:
        """The rows of ours in which it stands or stood, the latest first."""
        own = () if self.found or self.instance is None else (self.instance,)
        return own + tuple(row.instance for row in reversed(self.earlier))

    def was_recalled(self, instance: int) -> bool:
        """Whether the file of that row was taken back."""
        return (self.recalled and instance == self.instance) or any(
            row.recalled for row in self.earlier if row.instance == instance
        )

    def is_told(self, row: TransferRow) -> bool:
        """Whether it is told that it was sent from this row, at that date."""
        return row.report.state == "sent" and f"{row.instance} {row.report.sent_at}" in self.told


class Owner(NamedTuple):
    """Whose a row is: our `request` that it tells of, if any, and whether this system `wrote` it."""

    request: TransferRequest | None
    wrote: bool


NOBODY_KNOWN = Owner(None, wrote=False)
"""Somebody else's, who asks for what none of our requests asks for there."""


def owner(row: TransferRow, requests: Iterable[TransferRequest]) -> Owner:
    """Whose the row is, by the table above. Of several requests that fit, one in force counts, and the newest."""
    newest_first = sorted(requests, key=lambda request: (request.in_force, request.position), reverse=True)
    standing = [request for request in newest_first if request.instance == row.instance]
    written = [request for request in standing if not request.found]
    for request in written:
        if request.is_said_here_by(row):
            return Owner(request, wrote=True)
    unrecorded = [r for r in newest_first if r.minute == row.requested and r not in standing]
    closed = next((request for request in unrecorded if request.is_closed_in(row)), None)
    if closed is not None and all(request.minute != row.requested for request in written):
        return Owner(closed, wrote=True)
    stood = [request for request in newest_first if row.instance in request.instances]
    if stood and row.is_report_alone:
        return Owner(stood[0], wrote=True)
    if written and not row.name and not written[0].in_force:
        return Owner(written[0], wrote=True)
    for request in unrecorded:
        if request.says(row):
            return Owner(request, wrote=True)
    for request in standing:
        if request.found and request.says(row):
            return Owner(request, wrote=False)
    return NOBODY_KNOWN


def stands_elsewhere(
    request: TransferRequest, rows: Iterable[TransferRow], requests: Iterable[TransferRequest]
) -> TransferRow | None:
    """A sendable row of a placed request beside the one that was recorded: written again by an import that never was,
    or put back by people after it was written again.
    """
    ours = list(requests)
    others = (row for row in rows if row.instance != request.instance and row.is_sendable)
    return next((row for row in others if owner(row, ours) == Owner(request, wrote=True)), None)


def rows_written(rows: Iterable[TransferRow], requests: Sequence[TransferRequest]) -> dict[int, list[TransferRow]]:
    """The rows that this system wrote, by the request that each tells of (its position)."""
    written: dict[int, list[TransferRow]] = {}
    for row in rows:
        request, wrote = owner(row, requests)
        if request is not None and wrote:
            written.setdefault(request.position, []).append(row)
    return written
