"""What REDCap's transfers must come to, worked out from the contract alone: the oracle of random histories.

It knows files, rules, entries, rows and minutes as a person would list them on paper, and nothing of
events, tables or calls. There is a run a minute. All studies are of one patient, all series of one come over
the same connection, and patterns match whole texts. Nothing is held.
"""

from dataclasses import dataclass, field
from typing import NamedTuple


class Key(NamedTuple):
    project: str
    event: str


@dataclass(frozen=True)
class Study:
    """A study as its scanner makes it."""

    uid: str
    accession: str
    patient_id: str
    patient_name: str


@dataclass(frozen=True)
class Rule:
    key: Key
    by_name: bool
    active: bool


@dataclass(frozen=True)
class Entry:
    key: Key
    subject: str
    accession: str = ""
    study: str = ""

    @property
    def is_usable(self) -> bool:
        return bool(self.key.project and self.subject and (self.accession or self.study))

    def names(self, study: Study) -> bool:
        by_accession = bool(self.accession) and self.accession == study.accession
        return self.is_usable and (self.study == study.uid or by_accession)


@dataclass
class Row:
    """A row of `transfers`; one of ours that was closed has no name."""

    key: Key
    name: str
    ours: bool
    sent: bool = False


@dataclass(eq=False)
class Request:
    """A request that this system decided on, placed in the `minute`.

    `life`: which making of an entry of that record id it came from. One that is over waits to be ended.
    """

    key: Key
    name: str
    kind: str
    record: str
    life: int = 0
    state: str = "open"
    instance: int = 0
    minute: int = 0
    replaces: list["Request"] = field(default_factory=list)

    @property
    def in_force(self) -> bool:
        return self.state in ("open", "placed", "contested")

    @property
    def is_unsettled(self) -> bool:
        return self.state in ("open", "over")


class Conflict(NamedTuple):
    """Why nothing is asked for, and of whom that is a quarrel: records or requests."""

    kind: str
    between: frozenset[object] = frozenset()


@dataclass
class Known:
    """What is known of a study that has arrived.

    `deferred` is what was left open because records were missing from one export, with the rules that were; `applied`
    are the wordings of the rules that were applied when it last gained a series.
    """

    on_disk: bool = True
    series: set[str] = field(default_factory=set)
    requests: list[Request] = field(default_factory=list)
    conflicts: dict[Key, Conflict] = field(default_factory=dict)
    deferred: dict[Key, set[str]] = field(default_factory=dict)
    applied: dict[str, int] = field(default_factory=dict)
    touched: bool = False


class Candidate(NamedTuple):
    """Somebody's wish; entries sort before rules."""

    rank: int
    record: str
    name: str

    @property
    def kind(self) -> str:
        return ("coupling", "rule")[self.rank]


class Plan(NamedTuple):
    """What a run would do about a study."""

    requests: list[tuple[Key, Candidate, list[Request]]]
    withdrawn: list[Request]
    conflicts: dict[Key, Conflict]
    over: list[Key]

    def steps(self, known: Known) -> set[tuple[Key, object]]:
        """All that it would change, each with the key that it is done for."""
        return {
            *((key, winner.name) for key, winner, _ in self.requests),
            *((old.key, old) for _, _, replaced in self.requests for old in replaced),
            *((old.key, ("withdrawn", old)) for old in self.withdrawn),
            *((key, conflict) for key, conflict in self.conflicts.items() if known.conflicts.get(key) != conflict),
            *((key, "over") for key in self.over),
        }


class Model:
    """The world outside, and what a run makes of it.

    `doubted` are the lists and records that the last export lacked. Until the next one lacks them, too, a run does
    only what it would do whether or not they are gone.
    """

    def __init__(self, studies: list[Study]) -> None:
        self.studies = {study.uid: study for study in studies}
        self.disk: dict[str, set[str]] = {}
        self.grown: set[str] = set()
        self.rules: dict[str, Rule] = {}
        self.entries: dict[str, Entry] = {}
        self.redcap: dict[str, dict[int, Row]] = {study.uid: {} for study in studies}
        self.known: dict[str, Known] = {}
        self.doubted: set[tuple[str, str]] = set()
        self._rules: dict[str, Rule] = {}
        self._entries: dict[str, Entry] = {}
        self._entries_of_old: dict[str, Entry] = {}
        self._lives: dict[str, int] = {}
        self._wordings: dict[str, int] = {}
        self._minute = 0

    def run(self) -> None:
        """A run that nobody disturbs, a minute later."""
        self._minute += 1
        gained, returned = self._discover()
        changed, directed = self._observe()
        for uid, known in self.known.items():
            study = self.studies[uid]
            named = known.on_disk and any(self._entries[r].names(study) for r in changed)
            corrected = any(q.in_force and q.kind == "coupling" and q.record in changed for q in known.requests)
            undecided = any(conflict.kind != "person" for conflict in known.conflicts.values())
            again = known.on_disk and (bool(known.deferred) or (undecided and (directed or uid in returned)))
            if uid in gained or uid in returned or named or corrected or again:
                self._decide(study, known, gained=uid in gained)
        for uid, known in self.known.items():
            if known.touched or any(request.is_unsettled for request in known.requests):
                self._deliver(known, self.redcap[uid])
            known.touched = False

    def _observe(self) -> tuple[set[str], bool]:
        """Reads both lists: the entries that are new or changed, and whether anything is, or is gone."""
        missing = {("rule", r) for r in self._rules.keys() - self.rules.keys()}
        missing |= {("coupling", r) for r in self._entries.keys() - self.entries.keys()}
        self.doubted = missing - self.doubted
        rules = {r: rule for r, rule in self._rules.items() if ("rule", r) in self.doubted} | self.rules
        entries = {r: entry for r, entry in self._entries.items() if ("coupling", r) in self.doubted} | self.entries
        changed = {r for r, entry in entries.items() if self._entries.get(r) != entry}
        directed = rules != self._rules or entries != self._entries
        for record in entries.keys() - self._entries.keys():
            if self._entries_of_old.get(record) != entries[record]:
                self._lives[record] = self._lives.get(record, 0) + 1
        for record, rule in rules.items():
            if self._rules.get(record) != rule:
                self._wordings[record] = self._wordings.get(record, 0) + 1
        self._entries_of_old |= entries
        self._rules, self._entries = rules, entries
        return changed, directed

    def _discover(self) -> tuple[set[str], set[str]]:
        gained, returned = set(), set()
        for uid, series in self.disk.items():
            if uid not in self.known:
                self.known[uid] = Known()
            known = self.known[uid]
            if series - known.series:
                gained.add(uid)
            if not known.on_disk:
                returned.add(uid)
            known.touched = bool(series - known.series) or uid in self.grown
            known.series |= series
        for uid, known in self.known.items():
            known.on_disk = uid in self.disk
        self.grown.clear()
        return gained, returned

    def _decide(self, study: Study, known: Known, *, gained: bool) -> None:
        """Does what is to be done whether or not the doubted is gone, and leaves the rest open."""
        if gained:
            known.applied = dict(self._wordings)
        wishes = self._wishes(study, known, gained=gained)
        doubtful = {wish for rivals in wishes.values() for wish in rivals if (wish.kind, wish.record) in self.doubted}
        certain = {key: left for key, rivals in wishes.items() if (left := [w for w in rivals if w not in doubtful])}
        entries = {r: entry for r, entry in self._entries.items() if ("coupling", r) not in self.doubted}
        plan = self._plan(study, known, certain, entries)
        one, other = plan.steps(known), self._plan(study, known, wishes, self._entries).steps(known)
        made = [
            self._request(key, winner, [old for old in replaced if (old.key, old) in one & other])
            for key, winner, replaced in plan.requests
            if (key, winner.name) in one & other
        ]
        for request in [old for new in made for old in new.replaces]:
            request.state = "over"
        for request in plan.withdrawn:
            if (request.key, ("withdrawn", request)) in one & other:
                request.state = "over"
        known.requests += made
        for key in plan.over:
            if (key, "over") in one & other:
                del known.conflicts[key]
        known.conflicts |= {key: found for key, found in plan.conflicts.items() if (key, found) in one & other}
        rules = {wish.record for wish in doubtful if wish.kind == "rule"}
        left_open = {key: rules for key, _ in one ^ other}
        known.deferred = left_open if known.on_disk else known.deferred | left_open

    def _plan(self, study: Study, known: Known, wishes: dict[Key, list[Candidate]], entries: dict[str, Entry]) -> Plan:
        agreed = {key: winner for key, rivals in wishes.items() if (winner := _winner(rivals)) is not None}
        conflicts = {key: Conflict("equals", _equals(wishes[key])) for key in wishes.keys() - agreed.keys()}
        requests: list[tuple[Key, Candidate, list[Request]]] = []
        for key, winner in sorted(agreed.items()):
            current = next((request for request in known.requests if request.in_force and request.key == key), None)
            hidden = known.conflicts.get(key, _OF_A_PERSON).kind != "person"
            if current is not None and current.name == winner.name:
                if current.state == "contested" and hidden:
                    requests.append((key, winner, [current]))
            elif current is not None and winner.kind == "rule" and self._coupling_stands(study, current, entries):
                conflicts[key] = Conflict("coupling stands", frozenset({current, winner}))
            else:
                replaced = [] if current is None else [current]
                moved = self._moved(study, known, key, winner, agreed, entries)
                requests.append((key, winner, replaced + moved))
        given_up = [request for _, _, replaced in requests for request in replaced]
        withdrawn = self._withdrawn(study, known, agreed, given_up, entries)
        withdrawn += [
            request
            for request in known.requests
            if request.in_force
            and request not in [*given_up, *withdrawn]
            and conflicts.get(request.key, _OF_A_PERSON).kind == "equals"
            and (min(wishes[request.key]).kind == "coupling" or request.kind == "rule")
        ]
        over = [key for key, found in known.conflicts.items() if found.kind != "person" and key not in conflicts]
        return Plan(requests, withdrawn, conflicts, over if known.on_disk else [])

    def _moved(
        self,
        study: Study,
        known: Known,
        key: Key,
        winner: Candidate,
        agreed: dict[Key, Candidate],
        entries: dict[str, Entry],
    ) -> list[Request]:
        """What the winning entry asked for before it was corrected, and nobody asks for any more."""
        if winner.kind != "coupling" or not entries[winner.record].names(study):
            return []
        return [
            request
            for request in known.requests
            if request.in_force
            and self._same_entry(request, entries) == winner.record
            and request.key != key
            and not _is_wanted(request, agreed)
        ]

    def _withdrawn(
        self,
        study: Study,
        known: Known,
        agreed: dict[Key, Candidate],
        given_up: list[Request],
        entries: dict[str, Entry],
    ) -> list[Request]:
        """What corrected entries no longer ask of this study."""
        withdrawn = []
        for request in known.requests:
            record = self._same_entry(request, entries)
            if not request.in_force or record is None or request in given_up or _is_wanted(request, agreed):
                continue
            if _asks_elsewhere(entries[record], study, request):
                withdrawn.append(request)
        return withdrawn

    def _wishes(self, study: Study, known: Known, *, gained: bool) -> dict[Key, list[Candidate]]:
        wishes: dict[Key, list[Candidate]] = {}
        if known.on_disk:
            for record, entry in self._entries.items():
                if entry.names(study):
                    wishes.setdefault(entry.key, []).append(Candidate(0, record, entry.subject))
        open_rules = {record for rules in known.deferred.values() for record in rules}
        given_up = self._given_up(study, known) if known.on_disk else set()
        for record, rule in self._rules.items():
            resumed = known.on_disk and (rule.key in known.deferred or record in open_rules)
            outranked = rule.key in given_up and known.applied.get(record) == self._wordings[record]
            if rule.active and (gained or resumed or outranked or rule.key in known.conflicts):
                name = study.patient_name if rule.by_name else study.patient_id
                wishes.setdefault(rule.key, []).append(Candidate(1, record, name))
        return wishes

    def _given_up(self, study: Study, known: Known) -> set[Key]:
        """What corrected entries asked for: there the rules have the word that they outranked."""
        return {
            request.key
            for request in known.requests
            if request.in_force
            and request.kind == "coupling"
            and not self._coupling_stands(study, request, self._entries)
        }

    def _coupling_stands(self, study: Study, request: Request, entries: dict[str, Entry]) -> bool:
        """Whether the request came from an entry that was not corrected to ask for something else."""
        record = self._same_entry(request, entries)
        return request.kind == "coupling" and (record is None or not _asks_elsewhere(entries[record], study, request))

    def _request(self, key: Key, winner: Candidate, replaced: list[Request]) -> Request:
        life = self._lives[winner.record] if winner.kind == "coupling" else 0
        chain: list[Request] = []
        for request in replaced:
            chain += [request] if request.state == "placed" else [request, *request.replaces]
        return Request(key, winner.name, winner.kind, winner.record, life, replaces=chain)

    def _same_entry(self, request: Request, entries: dict[str, Entry]) -> str | None:
        """The record of the entry that led to the request, if it is usable and the same entry still."""
        if request.kind != "coupling" or request.record not in entries:
            return None
        usable = entries[request.record].is_usable
        return request.record if usable and self._lives[request.record] == request.life else None

    def _deliver(self, known: Known, rows: dict[int, Row]) -> None:
        contests = {key for key, conflict in known.conflicts.items() if conflict.kind == "person"}
        for request in known.requests:
            if request.state not in ("open", "contested"):
                continue
            self._place(request, known.requests, rows)
            if request.state == "contested":
                if request.key not in contests:
                    known.conflicts[request.key] = _OF_A_PERSON
                contests.discard(request.key)
        for key in contests:
            del known.conflicts[key]
        for request in known.requests:
            if request.state == "over":
                self._end(request, rows)

    def _place(self, request: Request, requests: list[Request], rows: dict[int, Row]) -> None:
        """Brings one request into REDCap, in the place of one that is over if the sender cannot have that."""
        over = {place: old for old in requests if old.state == "over" and (place := _row_of(old, rows)) is not None}
        alike = [n for n, row in sorted(rows.items()) if (row.key, row.name) == (request.key, request.name)]
        alike.sort(key=lambda place: place in over)
        free = [place for place, old in over.items() if old in request.replaces and self._is_safe(old, rows[place])]
        if not alike and any(row.key == request.key and not row.ours for row in rows.values()):
            request.state = "contested"
            return
        if alike:
            instance = alike[0]
        else:
            instance = free[0] if free else max([0, *rows, *(other.instance for other in requests)]) + 1
            rows[instance] = Row(request.key, request.name, ours=True)
        if instance in over:
            over[instance].state = "ended"
        request.state, request.instance, request.minute = "placed", instance, self._minute

    def _end(self, request: Request, rows: dict[int, Row]) -> None:
        """Empties the row if the sender cannot have it, else closes it: what was sent is not to be sent again."""
        request.state = "ended"
        place = _row_of(request, rows)
        if place is not None and self._is_safe(request, rows[place]):
            del rows[place]
        elif place is not None:
            rows[place].name = ""

    def _is_safe(self, request: Request, row: Row) -> bool:
        """Whether what the row says cannot have been sent."""
        return not row.sent and self._minute - request.minute <= 1


_OF_A_PERSON = Conflict("person")


def _equals(rivals: list[Candidate]) -> frozenset[Candidate]:
    return frozenset(rival for rival in rivals if rival.rank == min(rivals).rank)


def _winner(rivals: list[Candidate]) -> Candidate | None:
    return min(rivals) if len({rival.name for rival in _equals(rivals)}) == 1 else None


def _asks_elsewhere(entry: Entry, study: Study, request: Request) -> bool:
    return not entry.names(study) or (entry.key, entry.subject) != (request.key, request.name)


def _is_wanted(request: Request, agreed: dict[Key, Candidate]) -> bool:
    return request.key in agreed and agreed[request.key].name == request.name


def _row_of(request: Request, rows: dict[int, Row]) -> int | None:
    """Where REDCap has the row that we wrote for the request, as we wrote it."""
    row = rows.get(request.instance)
    fits = row is not None and row.ours and (row.key, row.name) == (request.key, request.name)
    return request.instance if fits else None
