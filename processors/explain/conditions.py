"""Which condition of a rule or entry held for a study, which did not, and which nearly did. Pure.

Whether a rule matches is asked of the evaluator that decides, `routing.Router`; the conditions tell why.
PatientID, PatientName and what is sealed are told of as matched or not, never shown.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from processors.explain.near_miss import (
    Matching,
    accession_difference,
    pattern_nearness,
    title_difference,
)
from processors.routing import patterns
from processors.routing.coupling import FORGOTTEN, CouplingList, Entry
from processors.routing.patterns import BadPattern, PatternTimeout
from processors.routing.rules import Identity, Router, Rule
from processors.text import accession_likeness, is_blank

State = Literal[
    "matched",
    "matched at the start",
    "not matched",
    "blank",
    "blank in the study",
    "unusable",
    "ran out of time",
    "forgotten",
]
Standing = Literal["matches", "near miss", "same AE title", "no match"]

NUMBER = "accession number"
TITLES = ("called AE title", "calling AE title")
HOLDS: tuple[State, ...] = ("matched", "matched at the start")


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One condition of a rule or entry. `near` says what kept it from holding by a detail; blank where nothing did."""

    name: str
    state: State
    near: str = ""

    @property
    def holds(self) -> bool:
        """Whether it held."""
        return self.state in HOLDS


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleAccount:
    """How a rule fared with one identity: its verdict, its four conditions, and the near misses in words."""

    rule: Rule
    standing: Standing
    conditions: tuple[Condition, ...]
    notes: tuple[str, ...] = ()

    @property
    def from_there(self) -> bool:
        """Whether the series came by an AE title of the rule."""
        return any(condition.holds for condition in self.conditions if condition.name in TITLES)


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryAccount:
    """How a coupling entry that has something in common with the study fared. `named`: it is usable and names it."""

    entry: Entry
    standing: Standing
    named: bool
    conditions: tuple[Condition, ...]
    notes: tuple[str, ...] = ()


def rule_accounts(
    rules: Collection[Rule],
    identity: Identity,
    router: Router,
    matching: Matching,
    *,
    forgotten: bool = False,
) -> list[RuleAccount]:
    """How every rule fared with this identity; those that match first, then the near misses.

    `router` holds these rules, and decides which of them match. `forgotten`: the identity's PatientID and
    PatientName cannot be read any more.
    """
    hits, timed_out = router.hits(identity)
    hit_by = {hit.rule.record_id for hit in hits}
    late = {rule.record_id for rule in timed_out}
    accounts = []
    for rule in rules:
        titles = _title_conditions(rule, identity)
        texts = _pattern_conditions(rule, identity, matching, forgotten=forgotten)
        matches = rule.record_id in hit_by
        accounts.append(
            RuleAccount(
                rule=rule,
                standing=_standing(titles, texts, matches=matches),
                conditions=(*titles, *texts),
                notes=tuple(_rule_notes(rule, titles, texts, matches=matches, late=rule.record_id in late)),
            )
        )
    return sorted(accounts, key=lambda account: (_ORDER.index(account.standing), account.rule.record_id))


_ORDER: Sequence[Standing] = ("matches", "near miss", "same AE title", "no match")


def entry_accounts(
    entries: Iterable[Entry],
    study: str,
    accessions: Collection[str],
    *,
    on_disk: bool,
    named_by_forgotten: Collection[str] = (),
) -> list[EntryAccount]:
    """How those entries fared that name the study, or nearly; the others have nothing in common with it.

    `accessions` are the study's as written; `named_by_forgotten` are the record ids of entries that name it by a number
    that was forgotten.
    """
    entries = list(entries)
    naming = {entry.record_id for entry in CouplingList(entries).naming(study, accessions)}
    naming.update(named_by_forgotten)
    known = {likeness: accession for accession in sorted(accessions) if (likeness := accession_likeness(accession))}
    accounts = []
    for entry in entries:
        is_forgotten = entry.record_id in named_by_forgotten
        matched = Condition(name=NUMBER, state="matched")
        by_number = matched if is_forgotten else _accession_condition(entry, accessions, known)
        conditions = (by_number, _uid_condition(entry, study))
        if not any(condition.holds or condition.near for condition in conditions):
            continue
        named = entry.record_id in naming
        notes = [f"{condition.name} {condition.near}" for condition in conditions if condition.near and not named]
        if entry.subject_id == FORGOTTEN:
            notes.append("its subject ID was forgotten, so that it cannot be compared")
        notes.extend(f"the entry cannot be used: {problem}" for problem in entry.problems)
        if named and not on_disk:
            notes.append("the study's files have vanished: the entry waits until they arrive again")
        standing: Standing = "matches" if named and on_disk else "near miss"
        accounts.append(
            EntryAccount(entry=entry, standing=standing, named=named, conditions=conditions, notes=tuple(notes))
        )
    return sorted(accounts, key=lambda account: (_ORDER.index(account.standing), account.entry.record_id))


def _title_conditions(rule: Rule, identity: Identity) -> tuple[Condition, Condition]:
    return (
        _title_condition(TITLES[0], rule.called, identity.called),
        _title_condition(TITLES[1], rule.calling, identity.calling),
    )


def _title_condition(name: str, wanted: str, title: str) -> Condition:
    if not wanted:
        return Condition(name=name, state="blank")
    if wanted == title:
        return Condition(name=name, state="matched")
    if not title:
        return Condition(name=name, state="blank in the study")
    differs = title_difference(wanted, title)
    return Condition(name=name, state="not matched", near=f"differs by {differs} only" if differs else "")


def _pattern_conditions(
    rule: Rule, identity: Identity, matching: Matching, *, forgotten: bool
) -> tuple[Condition, Condition]:
    return (
        _pattern_condition("PatientID", rule.patient_id_pattern, None if forgotten else identity.patient_id, matching),
        _pattern_condition(
            "PatientName", rule.patient_name_pattern, None if forgotten else identity.patient_name, matching
        ),
    )


def _pattern_condition(name: str, pattern: str, text: str | None, matching: Matching) -> Condition:
    """How the pattern fared with the text; None: it was forgotten."""
    if is_blank(pattern):
        return Condition(name=name, state="blank")
    try:
        patterns.check(pattern)
        if text is None:
            return Condition(name=name, state="forgotten")
        if is_blank(text):
            return Condition(name=name, state="blank in the study")
        match = patterns.match(pattern, text, time_limit=matching.time_limit)
    except BadPattern:
        return Condition(name=name, state="unusable")
    except PatternTimeout:
        return Condition(name=name, state="ran out of time")
    if match is not None and match.whole:
        return Condition(name=name, state="matched")
    if match is not None and matching.mode == "prefix":
        return Condition(name=name, state="matched at the start", near="matches the start of the text only")
    return Condition(name=name, state="not matched", near=pattern_nearness(pattern, text, matching))


def _accession_condition(entry: Entry, accessions: Collection[str], known: Mapping[str, str]) -> Condition:
    """`known` are the study's accession numbers by their likeness."""
    if not entry.accession:
        return Condition(name=NUMBER, state="blank")
    if entry.accession in accessions:
        return Condition(name=NUMBER, state="matched")
    like = known.get(accession_likeness(entry.accession))
    differs = accession_difference(entry.accession, like) if like is not None else ""
    return Condition(name=NUMBER, state="not matched", near=f"differs by {differs} only" if differs else "")


def _uid_condition(entry: Entry, study: str) -> Condition:
    name = "study UID"
    if not entry.study:
        return Condition(name=name, state="blank")
    if entry.study == study:
        return Condition(name=name, state="matched")
    differs = title_difference(entry.study, study)
    return Condition(name=name, state="not matched", near=f"differs by {differs} only" if differs else "")


def _standing(titles: Sequence[Condition], texts: Sequence[Condition], *, matches: bool) -> Standing:
    if matches:
        return "matches"
    from_there, theirs = (any(condition.holds for condition in side) for side in (titles, texts))
    near_title, near_text = (any(condition.near for condition in side) for side in (titles, texts))
    unclear = any(condition.state in ("unusable", "ran out of time") for condition in texts)
    if (from_there or near_title) and (theirs or near_text or (unclear and from_there)):
        return "near miss"
    return "same AE title" if from_there else "no match"


def _rule_notes(
    rule: Rule, titles: Sequence[Condition], texts: Sequence[Condition], *, matches: bool, late: bool
) -> Iterable[str]:
    if not any(condition.holds for condition in titles):
        yield from (f"{condition.name} {condition.near}" for condition in titles if condition.near)
    if matches or not any(condition.holds for condition in texts):
        yield from (f"the pattern of {condition.name} {condition.near}" for condition in texts if condition.near)
    if late:
        yield "a pattern ran out of time, so that the rule matches nothing"
    if not rule.active:
        yield "the rule is inactive"
    yield from (f"the rule cannot be used: {problem}" for problem in rule.problems)
