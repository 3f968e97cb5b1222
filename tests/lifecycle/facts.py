"""What happened outside, as a person would list it on paper: summaries, rules, entries, rows, decisions by hand.

Time is counted in steps of the history (`tick`).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

NEVER = -1

OUR_IDS = "PATID-"
"""How the PatientIDs begin that rules accept."""

UNFIT = "Secretive"
"""What an entry may give as a pseudonym, and is a part of every patient's name."""


class Key(NamedTuple):
    """What a study can be asked for once."""

    project: str
    event: str


class Place(NamedTuple):
    """A row of `transfers`."""

    study: str
    instance: int


@dataclass(frozen=True)
class Statement:
    """What a summary says about its study. A blank says nothing."""

    patient_id: str
    patient_name: str
    accession: str
    called: str = "FIONA"


@dataclass(frozen=True)
class Rule:
    """A routing rule that accepts our patients' IDs, or their names."""

    key: Key
    by_name: bool = False
    called: str = "FIONA"
    active: bool = True

    def pseudonym(self, told: Statement) -> str | None:
        """Under which the rule asks for a study of which a series says this; None where it does not."""
        if not self.active or told.called != self.called:
            return None
        if self.by_name:
            return told.patient_name or None
        return told.patient_id if told.patient_id.startswith(OUR_IDS) else None


@dataclass(frozen=True)
class Words:
    """What an entry of the coupling list says."""

    key: Key
    subject: str
    accession: str = ""
    study: str = ""


@dataclass
class Entry:
    """An entry, since when it has these words, and since when a run may or must have seen them.

    `doubtful`: whether a run saw other words in between cannot be told, because it was disturbed. `before`: as a run
    may have seen it last, if it has not seen these words.
    """

    words: Words
    since: int
    seen_at: int | None = None
    doubtful: bool = False
    maybe_seen: list[Words] = field(default_factory=list)
    before: "Entry | None" = None

    @property
    def seen_last(self) -> "Entry | None":
        """As a run may have seen it last."""
        return self.before if self.seen_at is None and not self.maybe_seen else self


@dataclass
class Study:
    """A study: where it arrives, what its series say now, which the next decision is about, whether it is there.

    `were`: the patients whose its series said to be before they were sent again.

    `moving`: the sites that must run, one after the other, before it is known that it lies elsewhere now. `absent`: the
    series that have not come back with others, since all were gone.
    """

    uid: str
    site: str
    series: dict[str, Statement] = field(default_factory=dict)
    were: set[str] = field(default_factory=set)
    on_disk: bool = False
    absent: set[str] = field(default_factory=set)
    moving: list[str] = field(default_factory=list)
    undecided: dict[str, list[dict[str, Rule]]] = field(default_factory=dict)

    @property
    def patients(self) -> set[str]:
        """Those whose its series are, of which some may be gone."""
        return {told.patient_id for series, told in self.series.items() if series not in self.absent} - {""}

    @property
    def was_restated(self) -> bool:
        """Whether its series said something else before."""
        return bool(self.were)

    @property
    def is_mixed(self) -> bool:
        """Whether its series are of two patients."""
        return len(self.patients) > 1

    @property
    def is_unread(self) -> bool:
        """Whether it vanished before any run could read what its series say."""
        return not self.on_disk and any(not seen for seen in self.undecided.values())

    def lose_what_nobody_has_read(self) -> None:
        """Of a study that vanishes, series that came since the last run were never there, if others were."""
        unread = {series for series, seen in self.undecided.items() if not seen}
        if unread < self.series.keys():
            for series in unread:
                del self.series[series], self.undecided[series]

    @property
    def accessions(self) -> set[str]:
        return {told.accession for told in self.series.values()} - {""}

    def is_named_by(self, words: Words) -> bool:
        """By its UID, or by its accession number: not while that may be another patient's."""
        return words.study == self.uid or (words.accession in self.accessions and not self.is_mixed)


@dataclass(frozen=True)
class Hand:
    """What an operator decided; `event` None: for all events of the project; `name` None: withdrawn."""

    tick: int
    study: str
    project: str
    event: str | None
    name: str | None

    def covers(self, study: str, key: Key) -> bool:
        return (self.study, self.project) == (study, key.project) and self.event in (None, key.event)


@dataclass(frozen=True)
class Excuse:
    """Somebody deleted or changed a row, or deleted the record (`project` None): it is not written again by itself."""

    tick: int
    study: str
    project: str | None

    def covers(self, study: str, key: Key) -> bool:
        return self.study == study and self.project in (None, key.project)


@dataclass(frozen=True)
class Copy:
    """A request file of the sender's: what its row said when it was written."""

    place: Place
    key: Key
    name: str
    file: str


@dataclass
class Attempt:
    """A copy that was carried out: when, with which ticks, whether its row still said the same then.

    `told`: whether REDCap took what the sender wrote.
    """

    copy: Copy
    date: str
    ticks: frozenset[str]
    was_ended: bool
    told: bool


@dataclass
class Facts:
    """All of it. `people` are rows that people made or changed, as they left them. `withdrawn` are patients, each with
    a project, and when they did; `joined` projects in which an operator said that two patients are one; `closed` those
    that are not active. `uses` are the studies that ever had, or were to have, a pseudonym in a project.

    `said` is whatever an entry ever said. `rules_seen` are the record ids of rules that a run must have seen.
    `is_less_than_seen`: rules or entries were removed since the last run, which the next one cannot believe yet.
    """

    tick: int = 0
    studies: dict[str, Study] = field(default_factory=dict)
    is_less_than_seen: bool = False
    rules: dict[str, Rule] = field(default_factory=dict)
    rules_seen: set[str] = field(default_factory=set)
    entries: dict[str, Entry] = field(default_factory=dict)
    said: set[Words] = field(default_factory=set)
    gone_entries: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    people: dict[Place, dict[str, str]] = field(default_factory=dict)
    hands: list[Hand] = field(default_factory=list)
    excuses: list[Excuse] = field(default_factory=list)
    asked_again: dict[tuple[str, Key], int] = field(default_factory=dict)
    sent: dict[tuple[str, Key, str], int] = field(default_factory=dict)
    rules_may: dict[tuple[str, Key], set[str]] = field(default_factory=lambda: defaultdict(set))
    rules_must: dict[tuple[str, Key], set[str]] = field(default_factory=dict)
    withdrawn: dict[tuple[str, str], int] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    uses: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    # -- entries -----------------------------------------------------------------------------------------

    def say(self, record: str, words: Words) -> None:
        """A person makes the entry, or corrects it. The same words again are nothing new."""
        self.said.add(words)
        gone = self.gone_entries[record]
        if record not in self.entries and gone and gone[-1].words == words:
            self.entries[record] = gone.pop()
            return
        before = self.entries.get(record)
        if before is None:
            self.entries[record] = Entry(words, self.tick)
        elif before.words != words:
            doubtful = bool(before.maybe_seen)
            maybe_seen = [*before.maybe_seen, before.words] if before.seen_at is None else []
            self.entries[record] = Entry(
                words, self.tick, doubtful=doubtful, maybe_seen=maybe_seen, before=before.seen_last
            )

    def unsay(self, record: str) -> bool:
        """A person removes the entry; whether there was one."""
        if record not in self.entries:
            return False
        gone = self.entries.pop(record)
        # Words that no run has seen are as if they had not been said.
        self.gone_entries[record] += [gone.before, gone] if gone.seen_at is None and gone.before else [gone]
        self.is_less_than_seen = True
        self._leave_what_was_asked(gone.words)
        return True

    def _leave_what_was_asked(self, words: Words) -> None:
        """What an entry that is removed has asked for may stand, in place of what rules ask for."""
        for study in self.studies.values():
            if words.study == study.uid or words.accession in study.accessions:
                self.rules_must.pop((study.uid, words.key), None)

    def switch_off(self, record: str) -> bool:
        """A person removes the rule; whether there was one."""
        self.is_less_than_seen |= record in self.rules
        return self.rules.pop(record, None) is not None

    # -- summaries ----------------------------------------------------------------------------------------

    def restate(self, study: Study, told: dict[str, Statement]) -> None:
        """Its summaries say something else: what rules asked by what they said before counts no more.

        What a rule that is gone, or reads otherwise now, would have asked by what they say now, may stand.
        """
        before = _names_by_called(study)
        study.were |= study.patients
        study.series |= told
        kept = {name for name, _ in before & _names_by_called(study)}
        study.undecided |= {series: [] for series in told}
        for key in [key for named, key in self.rules_may if named == study.uid]:
            self.rules_may[study.uid, key] &= kept
            self.rules_must.pop((study.uid, key), None)

    # -- what was decided by hand ---------------------------------------------------------------------------

    def hand(self, study: str, key: Key) -> Hand | None:
        return next((hand for hand in reversed(self.hands) if hand.covers(study, key)), None)

    def excuse(self, study: str, key: Key) -> Excuse | None:
        """The last one that nobody's replay or restoring has overruled."""
        overruled = self.asked_again.get((study, key), NEVER)
        excuses = (e for e in reversed(self.excuses) if e.covers(study, key) and e.tick > overruled)
        return next(excuses, None)

    def ask_again(self, site: str, project: str) -> None:
        """An operator replays the project: its rules and entries of today are applied to all that is at the site."""
        for study in self.studies.values():
            if study.on_disk and study.site == site:
                by_rule = {
                    (key, name) for key, name in _asked(self.rules, study.series.values()) if key.project == project
                }
                for key in {key for key, _ in by_rule}:
                    self.rules_must[study.uid, key] = {name for k, name in by_rule if k == key}
                for key in {key for key, _ in by_rule} | {e.words.key for e in self.entries.values()}:
                    if key.project == project:
                        self.asked_again[study.uid, key] = self.tick

    # -- who may go where under which name -------------------------------------------------------------------

    def has_withdrawn(self, study: str, project: str, since: int = NEVER) -> bool:
        """Whether one of its patients takes part in the project no longer, and has said so since then."""
        withdrawn = (self.withdrawn.get((patient, project)) for patient in self.studies[study].patients)
        return any(tick is not None and tick > since for tick in withdrawn)

    def may_have_withdrawn(self, study: str, project: str, since: int) -> bool:
        """The same, or one whose the study was once said to be: under whose pseudonym it may have been asked for."""
        withdrawn = (self.withdrawn.get((patient, project), NEVER) for patient in self.studies[study].were)
        return self.has_withdrawn(study, project, since) or any(tick > since for tick in withdrawn)

    def may_share(self, project: str, studies: Iterable[str]) -> bool:
        """Whether these may have one pseudonym: of one patient, as far as they say so and always said so."""
        known = [self.studies[study] for study in studies]
        is_told_otherwise = project in self.joined or any(study.was_restated or study.is_mixed for study in known)
        return is_told_otherwise or len(set().union(*(study.patients for study in known))) < 2

    def others_with(self, study: str, project: str, name: str) -> set[str]:
        """Other studies for which the pseudonym is, or was, somebody's word."""
        entries = [*self.entries.values(), *(entry for gone in self.gone_entries.values() for entry in gone)]
        named = {
            other.uid
            for other in self.studies.values()
            for entry in entries
            if (entry.words.key.project, entry.words.subject) == (project, name)
            and (entry.words.study == other.uid or entry.words.accession in other.accessions)
        }
        return (named | self.uses[project, name]) - {study}

    # -- runs ---------------------------------------------------------------------------------------------

    def run(self, site: str, *, undisturbed: bool) -> None:
        """What a run of the site may have decided by, and an undisturbed one must have."""
        for study in self.studies.values():
            is_here = study.site == site or bool(study.moving)
            if is_here and study.on_disk and not study.is_mixed:
                self._apply_rules(study, undisturbed=undisturbed and not study.moving)
            elif is_here and not study.on_disk and study.undecided:
                # What a killed run had read of it is decided by the next, though its files are gone.
                self._rules_may_ask(study)
            if undisturbed and study.moving[:1] == [site]:
                study.moving.pop(0)
        self.is_less_than_seen = False
        if undisturbed:
            self.rules_seen.update(self.rules)
        for entry in self.entries.values():
            if undisturbed and entry.seen_at is None:
                entry.seen_at = self.tick
                entry.maybe_seen.clear()
            elif not undisturbed:
                entry.maybe_seen.append(entry.words)

    def _rules_may_ask(self, study: Study) -> None:
        for key, name in _asked(self.rules, study.series.values()):
            self.rules_may[study.uid, key].add(name)

    def _apply_rules(self, study: Study, *, undisturbed: bool) -> None:
        self._rules_may_ask(study)
        self._leave_what_rules_gave_up(study)
        for seen in study.undecided.values():
            seen.append(dict(self.rules))
            if not undisturbed:
                # One that no run had ever seen cannot be missed.
                seen.append({record: rule for record, rule in self.rules.items() if record in self.rules_seen})
        if undisturbed and study.undecided:
            gained = [study.series[series] for series in study.undecided]
            views = [_asked(rules, gained) for seen in study.undecided.values() for rules in seen]
            study.undecided.clear()
            for key in {key for view in views for key, _ in view}:
                names = [{name for k, name in view if k == key} for view in views]
                if all(each == names[0] for each in names):
                    self.rules_must[study.uid, key] = names[0]
                else:
                    self.rules_must.pop((study.uid, key), None)

    def _leave_what_rules_gave_up(self, study: Study) -> None:
        """Of what rules contradicted each other about, or an entry has had the word, what they ask for now counts."""
        asked = _asked(self.rules, study.series.values())
        for (uid, key), names in list(self.rules_must.items()):
            outranked = any(words.key == key and study.is_named_by(words) for words in self.said)
            is_open = len(names) > 1 or outranked
            if uid == study.uid and is_open and names != {name for k, name in asked if k == key}:
                del self.rules_must[uid, key]


def _names_by_called(study: Study) -> set[tuple[str, str]]:
    """What rules can take as a pseudonym, each with the AE title that they go by."""
    told = study.series.values()
    return {(name, said.called) for said in told for name in (said.patient_id, said.patient_name)}


def _asked(rules: dict[str, Rule], said: Iterable[Statement]) -> set[tuple[Key, str]]:
    return {(rule.key, name) for rule in rules.values() for told in said if (name := rule.pseudonym(told)) is not None}
