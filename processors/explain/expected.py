"""What is asked for and not here: coupling entries that have met no study for days, and studies that nearly match.

Recorded when it is noticed, when what nearly matches changes, and when it is over: the study has come, or the entry
is gone without having met it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Row, text

from ledger import store
from processors.clocks import due
from processors.events.rules import (
    ExpectedStudyArrived,
    ExpectedStudyFact,
    ExpectedStudyMissing,
    ExpectedStudyNeverCame,
)
from processors.explain.near_miss import accession_nearness, one_error
from processors.gateway import Gateway, Work
from processors.text import accession_likeness, without_padding

_NAMED_AT_MOST = 5
_SCANNED_BEFORE = timedelta(days=14)
_LOOK_AFTER = timedelta(hours=1)


def note_expected(gateway: Gateway, patience: timedelta) -> int:
    """Records which entries have met no study for so long, and for which that is over; gives how many."""
    with gateway.begin() as work:
        # Once an hour all entries are looked at, in between those that have come to be overdue since.
        now = work.clock()
        times = {"site": work.site, "now": now, "before": now - _LOOK_AFTER}
        is_thorough = work.execute(_LOOK, times).one_or_none() is not None
        window = {"until": now - patience, "after": None if is_thorough else now - patience - _LOOK_AFTER}
        if not _found(work, window):
            return 0
        # Another site may be about to record the same.
        store.lock_head(work.connection)
        facts = _found(work, window)
        work.record(facts)
    return len(facts)


_LOOK = text(f"""
    insert into gateway.expected_look (site, at) values (:site, :now)
    on conflict (site) do update set at = excluded.at where {due("expected_look.at")}
    returning at
""")


def _found(work: Work, window: Mapping[str, datetime | None]) -> list[ExpectedStudyFact]:
    """What is to be told; of entries not told of yet, those `asked` for between these times."""
    rows = work.execute(_EXPECTED, window).all()
    overdue, known = [row for row in rows if row.near is None], [row for row in rows if row.near is not None]
    arrivals = bool(known) and work.execute(_ARRIVALS, {"site": work.site}).scalar_one()
    return [
        *(ExpectedStudyMissing(record_id=row.record_id, asked=row.asked, near=_near(work, row)) for row in overdue),
        *_news(work, known, arrivals=arrivals),
    ]


def _news(work: Work, known: Sequence[Row[Any]], *, arrivals: bool) -> Iterator[ExpectedStudyFact]:
    """What has become of those that were told of. What nearly matches changes only where something has arrived."""
    for row in known:
        if row.met:
            yield ExpectedStudyArrived(record_id=row.record_id, asked=row.asked)
        elif row.removed:
            yield ExpectedStudyNeverCame(record_id=row.record_id, asked=row.asked, near=_near(work, row))
        elif arrivals and (near := _near(work, row)) != orjson.loads(row.near):
            yield ExpectedStudyMissing(record_id=row.record_id, asked=row.asked, near=near)


# A study that has left the disk was met if it was requested while it was there.
_COUNTS = """
    (on_disk
     or exists (select from gateway.transfer where transfer.study = study.study and transfer.project = entry.project)
     or exists (select from gateway.adopted_transfer as adopted
                 where adopted.study = study.study and adopted.project = entry.project))
"""
# Each by an index of its own: in one condition, all studies were gone through for each entry.
_MET = f"""
    (exists (select from gateway.study where study.study = entry.study and {_COUNTS})
     or exists (select from gateway.series join gateway.study using (study)
                 where series.accession = entry.accession and series.accession <> '' and {_COUNTS}))
"""
# The overdue of which nothing was told yet, and what was told of, with what was near.
_EXPECTED = text(f"""
    (select record_id, asks_position as asked, asked_at, study, project, null as near, false as removed, false as met
       from gateway.coupling_entry as entry
      where asked_at <= :until and asked_at > coalesce(cast(:after as timestamptz), '-infinity')
        and not removed and problems = '{{}}'
        and not exists (select from gateway.expected_study as known
                         where known.asked = entry.asks_position and not known.removed)
        and not {_MET}
      order by asks_position)
    union all
    (select record_id, asked, asked_at, entry.study, entry.project, near::text, entry.removed, {_MET}
       from gateway.expected_study as known
       join gateway.coupling_entry as entry using (record_id)
      where known.asked = entry.asks_position and not known.removed
      order by asked)
""")
_ARRIVALS = text("""
    select exists (select from gateway.series
                    where routed_position > coalesce((select position from gateway.decision where site = :site), 0))
""")
_NEAR_NUMBERS = text("""
    select series.study, min(series.position) as position
      from gateway.series join gateway.study using (study)
     where accession = any(:alike)
     group by series.study
     order by exists (select from gateway.transfer where transfer.study = series.study), min(arrived_at) desc
     limit :most
""")
_NEAR_UIDS = text("select study from gateway.study where study = any(:alike) order by arrived_at desc limit :most")


def _near(work: Work, entry: Row[Any]) -> dict[str, str]:
    """The studies that the entry nearly names, with what keeps them apart: first those that nobody has requested."""
    _, said = work.identities([entry.asked])[entry.asked]
    near = _near_numbers(work, said.get("accession_number", ""))
    if entry.study:
        parameters = {"alike": [entry.study, *one_error(entry.study)], "most": _NAMED_AT_MOST}
        for study in work.execute(_NEAR_UIDS, parameters).scalars():
            near[study] = "its files have vanished" if study == entry.study else "its UID differs by one character"
    for study in _of_same_patient(work, entry, said.get("subject_id", "")):
        near.setdefault(study, "is of the patient who has this pseudonym")
    return near


def _near_numbers(work: Work, number: str) -> dict[str, str]:
    """Studies with an accession number that is nearly this one. Neither number is told: a person can ask for it."""
    likeness = accession_likeness(number)
    alike = work.vault.alike(work.connection, "accession", [likeness, *one_error(likeness)]) if likeness else []
    rows = work.execute(_NEAR_NUMBERS, {"alike": list(map(str, alike)), "most": _NAMED_AT_MOST}).all()
    found = work.identities([row.position for row in rows])
    words = {row.study: accession_nearness(number, _number(found[row.position][1])) for row in rows}
    return {
        study: f"its accession number {said}" if said else "its files have vanished" for study, said in words.items()
    }


def _number(identity: Mapping[str, Any]) -> str:
    return without_padding(identity.get("AccessionNumber", ""))


# By the events that the studies' rows are made from: nothing finds all events of a patient at once.
_OF_SAME_PATIENT = text("""
    select study.study from gateway.study join ledger.event on event.position = row_position
     where arrived_at >= :since
       and event.subject in (select patient from gateway.pseudonym_use
                              where project = :project and fingerprint = :fingerprint and patient is not null)
       and not exists (select from gateway.transfer
                        where transfer.study = study.study and transfer.project = :project)
     order by arrived_at desc limit :most
""")


def _of_same_patient(work: Work, entry: Row[Any], pseudonym: str) -> Sequence[str]:
    """Studies of whoever has the entry's pseudonym in the project already that were not requested for it."""
    fingerprint = work.name_fingerprint(entry.project, pseudonym)
    since = entry.asked_at - _SCANNED_BEFORE
    parameters = {"project": entry.project, "fingerprint": fingerprint, "since": since, "most": _NAMED_AT_MOST}
    return work.execute(_OF_SAME_PATIENT, parameters).scalars().all()
