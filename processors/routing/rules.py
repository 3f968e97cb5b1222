"""Routing: when a rule matches a series, and to which project and under which pseudonym it sends it. Pure.

A rule matches if (the called AE title is the rule's incoming one *or* the calling AE title is its
sending one) *and* (the PatientID matches its ID pattern *or* the PatientName matches its name
pattern). The pseudonym is the PatientID where that matched, else the PatientName.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, NamedTuple

from processors import bounds
from processors.events.rules import RoutingRuleChanged
from processors.redcap.rows import REPEATED, repeated_ids
from processors.routing import patterns
from processors.routing.circuit_breaker import CircuitBreaker
from processors.routing.patterns import BadPattern, PatternTimeout
from processors.text import is_blank

MatchMode = Literal["prefix", "full"]

_OFTEN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A routing rule as REDCap holds it. `problems` says, for a person, why it cannot be used."""

    record_id: str
    active: bool
    project: str
    called: str
    calling: str
    patient_id_pattern: str
    patient_name_pattern: str
    event_name: str
    problems: tuple[str, ...] = ()


_BOUNDS = {
    "routing_incoming_aetitle": bounds.NAME,
    "routing_sending_aetitle": bounds.NAME,
    "routing_allowed_patientid": bounds.PATTERN,
    "routing_allowed_patientname": bounds.PATTERN,
    "routing_event_name": bounds.NAME,
}


class Identity(NamedTuple):
    """What a series tells about where it came from and whose it is."""

    called: str
    calling: str
    patient_id: str
    patient_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A rule that matches; `whole`: its pattern matches all of the text that becomes the pseudonym."""

    rule: Rule
    pseudonym: str
    whole: bool


def rule_from_row(row: Mapping[str, str], projects: Mapping[str, str]) -> Rule:
    """The rule in a REDCap row; `projects` maps the dropdown's codes to its labels, the projects' names."""
    code = row.get("routing_dest_project", "")
    rule = Rule(
        record_id=bounds.name(row["record_id"]),
        active=row.get("routing_active", "") == "1",
        project=bounds.name(projects.get(code, "")),
        called=bounds.name(row.get("routing_incoming_aetitle", "")),
        calling=bounds.name(row.get("routing_sending_aetitle", "")),
        patient_id_pattern=bounds.cut(row.get("routing_allowed_patientid", ""), bounds.PATTERN),
        patient_name_pattern=bounds.cut(row.get("routing_allowed_patientname", ""), bounds.PATTERN),
        event_name=bounds.name(row.get("routing_event_name", "")),
        problems=bounds.overlong(row, _BOUNDS),
    )
    return _with_problems(rule, code)


def rules_from_rows(rows: Sequence[Mapping[str, str]], projects: Mapping[str, str]) -> list[Rule]:
    """The rules in REDCap's rows, each record id once.

    Where a project has several events or arms, rows of one record may contradict each other: such a
    rule says nothing but that it cannot be used.
    """
    repeated = repeated_ids(row["record_id"] for row in rows)
    rules = [rule_from_row(row, projects) for row in rows if bounds.name(row["record_id"]) not in repeated]
    return rules + [_repeated(record) for record in repeated]


def rule_that_said(fact: RoutingRuleChanged) -> Rule:
    """The rule as it read then."""
    return Rule(**{field.name: getattr(fact, field.name) for field in fields(Rule)})


class Router:
    """Rules laid out by AE title and by how their patterns begin, so that a series meets only those that may match.

    A rule that has run out of time twenty times is switched off: from then on it counts as running out of time at once.
    """

    def __init__(self, rules: Iterable[Rule], *, mode: MatchMode, time_limit: float) -> None:
        self._mode = mode
        self._time_limit = time_limit
        self._breaker = CircuitBreaker(_OFTEN)
        self._laid_out: dict[_Place, list[Rule]] = {}
        self._lengths: set[int] = set()
        for rule in rules:
            if rule.active and not rule.problems:
                for place in _places(rule):
                    self._laid_out.setdefault(place, []).append(rule)
                    self._lengths.add(len(place.start))

    def __bool__(self) -> bool:
        """Whether any rule can match at all."""
        return bool(self._laid_out)

    @property
    def switched_off(self) -> list[str]:
        """The record ids of the rules that are not tried any more."""
        return sorted(self._breaker.open)

    def with_rules(self, rules: Iterable[Rule]) -> "Router":
        """One that goes by these rules instead, in the same way."""
        return Router(rules, mode=self._mode, time_limit=self._time_limit)

    def hits(self, identity: Identity) -> tuple[list[Hit], list[Rule]]:
        """The rules that match, and those that ran out of time, each in the order of their record ids."""
        hits, timed_out = [], []
        for rule in self._that_may_match(identity):
            try:
                hit = self._hit(rule, identity)
            except PatternTimeout:
                self._breaker.note([rule.record_id])
                # The whole rule matches nothing: its other pattern might give a pseudonym that the
                # one without an answer would have overruled.
                timed_out.append(rule)
                continue
            if hit is not None:
                hits.append(hit)
        return hits, timed_out

    def _that_may_match(self, identity: Identity) -> list[Rule]:
        """The rules for what comes by these AE titles and begins as their patterns do, in the order of record ids."""
        found = {}
        for of_called, title in ((True, identity.called), (False, identity.calling)):
            for of_id, text in ((True, identity.patient_id), (False, identity.patient_name)):
                for length in self._lengths:
                    for rule in self._laid_out.get(_Place(of_called, title, of_id, text[:length]), ()):
                        found[rule.record_id] = rule
        return sorted(found.values(), key=lambda rule: rule.record_id)

    def _hit(self, rule: Rule, identity: Identity) -> Hit | None:
        if rule.record_id in self._breaker.open:
            raise PatternTimeout
        sides = (
            (rule.patient_id_pattern, identity.patient_id),
            (rule.patient_name_pattern, identity.patient_name),
        )
        for pattern, text in sides:
            match = patterns.match(pattern, text, time_limit=self._time_limit)
            if match is not None and (match.whole or self._mode == "prefix"):
                return Hit(rule=rule, pseudonym=text, whole=match.whole)
        return None


class _Place(NamedTuple):
    """Where a rule is laid out: an AE title of it, and what a PatientID or PatientName that it matches begins with."""

    of_called: bool
    title: str
    of_id: bool
    start: str


def _places(rule: Rule) -> Iterator[_Place]:
    """Where the rule is looked for. A blank AE title never matches: it would mean "from anywhere"."""
    for of_called, title in ((True, rule.called), (False, rule.calling)):
        for of_id, pattern in ((True, rule.patient_id_pattern), (False, rule.patient_name_pattern)):
            if title and not is_blank(pattern):
                yield _Place(of_called, title, of_id, patterns.literal_start(pattern))


def _repeated(record_id: str) -> Rule:
    return Rule(
        record_id=record_id,
        active=True,
        project="",
        called="",
        calling="",
        patient_id_pattern="",
        patient_name_pattern="",
        event_name="",
        problems=(REPEATED,),
    )


def _with_problems(rule: Rule, code: str) -> Rule:
    if not rule.active:
        return replace(rule, problems=())
    # A pattern that was cut is not compiled: what is wrong with it is not what its author wrote.
    problems = rule.problems or (*_project_problems(rule, code), *_pattern_problems(rule))
    return replace(rule, problems=problems)


def _project_problems(rule: Rule, code: str) -> list[str]:
    if rule.project:
        return []
    if not code:
        return ["routing_dest_project is blank."]
    return [f"routing_dest_project is {bounds.name(code)!r}, which the dropdown's choices do not list."]


def _pattern_problems(rule: Rule) -> list[str]:
    problems = []
    for field, pattern in (
        ("routing_allowed_patientid", rule.patient_id_pattern),
        ("routing_allowed_patientname", rule.patient_name_pattern),
    ):
        try:
            patterns.check(pattern)
        except BadPattern as exc:
            problems.append(f"{field} does not compile: {exc}.")
    return problems
