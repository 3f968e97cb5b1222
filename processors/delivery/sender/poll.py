"""The look at `transfers` that each run takes: one export of what has changed there since the last one.

REDCap selects by its log, whose clock and zone need not be ours. So each look reaches back before the
last one, and once an hour by more than any two zones differ; what it meets twice is recorded once.

A record that has changed is exported whole: a row of ours that is not there was deleted. Of a record that is not
exported nothing is known, as REDCap can leave records out without a word.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import orjson
from sqlalchemy import text

from ledger.batching import Progress
from processors.clocks import believed, is_due
from processors.delivery.actual import transfers_project
from processors.delivery.sender.changes import changes, deleted_or_back
from processors.delivery.sender.known import fingerprint, known_studies
from processors.delivery.sender.record import sealed_change
from processors.events.fact import Fact
from processors.events.transfers import TransferFailed, TransferObserved, TransferReopened, TransferSent
from processors.gateway import Gateway, Work
from processors.observed_list import before_exports, listed_project, tell_unreadable
from processors.redcap import Redcap, Row
from processors.redcap.transfers import NEEDED_FIELDS, READ_FIELDS, RECORD_ID, transfers_by_study

OVERLAP = timedelta(minutes=10)
LONG_OVERLAP = timedelta(hours=26)
LONG_LOOK_AFTER = timedelta(hours=1)
FIRST_REACH = timedelta(days=1)
"""What happened before is not told by looks: `reconcile` compares everything."""

PORTION = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What a look found new, counted: requests by others, and what the sender reported."""

    requested: int = 0
    sent: int = 0
    failed: int = 0
    reopened: int = 0

    @property
    def is_anything(self) -> bool:
        """Whether there was anything new."""
        return (self.requested, self.sent, self.failed, self.reopened) != (0, 0, 0, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """A site's looks: `since` when nothing has been missed, the last one, and the last one that reached far back.

    `seen` is the keyed hash of all that the last one saw, and `head` the ledger's last event by then.
    """

    since: datetime
    looked_at: datetime
    long_look_at: datetime
    seen: str = ""
    head: int = 0


def look(gateway: Gateway, redcap: Redcap, progress: Progress | None = None) -> Looked:
    """Records what has changed in `transfers` since the last look. Raises `ServiceError` where REDCap fails.

    Makes one call; where REDCap's dictionary has turned out to be another than was known, two more. A
    site to which nothing has come needs no look.
    """
    with gateway.begin() as work:
        if not work.execute(_ANYTHING_KNOWN, {"site": gateway.site}).scalar_one():
            return Looked()
        memory = _memory(work, gateway.site)
        before = before_exports(work)
    begin, after = window(memory, gateway.clock())
    project = listed_project(gateway, redcap, transfers_project(redcap), NEEDED_FIELDS, before)
    exported = project.export(READ_FIELDS, changed_since=begin, look_up=False)
    seen = gateway.vault.fingerprint(orjson.dumps(exported))
    counts: Counter[type[Fact]] = Counter()
    # After 12,500 studies were written, all of them are seen again for ten minutes: unsealing their
    # pseudonyms to find nothing new took a second a run.
    if memory is None or (memory.seen, memory.head) != (seen, before.head):
        counts = _record(gateway, exported, progress)
    # Moved last: killed before, the next run looks again from the same time on.
    with gateway.begin() as work:
        tell_unreadable(work, project, read={row[RECORD_ID] for row in exported})
        remembered = asdict(after) | {"seen": seen, "head": before.head + counts.total()}
        work.execute(_REMEMBER, {"site": gateway.site, **remembered})
    return Looked(
        requested=counts[TransferObserved],
        sent=counts[TransferSent],
        failed=counts[TransferFailed],
        reopened=counts[TransferReopened],
    )


def window(memory: Memory | None, now: datetime) -> tuple[datetime, Memory]:
    """From when on to ask for changes, and what to remember afterwards. Pure."""
    if memory is None:
        return now - LONG_OVERLAP, Memory(since=now - FIRST_REACH, looked_at=now, long_look_at=now)
    is_long = is_due(memory.long_look_at, now, LONG_LOOK_AFTER)
    begin = (believed(memory.looked_at, now) or now) - (LONG_OVERLAP if is_long else OVERLAP)
    since = believed(memory.since, now) or now - FIRST_REACH
    return begin, Memory(since=since, looked_at=now, long_look_at=now if is_long else memory.long_look_at)


_ANYTHING_KNOWN = text("""
    select exists (select from gateway.study where site = :site)
        or exists (select from gateway.adopted_study where site = :site)
""")
_MEMORY = text("select since, looked_at, long_look_at, seen, head from gateway.look where site = :site")
_REMEMBER = text("""
    insert into gateway.look (site, since, looked_at, long_look_at, seen, head)
    values (:site, :since, :looked_at, :long_look_at, :seen, :head)
    on conflict (site) do update
       set since = excluded.since, looked_at = excluded.looked_at, long_look_at = excluded.long_look_at,
           seen = excluded.seen, head = excluded.head
""")


def _memory(work: Work, site: str) -> Memory | None:
    row = work.execute(_MEMORY, {"site": site}).mappings().one_or_none()
    return None if row is None else Memory(**row)


def _record(gateway: Gateway, exported: Sequence[Row], progress: Progress | None) -> Counter[type[Fact]]:
    by_study = transfers_by_study(exported, gateway.sender.information_codes)
    studies = list(by_study)
    counts: Counter[type[Fact]] = Counter()
    for start in range(0, len(studies), PORTION):
        portion = studies[start : start + PORTION]
        with gateway.begin() as work:
            known = known_studies(work, portion)
            printed = [(row, fingerprint(gateway.vault, row)) for study in portion for row in by_study[study]]
            facts = [fact for study in known for fact in deleted_or_back(by_study[study], known[study])]
            facts += changes(printed, known)
            work.record(sealed_change(work, fact) for fact in facts)
        counts.update(type(fact) for fact in facts)
        if progress is not None:
            progress(start + len(portion), len(studies))
    return counts
