"""Which studies are decided upon again, and why."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

from processors.gateway import Work
from processors.requests import IN_FORCE


@dataclass(frozen=True, kw_only=True, slots=True)
class Agenda:
    """The studies to decide upon, and why: `gained` a series, or `reopened` by a changed rule or entry, or the
    end of a doubt. Something of those `held` is asked for and held.

    A series that now says that it is somebody else's, or came from elsewhere, counts as gained; and so do all
    of a study that was `received_anew`, after its record was deleted. One that `returned`, maybe from another site, is
    among the `coupled`, as those are that new or changed entries name. Of a study that was `regrouped`, single
    series have left the disk or come back. `corrected` are those of the `coupled` that an entry named, or asked for,
    before it was corrected. `changed_entries` are the coupling entries in force that are new or changed.

    The window is `after` < position <= `until`; the site that has decided least has done so up to `after_anywhere`.
    """

    after: int
    until: int
    gained: frozenset[str]
    reopened: frozenset[str]
    coupled: frozenset[str]
    returned: frozenset[str] = frozenset()
    received_anew: frozenset[str] = frozenset()
    regrouped: frozenset[str] = frozenset()
    corrected: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    changed_entries: frozenset[str] = frozenset()
    after_anywhere: int = 0

    @property
    def news(self) -> frozenset[str]:
        """Those to which something has happened."""
        return self.gained | self.reopened | self.coupled | self.regrouped

    @property
    def studies(self) -> list[str]:
        """All of them, in a fixed order."""
        return sorted(self.news | self.held)


def agenda(work: Work, site: str) -> Agenda:
    """What has happened since this site last decided that calls for deciding."""
    window = work.execute(_WINDOW, {"site": site}).one()
    parameters = {"after": window.after, "until": window.until, "changed": window.changed}
    parameters |= {"site": site, "in_force": list(IN_FORCE)}
    happened: dict[str, set[str]] = defaultdict(set)
    for what, key in work.execute(_HAPPENED, parameters):
        happened[what].add(key)
    return Agenda(
        after=window.after,
        until=window.until,
        after_anywhere=window.after_anywhere or 0,
        gained=frozenset(happened["gained"] | happened["received anew"]),
        received_anew=frozenset(happened["received anew"]),
        coupled=frozenset(happened["returned"] | happened["corrected"]),
        returned=frozenset(happened["returned"]),
        corrected=frozenset(happened["corrected"]),
        reopened=frozenset(happened["undecided"] | happened["deferred"] | happened["missed"]),
        regrouped=frozenset(happened["regrouped"]),
        held=frozenset(happened["held"]),
        changed_entries=frozenset(happened["entry changed"]),
    )


def named_by(work: Work, site: str, accessions: Collection[str], studies: Collection[str]) -> set[str]:
    """The studies on disk with one of these accession numbers or UIDs."""
    studies_named = work.execute(
        _NAMED, {"site": site, "accessions": list(accessions), "studies": list(studies)}
    ).scalars()
    return set(studies_named)


_WINDOW = text("""
    select after, until, after_anywhere,
           exists (select from gateway.rule where position > after)
        or exists (select from gateway.coupling_entry where position > after) as changed
      from (select coalesce((select position from gateway.decision where site = :site), 0) as after,
                   (select min(position) from gateway.decision) as after_anywhere,
                   position as until from ledger.head) as told
""")
# One that was received again after its record in REDCap was deleted is as if it had just arrived, as is one whose
# series could not be kept until now. Offset 0, here and below: right after a first discovery the server has no
# statistics, and went through the index of all series for each study, 1.8 s for 8,000 series, four times as long for
# twice as many.
_RECEIVED_ANEW = """
    select study from gateway.study join gateway.missing_row as missing using (study)
     where missing.kind = 'study' and returned_position > missing.position and returned_position > :after
       and on_disk and site = :site
    union
    select study.study from ledger.set_apart
     cross join lateral (
           select stream, type from ledger.event where event.position = set_apart.position offset 0) as event
      join gateway.study on study.study = substr(event.stream, length('study/') + 1)
     where mended_position > :after and event.type in ('SeriesDiscovered', 'SeriesRevised')
       and on_disk and study.site = :site
"""
# Materialized: right after a first discovery the server has no statistics, and looked through all that is new
# for each study, 140 ms for 8,000 series and four times as long for twice as many.
_GAINED = """
    with gained as materialized (
         select distinct study from gateway.series where routed_position > :after and routed_position <= :until)
    select study from gained join gateway.study using (study) where site = :site
"""
# A returned study meets the entries that waited for it.
_RETURNED = """
    select study from gateway.study
     where returned_position > :after and on_disk and site = :site
"""
# What an entry asked for, or supported where another had asked for it already, is looked at again once it has changed,
# even where it no longer names the study, or is gone since.
_CORRECTED = """
    with changed as materialized (
         select record_id, stream from gateway.coupling_entry
          cross join lateral (select 'coupling/' || record_id as stream) as named
          where position > :after
            and ((position > life_position and not removed)
                 or exists (select from ledger.event as said
                             where said.stream = named.stream and said.type = 'CouplingEntryChanged'
                               and said.position > :after and said.position < coupling_entry.position))),
    said as materialized (
         select event.data ->> 'accession' as accession, event.data ->> 'study' as named
           from changed join ledger.event using (stream)
          where type = 'CouplingEntryChanged')
    select transfer.study from gateway.transfer join gateway.study using (study)
      join changed on changed.record_id = transfer.cause_record
     where cause_kind = 'coupling' and state = any(:in_force) and site = :site
    union
    select series.study from gateway.series join gateway.study using (study) join said using (accession)
     where accession <> '' and site = :site
       and exists (select from gateway.transfer where transfer.study = series.study and state = any(:in_force))
    union
    select study from gateway.study join said on study = named
     where site = :site
       and exists (select from gateway.transfer where transfer.study = study.study and state = any(:in_force))
"""
_REGROUPED = """
    select study from gateway.series join gateway.study using (study)
     where presence_position > :after and presence_position <= :until and site = :site
"""
_UNDECIDED = """
    select study from gateway.study
     where (:changed or returned_position > :after) and on_disk and site = :site
       and (exists (select from gateway.conflict where conflict.study = study.study and kind <> 'person')
            or exists (select from gateway.rule_failure where rule_failure.study = study.study))
"""
MENDED_RULES: Final = """
    select record_id,
           coalesce((select (data ->> 'position')::bigint from ledger.event as decided
                      where stream = 'decisions/' || :site and type = 'DecisionsMade'
                        and decided.position < unusable_since
                      order by version desc limit 1), 0) as since
      from gateway.rule
     where :after > 0 and rule.position > :after and unusable_since is not null and problems = '{}' and not removed
"""
"""The rules that were mended `:after` the last decision: each has missed the series that were routed `since`, whatever
it says now. Runs discover before they look at rules.
"""
_MISSED = f"""
    select distinct study from ({MENDED_RULES}) as mended join gateway.series on routed_position > mended.since
      join gateway.study using (study)
     where on_disk and site = :site
"""
# Each export settles what was doubted before it, in whichever way. Rules that cannot be used may stay so for weeks.
_DEFERRED = """
    select distinct study from gateway.deferred_decision as deferred join gateway.study using (study)
     where on_disk and site = :site
       and not (select coalesce(bool_and(rule.record_id is not null), false)
                  from json_array_elements(deferred.details -> 'causes') as cause
                  left join gateway.rule
                         on cause ->> 'kind' = 'rule' and rule.record_id = cause ->> 'record_id' and problems <> '{}'
                        and not removed and doubted_position is null and rule.position < deferred.position)
"""
# Its reason may lie in another study, in REDCap's projects, in the configuration or in the calendar. They are few.
_HELD_REQUESTS = """
    select distinct study from gateway.held_request join gateway.study using (study)
     where on_disk and site = :site
"""
_CHANGED_ENTRIES = """
    select record_id from gateway.coupling_entry
     where not removed
       and (position > :after
            or position in (select set_apart.position from ledger.set_apart where mended_position > :after))
"""
# In one statement: asked one by one, each run without news spent more on asking than on looking.
_HAPPENED = text(
    " union all ".join(
        f"select '{what}', key from ({found}) as found (key)"
        for what, found in {
            "received anew": _RECEIVED_ANEW,
            "gained": _GAINED,
            "returned": _RETURNED,
            "corrected": _CORRECTED,
            "regrouped": _REGROUPED,
            "undecided": _UNDECIDED,
            "deferred": _DEFERRED,
            "missed": _MISSED,
            "held": _HELD_REQUESTS,
            "entry changed": _CHANGED_ENTRIES,
        }.items()
    )
)
_NAMED = text("""
    select study from gateway.series join gateway.study using (study)
     where accession = any(:accessions) and on_disk and site = :site
    union
    select study from gateway.study where study = any(:studies) and on_disk and site = :site
""")
