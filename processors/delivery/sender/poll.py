"""The look at `transfers` that each run takes: one export of what has changed there since the last one.

REDCap selects by its log, whose zone need not be ours, and in which a change stands under the moment its request began.
So each look reaches back before the last one; what it meets twice is recorded once. Zones differ by quarters of an
hour: a look that reaches back by less and is told of anything shows that REDCap's log is not behind. For a day then,
looks reach back a minute, so that what was just placed is not fetched again and again, and once an hour to the last
such look. Without such a sign they reach back ten minutes, and once an hour by more than any two zones differ.
Each reaches back to the look before the last one at least: a record that one export leaves out is in the next.

A record that has changed is exported whole: a row of ours that is not there was deleted. Of a record that is not
exported nothing is known, as REDCap can leave records out without a word.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, tzinfo

import orjson
from sqlalchemy import text

from ledger.batching import Progress
from processors.clocks import believed, is_due
from processors.delivery.actual import transfers_project
from processors.delivery.sender.changes import changes, deleted_or_back, is_told_again
from processors.delivery.sender.known import fingerprint, known_studies
from processors.delivery.sender.queue import Queue
from processors.delivery.sender.record import sealed_change
from processors.events.fact import Fact
from processors.events.transfers import TransferFailed, TransferObserved, TransferPlaced, TransferReopened, TransferSent
from processors.gateway import Gateway, Work
from processors.observed_list import before_exports, listed_project, tell_unreadable
from processors.redcap import Redcap, Row
from processors.redcap.transfers import NEEDED_FIELDS, READ_FIELDS, RECORD_ID, transfers_by_study

SHORT_OVERLAP = timedelta(minutes=1)
OVERLAP = timedelta(minutes=10)
LONG_OVERLAP = timedelta(hours=26)
CLOSEST_ZONES = timedelta(minutes=15)
HEARD_FOR = timedelta(days=1)
LONG_LOOK_AFTER = timedelta(hours=1)
FIRST_REACH = timedelta(days=1)
"""What happened before is not told by looks: `reconcile` compares everything."""

PORTION = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What a look found new, counted: requests by others, and what the sender reported.

    `told_again` are sendings that were known, of which another study UID is told, say.
    """

    requested: int = 0
    sent: int = 0
    told_again: int = 0
    failed: int = 0
    reopened: int = 0

    @property
    def is_anything(self) -> bool:
        """Whether there was anything new."""
        return self != Looked()


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """A site's looks: `since` when nothing has been missed, the last one, and the last one that reached far back.

    `looked_before` is the look before the last one, None where that was the first. `heard_at` is when one that reached
    back by less than zones differ was told of something. `seen` is the keyed hash
    of all that the last one saw, and `head` the ledger's last event by then.
    """

    since: datetime
    looked_at: datetime
    long_look_at: datetime
    looked_before: datetime | None = None
    heard_at: datetime | None = None
    seen: str = ""
    head: int = 0


def look(
    gateway: Gateway, redcap: Redcap, progress: Progress | None = None, *, at_most_every: timedelta = timedelta(0)
) -> Looked:
    """Records what has changed in `transfers` since the last look. Raises `ServiceError` where REDCap fails.

    Makes one call; where REDCap's dictionary has turned out to be another than was known, two more. A
    site to which nothing has come needs no look, nor one at which the last look was less than `at_most_every` ago.
    """
    with gateway.begin() as work:
        is_anything_known, memory = _known(work)
        if not is_anything_known:
            return Looked()
        if memory is not None and not is_due(memory.looked_at, gateway.clock(), at_most_every):
            return Looked()
        before = before_exports(work)
    begin, after = window(memory, gateway.clock(), gateway.zone)
    begin -= max(redcap.behind, timedelta(0))
    project = listed_project(gateway, redcap, transfers_project(redcap), NEEDED_FIELDS, before)
    exported = project.export(READ_FIELDS, changed_since=begin, look_up=False)
    seen = gateway.vault.fingerprint(orjson.dumps(exported))
    counts: Counter[type[Fact]] = Counter()
    told_again = 0
    # After 12,500 studies were written, all of them are seen again for ten minutes: unsealing their
    # pseudonyms to find nothing new took a second a run.
    if memory is None or (memory.seen, memory.head) != (seen, before.head):
        counts, told_again = _record(gateway, exported, progress)
    # Moved last: killed before, the next run looks again from the same time on.
    with gateway.begin() as work:
        tell_unreadable(work, project, read={row[RECORD_ID] for row in exported})
        remembered = asdict(after) | {"seen": seen, "head": before.head + counts.total()}
        if exported and after.looked_at - begin < CLOSEST_ZONES:
            remembered["heard_at"] = after.looked_at
        work.execute(_REMEMBER, {"site": gateway.site, **remembered})
    return Looked(
        requested=counts[TransferObserved],
        sent=counts[TransferSent] - told_again,
        told_again=told_again,
        failed=counts[TransferFailed],
        reopened=counts[TransferReopened],
    )


def window(memory: Memory | None, now: datetime, zone: tzinfo | None = None) -> tuple[datetime, Memory]:
    """From when on to ask for changes, and what to remember then. Pure. `zone` is that in which REDCap is asked."""
    if memory is None:
        return now - LONG_OVERLAP, Memory(since=now - FIRST_REACH, looked_at=now, long_look_at=now)
    heard_at = memory.heard_at if _is_heard(memory.heard_at, now, zone) else None
    is_long = is_due(memory.long_look_at, now, LONG_LOOK_AFTER) or heard_at != memory.heard_at
    last, overlap = _reach(memory, is_long=is_long, is_heard=heard_at is not None)
    begin = (believed(last, now) or now) - overlap
    if (before := believed(memory.looked_before, now)) is not None:
        begin = min(begin, before - SHORT_OVERLAP)
    return begin, Memory(
        since=believed(memory.since, now) or now - FIRST_REACH,
        looked_at=now,
        looked_before=believed(memory.looked_at, now),
        long_look_at=now if is_long else memory.long_look_at,
        heard_at=heard_at,
    )


def _reach(memory: Memory, *, is_long: bool, is_heard: bool) -> tuple[datetime, timedelta]:
    """The look back to which the next one reaches, and by how much farther."""
    if is_heard:
        return (memory.long_look_at, OVERLAP) if is_long else (memory.looked_at, SHORT_OVERLAP)
    # Where it is not heard any more, it may have been behind ever since.
    last = memory.heard_at or memory.looked_at
    return last, LONG_OVERLAP if is_long else OVERLAP


def _is_heard(heard_at: datetime | None, now: datetime, zone: tzinfo | None) -> bool:
    """Whether REDCap's log has shown that it is not behind, and this machine's clock was not put forward since."""
    if heard_at is None or is_due(heard_at, now, HEARD_FOR):
        return False
    return heard_at.astimezone(zone).utcoffset() == now.astimezone(zone).utcoffset()


_KNOWN = text("""
    select exists (select from gateway.study where site = :site)
        or exists (select from gateway.adopted_study where site = :site) as is_anything,
           since, looked_at, looked_before, long_look_at, heard_at, seen, head
      from (values (1)) as always left join gateway.look on site = :site
""")
_REMEMBER = text("""
    insert into gateway.look (site, since, looked_at, looked_before, long_look_at, heard_at, seen, head)
    values (:site, :since, :looked_at, :looked_before, :long_look_at, :heard_at, :seen, :head)
    on conflict (site) do update
       set since = excluded.since, looked_at = excluded.looked_at, looked_before = excluded.looked_before,
           long_look_at = excluded.long_look_at, heard_at = excluded.heard_at, seen = excluded.seen,
           head = excluded.head
""")


def _known(work: Work) -> tuple[bool, Memory | None]:
    """Whether anything has come to the site, and what it remembers of its looks."""
    row = dict(work.execute(_KNOWN, {"site": work.site}).mappings().one())
    is_anything = row.pop("is_anything")
    return is_anything, None if row["since"] is None else Memory(**row)


def _record(gateway: Gateway, exported: Sequence[Row], progress: Progress | None) -> tuple[Counter[type[Fact]], int]:
    """How often facts of each type were recorded, and how many tell again of a sending that was known."""
    by_study = transfers_by_study(exported, gateway.sender.information_codes)
    studies = list(by_study)
    counts: Counter[type[Fact]] = Counter()
    told_again = 0
    for start in range(0, len(studies), PORTION):
        portion = studies[start : start + PORTION]
        with gateway.begin() as work:
            known = known_studies(work, portion)
            printed = [(row, fingerprint(gateway.vault, row)) for study in portion for row in by_study[study]]
            facts = [fact for study in known for fact in deleted_or_back(by_study[study], known[study])]
            for fact in facts:
                if isinstance(fact, TransferPlaced):
                    known[fact.study].move(fact)
            told = list(changes(printed, known))
            if any(isinstance(fact, TransferSent) for fact in told):
                done = Queue(gateway.sender, gateway.name_fingerprint).done()
                for each in known.values():
                    each.carried_out = {name: work.local(filed.at).isoformat(" ") for name, filed in done.items()}
                told = list(changes(printed, known)) if done else told
            facts += told
            work.record(sealed_change(work, fact) for fact in facts)
        counts.update(type(fact) for fact in facts)
        told_again += sum(isinstance(fact, TransferSent) and is_told_again(fact, known[fact.study]) for fact in facts)
        if progress is not None:
            progress(start + len(portion), len(studies))
    return counts, told_again
