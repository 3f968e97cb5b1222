"""What the ledger says about the studies that are decided upon: gathering, no deciding."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, text

from ledger import store
from processors.events import FACTS
from processors.events.fact import Cause, Fact, study_stream
from processors.events.holds import RequestHeld
from processors.events.rules import decision_stream
from processors.gateway import Work
from processors.requests import IN_FORCE, Key, TransferRequest
from processors.routing.adopted_requests import Pseudonyms, adopted_requests
from processors.routing.agenda import MENDED_RULES, Agenda
from processors.routing.decisions import Conflict, KnownHold, Obstacle
from processors.routing.last_words import LastWords, last_words
from processors.routing.patients import Patient, patients_of
from processors.routing.rules import Identity
from processors.routing.statements import StudyChange, changes_since, identity_of, statement, told_at
from processors.stored_requests import requests_of


@dataclass(kw_only=True, slots=True)
class Evidence:
    """What is known about one study. `gained` and `earlier` are its series' identities, by when they came: of the
    earlier ones with the position of the event by which the rules of then had been applied to them, or 0.

    `subject` is that of its leading series; `shared`: series are, or were, of another patient. `by_hand`
    are the positions of what an operator decided about it, `overruled` the rules, each with its project, that asked
    for an event about which that was. `deferred` is what depended on doubted rules and entries before, and on which,
    and `restores` the requests that a replay is to bring back once that is settled; `holds` is what was asked for and
    held; `adopted` what REDCap held before this system. `gone` are requests whose rows somebody deleted, with the
    events that told so; `received_anew_at` is where the study was asked for anew by arriving again after that.
    `last_words` are what entries said last, gone or not, by the request that they led to, where nothing may have been
    decided by it. `missed_rules` could not be used when a series came, and can now. `replayed` is where a replay last
    applied the rules of each project to all of its series.

    `accessions` are those of its series on disk, `known_accessions` all there ever were. `patients` are those of its
    series on disk, `held` the series of each where it is known to be of two. `change`: what they say otherwise than
    before; then `causes` are what the rules and entries behind its requests said, by position, and `noticed` where
    it was last told that a request stands all the same.
    """

    study: str
    subject: UUID
    on_disk: bool
    shared: bool = False
    accessions: set[str] = field(default_factory=set)
    known_accessions: set[str] = field(default_factory=set)
    patients: Sequence[Patient] = ()
    held: tuple[tuple[str, ...], ...] | None = None
    change: StudyChange | None = None
    causes: dict[int, Fact] = field(default_factory=dict)
    noticed: dict[int, int] = field(default_factory=dict)
    gained: set[Identity] = field(default_factory=set)
    earlier: dict[Identity, int] = field(default_factory=dict)
    standing: list[TransferRequest] = field(default_factory=list)
    conflicts: dict[Key, Conflict] = field(default_factory=dict)
    deferred: dict[Key, tuple[Cause, ...]] = field(default_factory=dict)
    restores: dict[Key, tuple[int, ...]] = field(default_factory=dict)
    holds: dict[Key, KnownHold] = field(default_factory=dict)
    failed_rules: set[str] = field(default_factory=set)
    missed_rules: set[str] = field(default_factory=set)
    by_hand: dict[tuple[str, str | None], int] = field(default_factory=dict)
    overruled: set[tuple[str, str]] = field(default_factory=set)
    adopted: Pseudonyms = field(default_factory=dict)
    gone: dict[int, int] = field(default_factory=dict)
    received_anew_at: int = 0
    last_words: dict[int, LastWords] = field(default_factory=dict)
    replayed: dict[str, int] = field(default_factory=dict)

    @property
    def is_undecided(self) -> bool:
        """Whether something was left undecided before: then its earlier series are looked at again."""
        return bool(self.conflicts or self.deferred or self.holds or self.failed_rules or self.missed_rules)

    @property
    def deferred_rules(self) -> set[str]:
        """The rules that were doubted when something was left undecided."""
        return {cause.record_id for causes in self.deferred.values() for cause in causes if cause.kind == "rule"}

    @property
    def restored(self) -> set[int]:
        """The requests that a replay is to bring back as soon as it is known that they are asked for."""
        return {position for positions in self.restores.values() for position in positions}

    @property
    def of_two_patients(self) -> bool:
        """Whether its series on disk are of two patients or more."""
        return len(self.patients) > 1

    @property
    def of_one_again(self) -> bool:
        """Whether they were, and are no longer."""
        return self.held is not None and not self.of_two_patients

    @property
    def is_decided_anew(self) -> bool:
        """Whether all of its series are looked at as if they had just arrived."""
        return self.change is not None or self.of_one_again


def gather(work: Work, studies: Sequence[str], window: Agenda, *, with_identities: bool) -> list[Evidence]:
    """The evidence about these studies. Identities are unsealed only where rules will look at them."""
    chosen = {"studies": list(studies)}
    evidence = {
        row.study: Evidence(study=row.study, subject=row.subject, on_disk=row.on_disk, shared=row.shared)
        for row in work.execute(_SUBJECTS, chosen)
    }
    for study, standing in requests_of(work, studies, states=IN_FORCE).items():
        evidence[study].standing = standing
    _add_remembered(work, evidence)
    for row in work.execute(_MISSED_RULES, chosen | {"after": window.after, "site": work.site}):
        evidence[row.study].missed_rules.add(row.record_id)
    for study in window.received_anew & evidence.keys():
        evidence[study].received_anew_at = window.until
    for row in work.execute(_OVERRULED, chosen):
        evidence[row.study].overruled.add((row.project, row.record_id))
    for study, adopted in adopted_requests(work, studies).items():
        evidence[study].adopted = adopted
    for study, patients in patients_of(work, studies).items():
        evidence[study].patients = patients
    decided_until = _decided_until(work, evidence, window)
    _add_series(work, evidence, window, decided_until, with_identities=with_identities)
    _add_last_words(work, evidence, window, decided_until)
    _add_causes(work, [known for known in evidence.values() if known.change is not None or known.of_two_patients])
    return [evidence[study] for study in studies]


def _add_remembered(work: Work, evidence: Mapping[str, Evidence]) -> None:
    """Adds what was left open before (contradictions, doubts, what is held, rules that ran out of time), what an
    operator decided, whose rows are gone, and of which two patients it was.
    """
    held = []
    for row in work.execute(_REMEMBERED, {"studies": list(evidence)}):
        known, key = evidence[row.study], Key(row.project, row.event_name)
        match row.what:
            case "conflict":
                known.conflicts[key] = Conflict(key=key, kind=row.name, causes=_causes(row.details))
            case "deferred":
                known.deferred[key] = _causes(row.details)
                known.restores[key] = tuple(orjson.loads(row.details)["restores"])
            case "held":
                held.append(row)
            case "failed":
                known.failed_rules.add(row.name)
            case "by hand":
                known.by_hand[key] = row.position
            case "gone":
                known.gone[int(row.name)] = row.position
            case "mixed":
                known.held = tuple(map(tuple, orjson.loads(row.details)))
    events = work.identities([row.position for row in held])
    for row in held:
        event, payload = events[row.position]
        evidence[row.study].holds[Key(row.project, row.event_name)] = _known_hold(
            RequestHeld.read(event, payload), row.position
        )


# The leading series' event tells whose study it is; its row position never leads elsewhere.
_SUBJECTS = text("""
    select study, event.subject, on_disk,
           exists (select from (select type, subject from ledger.event as said
                                 where said.stream = event.stream offset 0) as other
                    where other.type in ('SeriesDiscovered', 'SeriesRevised')
                      and other.subject <> event.subject) as shared
      from gateway.study join ledger.event on position = row_position
     where study = any(:studies)
""")
_SERIES = text("""
    select study, series, accession, position, stated, routed_position, routing_key, present,
           presence_position, series = leading_series as leads
      from gateway.series join gateway.study using (study)
     where study = any(:studies) order by position
""")
_MISSED_RULES = text(f"""
    select distinct study, record_id
      from ({MENDED_RULES}) as mended join gateway.series on routed_position > mended.since
     where study = any(:studies)
""")
_REMEMBERED = text("""
    select 'conflict' as what, study, project, event_name, kind as name, details::text, null::bigint as position
      from gateway.conflict where study = any(:studies)
    union all
    select 'deferred', study, project, event_name, null, details::text, null
      from gateway.deferred_decision where study = any(:studies)
    union all
    select 'held', study, project, event_name, null, null, position
      from gateway.held_request where study = any(:studies)
    union all
    select 'failed', study, null, null, record_id, null, null
      from gateway.rule_failure where study = any(:studies)
    union all
    select 'by hand', study, project, event_name, null, null, position
      from gateway.decision_by_hand where study = any(:studies)
    union all
    select 'gone', study, null, null, transfer.position::text, null, max(missing.position)
      from gateway.transfer join gateway.missing_row as missing using (study)
     where study = any(:studies)
       and (missing.kind = 'study' or (missing.kind, missing.key) = ('transfer', transfer.position::text))
     group by study, transfer.position
    union all
    select 'mixed', study, null, null, null, patients::text, null
      from gateway.mixed_study where study = any(:studies) and over_position is null
""")
_LEFT_OPEN_SINCE = text("""
    select study,
           (select (made.data ->> 'position')::bigint from ledger.event as made
             where made.stream = :stream and made.type = 'DecisionsMade' and made.position < min(deferred.position)
             order by made.version desc limit 1) as mark
      from gateway.deferred_decision as deferred where study = any(:studies) group by study
""")
_NOTICED = text("""
    select (data ->> 'request')::bigint as request, max(position) as position from ledger.event
     where stream = any(:streams) and type = 'StudyChangeFound' group by 1
""")
# A rule whose event is renamed asks for nothing that an operator had not decided about.
_OVERRULED = text("""
    select decided.study, decided.project, rule.record_id
      from gateway.decision_by_hand as decided cross join gateway.rule
      cross join lateral (
           select type, data from ledger.event
            where stream = 'rule/' || rule.record_id and position < decided.position
              and type in ('RoutingRuleChanged', 'RoutingRuleRemoved')
            order by version desc limit 1) as said
     where decided.study = any(:studies) and decided.event_name is not null and not rule.removed
       and said.type = 'RoutingRuleChanged'
       and (said.data ->> 'project', said.data ->> 'event_name') = (decided.project, decided.event_name)
       and not exists (select from ledger.event as gone
                        where gone.stream = 'rule/' || rule.record_id and gone.type = 'RoutingRuleRemoved'
                          and gone.position > decided.position)
""")


def _known_hold(held: RequestHeld, position: int) -> KnownHold:
    obstacle = Obstacle(held.kind, held.details, held.studies)
    return KnownHold(position, held.cause, obstacle, held.pseudonym, held.name_fingerprint)


def _causes(details: str) -> tuple[Cause, ...]:
    return tuple(Cause(**cause) for cause in orjson.loads(details)["causes"])


def _decided_until(work: Work, evidence: Mapping[str, Evidence], window: Agenda) -> Mapping[str, int]:
    """Up to where all had been decided about each study: for most as for the site, for others before it was deferred.

    What they have said since then has not had all of its consequences.
    """
    until = dict.fromkeys(evidence, window.after)
    if deferred := [study for study, known in evidence.items() if known.deferred]:
        rows = work.execute(_LEFT_OPEN_SINCE, {"studies": deferred, "stream": decision_stream(work.site)})
        until |= {row.study: row.mark or 0 for row in rows}
    return until


def _add_last_words(
    work: Work, evidence: Mapping[str, Evidence], window: Agenda, decided_until: Mapping[str, int]
) -> None:
    """Adds what entries said last, which counts where they are gone, where nobody may have decided by it."""
    undecided_since = {
        request: min(decided_until[study], window.after_anywhere) if study in window.returned else decided_until[study]
        for study, known in evidence.items()
        for request in known.standing
    }
    said = last_words(work, undecided_since)
    for known in evidence.values():
        known.last_words = {each.position: said[each.position] for each in known.standing if each.position in said}


def _add_series(
    work: Work,
    evidence: dict[str, Evidence],
    window: Agenda,
    decided_until: Mapping[str, int],
    *,
    with_identities: bool,
) -> None:
    rows = work.execute(_SERIES, {"studies": list(evidence)}).all()
    changes = changes_since(work, rows, decided_until)
    for study, change in changes.by_study.items():
        evidence[study].change = change
    wanted = {}
    applied_by = _rules_applied_by(work, [row for row in rows if row.study in window.corrected])
    for replay in _replays(work, window.corrected & evidence.keys()):
        evidence[replay.study].replayed[replay.project] = replay.position
    for row in rows:
        known = evidence[row.study]
        known.known_accessions.add(row.accession)
        if not row.present:
            continue
        known.accessions.add(row.accession)
        anew = row.study in window.received_anew or known.is_decided_anew
        if not (with_identities or known.is_decided_anew):
            continue
        if row.routed_position > window.after or anew or known.is_undecided or row.study in window.corrected:
            is_news = (row.study, row.series) not in changes.nothing_new
            new = anew or (window.after < row.routed_position <= window.until and is_news)
            # Series with one key say the same, and most of a study's do: one is enough to be unsealed. The newest,
            # as a patient who was forgotten and came back is sealed under two keys.
            key = row.routing_key if len(row.stated) == 1 else row.series
            applied = applied_by.get(row.routed_position, 0)
            wanted[row.study, key, new, applied] = told_at(row) if len(row.stated) > 1 else [row.position]
    events = work.identities({position for positions in wanted.values() for position in positions})
    for (study, _, new, applied), positions in wanted.items():
        said = identity_of(statement(positions, events, work.placeholders))
        known = evidence[study]
        if new:
            known.gained.add(said)
        else:
            known.earlier[said] = max(applied, known.earlier.get(said, 0))


_APPLIED_BY = text("""
    select routed, (select position from ledger.event
                     where stream = :stream and type = 'DecisionsMade' and position > routed
                     order by position limit 1) as decided
      from unnest(cast(:routed as bigint[])) as routed
""")


def _rules_applied_by(work: Work, series: Sequence[Row[Any]]) -> dict[int, int]:
    """By where series came to be routed: the event that tells that rules were applied to them."""
    routed = {row.routed_position for row in series}
    if not routed:
        return {}
    rows = work.execute(_APPLIED_BY, {"routed": list(routed), "stream": decision_stream(work.site)})
    return {row.routed: row.decided for row in rows if row.decided is not None}


# A study that was not on disk was left out, unless those were asked for as well.
_REPLAYS = text("""
    select study, project, max(position) as position
      from (select position, data ->> 'project' as project, (data ->> 'include_vanished')::boolean as whole,
                   (data ->> 'since')::timestamptz as since, (data ->> 'until')::timestamptz as until
              from ledger.event where stream = :stream and type = 'ReplayCompleted') as replay
      join gateway.study on (since is null or arrived_at >= since) and (until is null or arrived_at < until)
     where study = any(:studies)
       and (whole or 'StudyVanished' is distinct from (
            select type from ledger.event as seen
             where seen.stream = 'study/' || study and seen.type in ('StudyVanished', 'StudyReturned')
               and seen.position < replay.position
             order by version desc limit 1))
     group by study, project
""")


def _replays(work: Work, studies: Collection[str]) -> Sequence[Row[Any]]:
    """The last replay of each project that looked at each of these studies."""
    if not studies:
        return ()
    return work.execute(_REPLAYS, {"studies": list(studies), "stream": decision_stream(work.site)}).all()


def _add_causes(work: Work, changed: Sequence[Evidence]) -> None:
    """Adds what led to the requests of these studies, and where it was told that they stand."""
    if not changed:
        return
    noticed = work.execute(_NOTICED, {"streams": [study_stream(known.study) for known in changed]}).all()
    positions = {request.cause.position for known in changed for request in known.standing}
    events = store.read_positions(work.connection, positions)
    causes = {position: FACTS[event.type].read(event) for position, event in events.items()}
    for known in changed:
        requests = {request.position for request in known.standing}
        known.causes = causes
        known.noticed = {row.request: row.position for row in noticed if row.request in requests}
