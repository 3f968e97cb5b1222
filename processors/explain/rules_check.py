"""What is wrong with a table of routing rules, by the rules themselves and by what has been recorded."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from difflib import get_close_matches
from itertools import combinations

from sqlalchemy import text

from ledger.batching import Progress
from processors.events.fact import Cause
from processors.events.holds import WITHDREW, HoldKind
from processors.explain.near_miss import Matching, title_difference
from processors.explain.recorded import OFTEN, forgotten_studies, recorded_studies, studies_since
from processors.explain.redos import worst_time
from processors.explain.sentences import SETTLED_BY, destination
from processors.gateway import Work
from processors.requests import Key
from processors.routing.checks import Check, IntendedRequest, Place, objections
from processors.routing.circuit_breaker import CircuitBreaker
from processors.routing.decisions import Candidate
from processors.routing.evidence import Evidence
from processors.routing.fit import readable
from processors.routing.projects import misspelt
from processors.routing.rules import Hit, Identity, Router, Rule
from processors.text import is_blank, without_padding

_BATCH = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something about rules that a person should look at; a `remark` may well be meant to be so."""

    kind: str
    rules: tuple[str, ...]
    words: str
    remark: bool = False


@dataclass(kw_only=True, slots=True)
class TrialCounts:
    """What trying all rules on the recorded studies came to. All counts are of studies.

    `partial` and `late` count by record id; `overlaps` by two record ids and what they compete for; `held` by record
    id, and why what the rule asks for would be held.
    """

    studies: int = 0
    forgotten: int = 0
    called: set[str] = field(default_factory=set)
    calling: set[str] = field(default_factory=set)
    partial: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    overlaps: Counter[tuple[str, str, Key]] = field(default_factory=Counter)
    held: Counter[tuple[str, HoldKind, str]] = field(default_factory=Counter)


def check(
    rules: Sequence[Rule],
    tried: TrialCounts,
    others: Collection[str],
    matching: Matching,
    *,
    typed: bool = False,
    doubted: Collection[str] = (),
    listed: Collection[str] = (),
    coupled: Collection[str] = (),
) -> list[Finding]:
    """All findings; `others` are the projects that something else than these rules names.

    `typed`: the projects' names were not chosen from REDCap's list, so that they may be anything. `doubted` are the
    rules that are missing from REDCap's latest export. `listed` are the projects of REDCap's list, and `coupled` those
    that coupling entries in force name.
    """
    rules = sorted(rules, key=lambda rule: (len(rule.record_id), rule.record_id))
    findings = [finding for rule in rules for finding in _of_rule(rule, tried, matching)]
    findings += [*_remarks(rules), *_duplicates(rules)]
    if doubted:
        words = "Nothing is decided by them before the next run sees the same."
        findings.append(Finding(kind="missing from the export", rules=tuple(sorted(doubted)), words=words, remark=True))
    findings += [
        Finding(
            kind="overlap",
            rules=(one, other),
            words=f"They give different names to {_studies(count)} for {destination(*key)}: nothing is requested for "
            "such a study, unless a coupling entry names it.",
        )
        for (one, other, key), count in sorted(tried.overlaps.items())
    ]
    findings += _held(tried)
    findings += _unknown_projects(rules, others, typed=typed)
    if listed:
        findings += _unlisted_projects(rules, listed, coupled)
    return sorted(findings, key=lambda finding: (finding.remark, finding.kind, finding.rules))


def try_rules(
    work: Work,
    rules: Sequence[Rule],
    matching: Matching,
    checks: Sequence[Check],
    progress: Progress | None = None,
) -> TrialCounts:
    """What the rules come to on every recorded study, and what the checks would hold of it."""
    tried = TrialCounts(forgotten=forgotten_studies(work))
    trial = _Trial(rules, matching, tried)
    intended: list[IntendedRequest] = []
    for evidence in recorded_studies(work, studies_since(work), progress):
        intended += _intended(evidence.study, trial.meet(evidence))
        if len(intended) >= _BATCH:
            tried.held.update(_objected(work, intended, checks))
            intended = []
    tried.held.update(_objected(work, intended, checks))
    return tried


def _intended(study: str, hits: Iterable[Hit]) -> Iterator[IntendedRequest]:
    for hit in hits:
        cause = Cause("rule", hit.rule.record_id, 0)
        key = Key(hit.rule.project, hit.rule.event_name)
        candidate = Candidate(key=key, pseudonym=hit.pseudonym, cause=cause, asks_since=0, whole_match=hit.whole)
        yield IntendedRequest(study=study, candidate=candidate, patient=None)


def _objected(
    work: Work, intended: Sequence[IntendedRequest], checks: Sequence[Check]
) -> Iterator[tuple[str, HoldKind, str]]:
    """What would be held, each study once a rule."""
    records: dict[Place, set[str]] = {}
    for each in intended:
        records.setdefault(each.place, set()).add(each.candidate.cause.record_id)
    for place, objection in objections(work, intended, checks).items():
        if objection.holds:
            # Each withdrawal would be told by its number.
            details = "" if objection.obstacle.kind == WITHDREW else objection.obstacle.details
            yield from ((record, objection.obstacle.kind, details) for record in sorted(records[place]))


def unreadable_patterns(work: Work) -> list[Finding]:
    """The projects whose naming pattern cannot be read, so that no pseudonym is compared with it."""
    names = [row.project for row in work.execute(_PATTERNS) if not is_blank(row.pattern) and not readable(row.pattern)]
    words = "project_patient_naming cannot be read, and is not enforced; `gen-id --count PATTERN` says why: {}."
    if not names:
        return []
    return [Finding(kind="naming pattern", rules=(), words=words.format("; ".join(sorted(names))))]


_PATTERNS = text("select distinct project, pattern from gateway.autoid_project where not removed")


def projects_named(work: Work) -> dict[str, int]:
    """The projects that coupling entries, auto-ID and our earlier requests name, and how often."""
    return {row.project: row.times for row in work.execute(_PROJECTS)}


_PROJECTS = text("""
    select project, count(*) as times from (
        select project from gateway.autoid_project where not removed
        union all
        select data ->> 'project' from gateway.coupling_entry join ledger.event using (position) where not removed
        union all
        select project from gateway.transfer where cause_kind <> 'rule') as named
     where project <> '' group by project
""")


def projects_coupled(work: Work) -> set[str]:
    """The projects that usable coupling entries in force name."""
    return set(work.execute(_COUPLED).scalars())


_COUPLED = text("select distinct project from gateway.coupling_entry where not removed and problems = '{}'")


class _Trial:
    """Tries rules on one study after the other."""

    def __init__(self, rules: Sequence[Rule], matching: Matching, tried: TrialCounts) -> None:
        self._rules = rules
        self._matching = matching
        self._tried = tried
        self._breaker = CircuitBreaker(OFTEN)
        self._lay_out()

    def meet(self, evidence: Evidence) -> list[Hit]:
        """Counts what the rules make of this study; gives what they ask for it."""
        if self._breaker.open != self._without:
            self._lay_out()
        self._tried.studies += 1
        hits: list[Hit] = []
        partial: set[str] = set()
        late: set[str] = set()
        for identity in evidence.gained:
            self._tried.called.add(identity.called)
            self._tried.calling.add(identity.calling)
            matching, timed_out = self._router.hits(identity)
            hits.extend(matching)
            late.update(rule.record_id for rule in timed_out)
            partial.update(hit.rule.record_id for hit in self._by_prefix(identity, matching) if not hit.whole)
        self._breaker.note(late)
        self._tried.late.update(late)
        self._tried.partial.update(partial)
        self._tried.overlaps.update(_overlaps(hits))
        return hits

    def _by_prefix(self, identity: Identity, hits: Sequence[Hit]) -> Sequence[Hit]:
        """What matches from the start of the text: that is what was found, unless whole texts are asked for."""
        return hits if self._matching.mode == "prefix" else self._prefix_router.hits(identity)[0]

    def _lay_out(self) -> None:
        self._without = self._breaker.open
        kept = [rule for rule in self._rules if rule.record_id not in self._without]
        limit = self._matching.time_limit
        self._router = Router(kept, mode=self._matching.mode, time_limit=limit)
        self._prefix_router = Router(kept, mode="prefix", time_limit=limit)


def _overlaps(hits: Sequence[Hit]) -> set[tuple[str, str, Key]]:
    """The pairs of rules that give one study different names for the same project and event."""
    names = {
        (hit.rule.record_id, Key(hit.rule.project, hit.rule.event_name), without_padding(hit.pseudonym)) for hit in hits
    }
    return {
        (one[0], other[0], one[1])
        for one, other in combinations(sorted(names), 2)
        if one[0] != other[0] and one[1] == other[1] and one[2] != other[2]
    }


def _of_rule(rule: Rule, tried: TrialCounts, matching: Matching) -> Iterator[Finding]:
    record = (rule.record_id,)
    if not rule.active:
        return
    for problem in rule.problems:
        yield Finding(kind="unusable", rules=record, words=f"It cannot be used and matches nothing: {problem}")
    yield from _never_matching(rule, tried)
    yield from _slow(rule, tried, matching)
    if tried.partial[rule.record_id]:
        words = (
            f"Its pattern matches the start of the text only in {_studies(tried.partial[rule.record_id])}: with "
            'routing.match = "full" they would not match, and the rest of the text may be somebody\'s name.'
        )
        yield Finding(kind="start only", rules=record, words=words)


def _never_matching(rule: Rule, tried: TrialCounts) -> Iterator[Finding]:
    record = (rule.record_id,)
    if is_blank(rule.patient_id_pattern) and is_blank(rule.patient_name_pattern):
        words = "It can never match: both patterns are blank, and a blank pattern matches nothing."
        yield Finding(kind="never matches", rules=record, words=words)
    if not rule.called and not rule.calling:
        words = "It can never match: both AE titles are blank, and a blank AE title matches nothing."
        yield Finding(kind="never matches", rules=record, words=words)
        return
    yield from _never_seen(rule, tried)


def _never_seen(rule: Rule, tried: TrialCounts) -> Iterator[Finding]:
    """Whether series have ever come by the rule's AE titles."""
    sides = [("addressed to", rule.called, tried.called), ("sent by", rule.calling, tried.calling)]
    given = [(verb, title, seen) for verb, title, seen in sides if title]
    if not tried.studies or any(title in seen for _, title, seen in given):
        return
    titles = " or ".join(f"{verb} {title}" for verb, title, _ in given)
    near = [f"{known} differs by {words} only" for _, title, seen in given for known in sorted(seen)
            if (words := title_difference(title, known))]  # fmt: skip
    hint = f"; {'; '.join(near)}" if near else ""
    words = f"None of the recorded series was {titles}{hint}."
    yield Finding(kind="AE title never seen", rules=(rule.record_id,), words=words)


def _slow(rule: Rule, tried: TrialCounts, matching: Matching) -> Iterator[Finding]:
    record = (rule.record_id,)
    if tried.late[rule.record_id]:
        words = (
            f"A pattern of it ran out of time ({matching.time_limit} s) in {_studies(tried.late[rule.record_id])} or "
            "more: it matches nothing then. Simplify it."
        )
        yield Finding(kind="slow", rules=record, words=words)
        return
    for name, pattern in (
        ("routing_allowed_patientid", rule.patient_id_pattern),
        ("routing_allowed_patientname", rule.patient_name_pattern),
    ):
        worst = worst_time(pattern, matching.time_limit)
        if worst:
            words = f"{name} {worst} ({matching.time_limit} s) on texts made to be hard for it. Simplify it."
            yield Finding(kind="slow", rules=record, words=words)


def _remarks(rules: Sequence[Rule]) -> Iterator[Finding]:
    """What may well be meant to be so, told of all rules at once."""
    active = [rule for rule in rules if rule.active]
    words = "It says nothing: no series matches by it, rather than every one."
    for kind, chosen, remark in (
        ("inactive", [rule for rule in rules if not rule.active], "Switched off: they match nothing."),
        ("routing_incoming_aetitle is blank", [rule for rule in active if rule.calling and not rule.called], words),
        ("routing_sending_aetitle is blank", [rule for rule in active if rule.called and not rule.calling], words),
    ):
        if chosen:
            records = tuple(rule.record_id for rule in chosen)
            yield Finding(kind=kind, rules=records, words=remark, remark=True)


def _duplicates(rules: Sequence[Rule]) -> Iterator[Finding]:
    alike: dict[tuple[object, ...], list[str]] = {}
    for rule in rules:
        if rule.active and not rule.problems:
            alike.setdefault(astuple(replace(rule, record_id="")), []).append(rule.record_id)
    for records in alike.values():
        if len(records) > 1:
            words = "They say the same in every field: one of them will do."
            yield Finding(kind="duplicate", rules=tuple(records), words=words)


def _unknown_projects(rules: Sequence[Rule], others: Collection[str], *, typed: bool) -> Iterator[Finding]:
    """Projects that one rule alone names: which there are is known to REDCap only, and by nothing here for sure."""
    by_project: dict[str, list[str]] = {}
    for rule in rules:
        if rule.project:
            by_project.setdefault(rule.project, []).append(rule.record_id)
    once = {name: records for name, records in by_project.items() if name not in others and len(records) == 1}
    alone = {}
    for project, records in once.items():
        like = _like(project, [name for name in sorted({*others, *by_project}) if name != project])
        if like or typed:
            hint = f"Is {like} meant?" if like else "It is new, or misspelt."
            words = f"Nothing else that the ledger knows names the project {project}. {hint}"
            yield Finding(kind="unknown project", rules=tuple(records), words=words)
        else:
            alone[project] = records[0]
    if alone:
        words = f"Nothing else that the ledger knows names their projects: {'; '.join(alone)}."
        yield Finding(kind="project of one rule", rules=tuple(alone.values()), words=words, remark=True)


def _unlisted_projects(rules: Sequence[Rule], listed: Collection[str], coupled: Collection[str]) -> Iterator[Finding]:
    """Projects that REDCap's list of projects does not know: they count as open."""
    by_project: dict[str, list[str]] = {project: [] for project in coupled}
    for rule in rules:
        if rule.active and rule.project:
            by_project.setdefault(rule.project, []).append(rule.record_id)
    for project, records in sorted(by_project.items()):
        meant = misspelt(project, listed)
        where = "" if records else " A coupling entry names it."
        if meant is not None:
            words = f"{project} differs from {meant} of the list of projects by case or blanks only: it is held.{where}"
            yield Finding(kind="misspelt project", rules=tuple(records), words=words)
        elif project not in listed:
            words = f"REDCap's list of projects does not know {project}, so that it counts as open.{where}"
            yield Finding(kind="project not listed", rules=tuple(records), words=words, remark=True)


_MEANT_SO: Collection[HoldKind] = ("project is closed", WITHDREW)
"""Why something is held that nobody need mend."""


def _held(tried: TrialCounts) -> Iterator[Finding]:
    """What would be held of what rules ask for; of misspelt projects, another finding tells."""
    for (record, kind, details), number in sorted(tried.held.items()):
        if kind != "unknown project":
            why = f"{details}. " if details else ""
            words = f"{why}What it asks for {_studies(number)} would be held. {SETTLED_BY[kind]}"
            yield Finding(kind=kind, rules=(record,), words=words, remark=kind in _MEANT_SO)


def _like(project: str, known: Sequence[str]) -> str:
    folded = {name.casefold(): name for name in known}
    close = get_close_matches(project.casefold(), list(folded), n=1, cutoff=0.85)
    return folded[close[0]] if close else ""


def _studies(count: int) -> str:
    return "1 recorded study" if count == 1 else f"{count} recorded studies"
