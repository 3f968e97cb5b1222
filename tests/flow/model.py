"""What REDCap's transfers must come to, worked out from the contract alone: the oracle of random histories.

It knows files, rules, entries, rows and minutes as a person would list them on paper, and nothing of
events, tables or calls. There is a run a minute. Every study has one patient, all of its series come over
the same connection, and patterns match whole texts.
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


@dataclass
class Known:
    """What is known of a study that has arrived."""

    on_disk: bool = True
    series: set[str] = field(default_factory=set)
    requests: list[Request] = field(default_factory=list)
    conflicts: dict[Key, str] = field(default_factory=dict)
    touched: bool = False


class Candidate(NamedTuple):
    """Somebody's wish; entries sort before rules."""

    rank: int
    record: str
    name: str

    @property
    def kind(self) -> str:
        return ("coupling", "rule")[self.rank]


class Model:
    """The world outside, and what a run makes of it."""

    def __init__(self, studies: list[Study]) -> None:
        self.studies = {study.uid: study for study in studies}
        self.disk: dict[str, set[str]] = {}
        self.grown: set[str] = set()
        self.rules: dict[str, Rule] = {}
        self.entries: dict[str, Entry] = {}
        self.redcap: dict[str, dict[int, Row]] = {study.uid: {} for study in studies}
        self.known: dict[str, Known] = {}
        self._rules_seen: dict[str, Rule] = {}
        self._entries_seen: dict[str, Entry] = {}
        self._entries_of_old: dict[str, Entry] = {}
        self._lives: dict[str, int] = {}
        self._minute = 0

    def run(self) -> None:
        """A run that nobody disturbs, a minute later."""
        self._minute += 1
        gained, returned = self._discover()
        changed = {r for r, entry in self.entries.items() if self._entries_seen.get(r) != entry}
        directed = self.rules != self._rules_seen or self.entries != self._entries_seen
        for record in self.entries.keys() - self._entries_seen.keys():
            if self._entries_of_old.get(record) != self.entries[record]:
                self._lives[record] = self._lives.get(record, 0) + 1
        self._entries_of_old |= self.entries
        self._rules_seen, self._entries_seen = dict(self.rules), dict(self.entries)
        for uid, known in self.known.items():
            study = self.studies[uid]
            named = known.on_disk and any(self.entries[r].names(study) for r in changed)
            corrected = any(q.in_force and q.kind == "coupling" and q.record in changed for q in known.requests)
            undecided = any(kind != "person" for kind in known.conflicts.values())
            again = known.on_disk and undecided and (directed or uid in returned)
            if uid in gained or uid in returned or named or corrected or again:
                self._decide(study, known, gained=uid in gained)
        for uid, known in self.known.items():
            if known.touched or any(request.is_unsettled for request in known.requests):
                self._deliver(known, self.redcap[uid])
            known.touched = False

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
        wishes = self._wishes(study, known, gained=gained)
        agreed = {key: winner for key, rivals in wishes.items() if (winner := _winner(rivals)) is not None}
        conflicts = dict.fromkeys(wishes.keys() - agreed.keys(), "equals")
        made: list[Request] = []
        for key, winner in sorted(agreed.items()):
            current = next((request for request in known.requests if request.in_force and request.key == key), None)
            hidden = known.conflicts.get(key, "person") != "person"
            if current is not None and current.name == winner.name:
                if current.state == "contested" and hidden:
                    made.append(self._request(key, winner, [current]))
            elif current is not None and current.kind == "coupling" and winner.kind == "rule":
                conflicts[key] = "coupling stands"
            else:
                replaced = [] if current is None else [current]
                made.append(self._request(key, winner, replaced + self._moved(study, known, key, winner, agreed)))
        given_up = [request for new in made for request in new.replaces]
        self._withdraw(study, known, agreed, given_up)
        for request in given_up:
            request.state = "over"
        known.requests += made
        if known.on_disk:
            for key in [key for key, kind in known.conflicts.items() if kind != "person" and key not in conflicts]:
                del known.conflicts[key]
        known.conflicts |= conflicts

    def _moved(
        self, study: Study, known: Known, key: Key, winner: Candidate, agreed: dict[Key, Candidate]
    ) -> list[Request]:
        """What the winning entry asked for before it was corrected, and nobody asks for any more."""
        if winner.kind != "coupling" or not self.entries[winner.record].names(study):
            return []
        return [
            request
            for request in known.requests
            if request.in_force
            and self._same_entry(request) == winner.record
            and request.key != key
            and not _is_wanted(request, agreed)
        ]

    def _withdraw(self, study: Study, known: Known, agreed: dict[Key, Candidate], given_up: list[Request]) -> None:
        """Withdraws what corrected entries no longer ask of this study."""
        for request in known.requests:
            record = self._same_entry(request)
            if not request.in_force or record is None or request in given_up or _is_wanted(request, agreed):
                continue
            entry = self.entries[record]
            if not entry.names(study) or (entry.key, entry.subject) != (request.key, request.name):
                request.state = "over"

    def _wishes(self, study: Study, known: Known, *, gained: bool) -> dict[Key, list[Candidate]]:
        wishes: dict[Key, list[Candidate]] = {}
        if known.on_disk:
            for record, entry in self.entries.items():
                if entry.names(study):
                    wishes.setdefault(entry.key, []).append(Candidate(0, record, entry.subject))
        for record, rule in self.rules.items():
            if rule.active and (gained or rule.key in known.conflicts):
                name = study.patient_name if rule.by_name else study.patient_id
                wishes.setdefault(rule.key, []).append(Candidate(1, record, name))
        return wishes

    def _request(self, key: Key, winner: Candidate, replaced: list[Request]) -> Request:
        life = self._lives[winner.record] if winner.kind == "coupling" else 0
        chain: list[Request] = []
        for request in replaced:
            chain += [request] if request.state == "placed" else [request, *request.replaces]
        return Request(key, winner.name, winner.kind, winner.record, life, replaces=chain)

    def _same_entry(self, request: Request) -> str | None:
        """The record of the entry that led to the request, if it is usable and the same entry still."""
        if request.kind != "coupling" or request.record not in self.entries:
            return None
        usable = self.entries[request.record].is_usable
        return request.record if usable and self._lives[request.record] == request.life else None

    def _deliver(self, known: Known, rows: dict[int, Row]) -> None:
        contests = {key for key, kind in known.conflicts.items() if kind == "person"}
        for request in known.requests:
            if request.state not in ("open", "contested"):
                continue
            self._place(request, known.requests, rows)
            if request.state == "contested":
                if request.key not in contests:
                    known.conflicts[request.key] = "person"
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


def _winner(rivals: list[Candidate]) -> Candidate | None:
    best = min(rivals)
    equals = [rival for rival in rivals if rival.rank == best.rank]
    return best if len({rival.name for rival in equals}) == 1 else None


def _is_wanted(request: Request, agreed: dict[Key, Candidate]) -> bool:
    return request.key in agreed and agreed[request.key].name == request.name


def _row_of(request: Request, rows: dict[int, Row]) -> int | None:
    """Where REDCap has the row that we wrote for the request, as we wrote it."""
    row = rows.get(request.instance)
    fits = row is not None and row.ours and (row.key, row.name) == (request.key, request.name)
    return request.instance if fits else None
