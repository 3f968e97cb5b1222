"""Planning rows: what holds for every history of a study's requests, whatever of it REDCap or the ledger has."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.delivery.plan import DesiredStudy, Plan
from processors.events.deliveries import StudyDelivered
from processors.events.rules import ConflictFound, ConflictResolved
from processors.events.transfers import TransferAmended, TransferPlaced, TransferWithdrawn
from processors.redcap import transfers
from processors.requests import AWAITED, Key, Report, State, TransferRequest, TransferRow, owner, rows_written
from tests.delivery.planning import STUDY_ROW, Redcap, all_facts, imported, instance_of, instances, plan, series, told
from tests.transfer_requests import FAILED, JUST_NOW, LONG_AGO, NOW, SENT, STUDY, ours

PROJECTS = st.sampled_from(["HEART", "BRAIN"])
NAMES = st.sampled_from(["P1", "P2", "P3"])
EVENTS = st.sampled_from(["", "visit_1"])
REPORTS = st.sampled_from([AWAITED, AWAITED, SENT, FAILED])
WHEN = st.sampled_from([JUST_NOW, LONG_AGO])


@dataclass(frozen=True)
class Scene:
    """A study as the ledger wants it and as REDCap has it; `theirs` are the transfer rows of people."""

    desired: DesiredStudy
    redcap: Redcap
    theirs: frozenset[int]

    @property
    def rows(self) -> list[TransferRow]:
        """The rows of `transfers` that say anything."""
        return list(transfers.transfer_rows(self.redcap.export()))

    @property
    def due(self) -> list[TransferRequest]:
        """The requests in force that are to be settled."""
        return [
            request for request in self.desired.requests if request.in_force and request.position in self.desired.due
        ]

    def plan(self) -> Plan:
        return plan(self.desired, self.redcap)

    def then(self, found: Plan) -> "Scene":
        """Once the plan was imported, and the ledger has heard nothing of it."""
        return Scene(self.desired, imported(self.redcap, found), self.theirs)


@dataclass
class Histories:
    """Draws chains of corrections as decisions make them: some delivered, some delivered and never recorded,
    rows amended, closed, or left by a run that was killed; people's rows in between, some of them asking for
    the same; rows that the sender met at any time.
    """

    draw: st.DrawFn
    redcap: Redcap = field(default_factory=Redcap)
    requests: list[TransferRequest] = field(default_factory=list)
    theirs: set[int] = field(default_factory=set)
    instance: int = 0

    def chain(self, project: str, event: str) -> None:
        """A request, what was asked for in its place, and so on; the last stands or was retracted."""
        made: list[TransferRequest] = []
        row: int | None = None
        for _ in range(self.draw(st.integers(1, 4))):
            if self.draw(st.booleans()):
                self.person()
            request = self.request(project, event, made)
            fate = self.draw(st.sampled_from(["never imported", "never recorded", "placed"]))
            if fate != "never imported":
                before = row
                row = self.written(request, row)
                if fate == "placed":
                    request = replace(request, state="placed", instance=row, placed_at=self.draw(WHEN))
                    if row == before:
                        made = [self.amended(older, row) for older in made]
            made.append(request)
        *older, last = made
        if self.draw(st.booleans()):
            last = replace(last, state="ending")
        self.requests += [*map(self.ended, older), last]

    def person(self) -> None:
        """A person asks for something."""
        self.instance += self.draw(st.integers(1, 2))
        self.theirs.add(self.instance)
        asked = self.draw(st.tuples(PROJECTS, NAMES, EVENTS))
        self.redcap.request(self.instance, *asked, report=self.draw(REPORTS))

    def request(self, project: str, event: str, made: Sequence[TransferRequest]) -> TransferRequest:
        """It is decided that the study goes to the project, in the place of what was decided before."""
        position = 2 + len(self.requests) + len(made)
        replaces = tuple(request.position for request in made[-self.draw(st.integers(1, 2)) :])
        return ours(position, project, self.draw(NAMES), event, replaces=replaces, recalled=self.draw(st.booleans()))

    def written(self, request: TransferRequest, before: int | None) -> int:
        """The instance that its row was written to: the predecessor's, or a new one, that being closed or not."""
        if before is not None:
            fields = self.redcap.rows["transfers", before]
            if not fields["transfer_date"] and fields["transfer_name"] and self.draw(st.booleans()):
                self.redcap.by_us(before, request, self.draw(REPORTS))
                return before
            if self.draw(st.booleans()):
                fields["transfer_name"] = ""
        self.instance += self.draw(st.integers(1, 2))
        self.redcap.by_us(self.instance, request, self.draw(REPORTS))
        return self.instance

    @staticmethod
    def amended(older: TransferRequest, row: int | None) -> TransferRequest:
        """What stood in a row that was amended is withdrawn."""
        return replace(older, state="withdrawn") if older.instance == row else older

    def ended(self, older: TransferRequest) -> TransferRequest:
        """A request that another replaced: its rows wait to be ended, or were, and one turned up again."""
        if older.state == "withdrawn":
            return older
        return replace(older, state=self.draw(st.sampled_from(["ending", "ending", "ending", "withdrawn", "closed"])))


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    histories = Histories(draw)
    if draw(st.booleans()):
        histories.redcap.add("", 0)
    for project, event in draw(st.lists(st.tuples(PROJECTS, EVENTS), unique=True, max_size=3)):
        histories.chain(project, event)
    there = draw(st.dictionaries(st.integers(1, 12), st.sampled_from("abcde"), max_size=5))
    for instance, uid in there.items():
        histories.redcap.add("series", instance, series_instance_uid=uid)
    known = {uid: instance for instance, uid in there.items() if draw(st.booleans())}
    uids = sorted(draw(st.sets(st.sampled_from("abcde"))))
    desired = DesiredStudy(
        study=STUDY,
        row=STUDY_ROW | {"study_date": "20260302"} if draw(st.booleans()) else None,
        row_position=1,
        series=[series(uid, number, known.get(uid)) for number, uid in enumerate(uids, 1)],
        series_instances=known,
        requests=histories.requests,
        due={request.position for request in histories.requests if request.state in ("requested", "ending")},
    )
    return Scene(desired, histories.redcap, frozenset(histories.theirs))


def recorded(scene: Scene, found: Plan) -> Scene:
    """The scene once the plan was imported and its facts are in the ledger."""
    known = {request.position: request for request in scene.desired.requests}
    contests = set(scene.desired.contests)
    for fact in all_facts(found):
        if isinstance(fact, TransferPlaced | TransferAmended):
            known[fact.request] = replace(
                known[fact.request],
                state="placed",
                instance=fact.instance,
                found=isinstance(fact, TransferPlaced) and fact.found,
                placed_at=NOW,
            )
        if isinstance(fact, TransferAmended):
            known[fact.replaced] = replace(known[fact.replaced], state="withdrawn")
        elif isinstance(fact, TransferWithdrawn):
            state: State = "withdrawn" if fact.fate == "unsent" else "closed"
            known[fact.request] = replace(known[fact.request], state=state)
        elif isinstance(fact, ConflictFound):
            known[fact.request or 0] = replace(known[fact.request or 0], state="contested")
            contests.add(Key(fact.project, fact.event_name))
        elif isinstance(fact, ConflictResolved):
            contests.discard(Key(fact.project, fact.event_name))
    desired = DesiredStudy(
        study=STUDY,
        delivered=scene.desired.row is not None,
        series_instances=scene.desired.series_instances | series_placed(found),
        requests=list(known.values()),
        due={request.position for request in known.values() if request.state in ("requested", "contested", "ending")},
        contests=contests,
    )
    return Scene(desired, imported(scene.redcap, found), scene.theirs)


def series_placed(found: Plan) -> dict[str, int]:
    """Where each series ends up."""
    return {uid: at["instance"] for fact in told(found, StudyDelivered) for uid, at in fact.series.items()}


def requests_placed(found: Plan) -> dict[int, int]:
    """Where each request ends up."""
    facts = (fact for fact in all_facts(found) if isinstance(fact, TransferPlaced | TransferAmended))
    return {fact.request: fact.instance for fact in facts}


def contested(found: Plan) -> set[int | None]:
    """The requests that a person contests."""
    return {fact.request for fact in told(found, ConflictFound)}


def fates(found: Plan) -> dict[int, str]:
    """What became of the requests that end, but for those whose rows were amended."""
    return {fact.request: fact.fate for fact in told(found, TransferWithdrawn)}


def may_have_been_sent(request: TransferRequest, report: Report) -> bool:
    return report.state == "sent" or (report.state == "awaited" and request.may_be_taken(NOW))


@settings(max_examples=5 * settings().max_examples)
@given(scenes(), st.randoms(use_true_random=False))
def test_whatever_there_is_the_plan_holds(scene: Scene, chance: Random) -> None:
    """All at once: to make a scene up takes far longer than to look at it."""
    assert_no_row_of_somebody_else_is_touched(scene)
    assert_a_sent_row_loses_its_name_where_nobody_wants_it_any_more_and_never_anything_else(scene)
    assert_what_is_emptied_or_amended_is_ours_and_cannot_have_been_sent(scene)
    assert_what_may_have_been_sent_is_never_told_as_unsent(scene)
    assert_each_instance_is_written_at_most_once(scene)
    assert_new_instances_are_free_in_redcap_and_in_the_ledger(scene)
    assert_of_each_project_and_event_one_row_of_ours_at_most_can_be_sent_and_says_what_is_in_force(scene)
    assert_planning_again_after_an_import_that_was_never_recorded_gives_the_same(scene)
    assert_what_may_have_been_sent_is_told_after_an_import_that_was_never_recorded(scene)
    assert_an_import_of_any_part_of_the_rows_ends_in_the_same_requests(scene, chance)
    assert_once_recorded_nothing_is_left_to_do(scene)
    assert_every_request_ends_placed_once_or_contested(scene)
    assert_every_request_that_is_no_longer_in_force_ends(scene)
    assert_a_request_is_contested_exactly_where_a_person_asks_otherwise(scene)


def assert_no_row_of_somebody_else_is_touched(scene: Scene) -> None:
    assert not set(instances(scene.plan(), "transfer")) & scene.theirs


def assert_a_sent_row_loses_its_name_where_nobody_wants_it_any_more_and_never_anything_else(scene: Scene) -> None:
    after = scene.then(scene.plan())
    for row in scene.rows:
        if row.report.state == "sent":
            before, now = (of.redcap.rows["transfers", row.instance] for of in (scene, after))
            assert {name for name in before if before[name] != now[name]} <= {"transfer_name"}
            told_of, _ = owner(row, scene.desired.requests)
            assert now == before or (now["transfer_name"] == "" and told_of is not None and not told_of.in_force)


def assert_what_is_emptied_or_amended_is_ours_and_cannot_have_been_sent(scene: Scene) -> None:
    after = {row.instance: row for row in scene.then(scene.plan()).rows}
    for row in scene.rows:
        now = after.get(row.instance)
        if now is None or (now.project, now.name, now.requested) != (row.project, now.name and row.name, row.requested):
            request, wrote = owner(row, scene.desired.requests)
            assert wrote
            assert request is not None
            assert not may_have_been_sent(request, row.report)


def assert_what_may_have_been_sent_is_never_told_as_unsent(scene: Scene) -> None:
    requests = {request.position: request for request in scene.desired.requests}
    written = rows_written(scene.rows, scene.desired.requests)
    for position, fate in fates(scene.plan()).items():
        sent = any(may_have_been_sent(requests[position], row.report) for row in written.get(position, ()))
        assert not (sent and fate == "unsent")


def assert_each_instance_is_written_at_most_once(scene: Scene) -> None:
    found = scene.plan()
    for kind in ("series", "transfer"):
        assert len(instances(found, kind)) == len(set(instances(found, kind)))


def assert_new_instances_are_free_in_redcap_and_in_the_ledger(scene: Scene) -> None:
    for row in scene.plan().rows:
        if row.kind == "study":
            continue
        address = (str(row.fields["redcap_repeat_instrument"]), instance_of(row.fields))
        if address in scene.redcap.rows:
            continue
        if row.kind == "series":
            assert address[1] not in scene.desired.series_instances.values()
        else:
            assert address[1] not in {request.instance for request in scene.desired.requests}


def assert_of_each_project_and_event_one_row_of_ours_at_most_can_be_sent_and_says_what_is_in_force(
    scene: Scene,
) -> None:
    after = scene.then(scene.plan())
    rows = [row for row in after.rows if row.is_sendable and row.instance not in scene.theirs]
    assert not [key for key, count in Counter(row.key for row in rows).items() if count > 1]
    for row in rows:
        assert any(request.in_force and request.says(row) for request in scene.desired.requests)


def assert_planning_again_after_an_import_that_was_never_recorded_gives_the_same(scene: Scene) -> None:
    found = scene.plan()
    after = scene.then(found)
    again = after.plan()
    assert after.then(again).redcap.rows == after.redcap.rows
    assert requests_placed(again) == requests_placed(found)
    assert series_placed(again) == series_placed(found)
    assert contested(again) == contested(found)


def assert_what_may_have_been_sent_is_told_after_an_import_that_was_never_recorded(scene: Scene) -> None:
    """But of those that had been told as closed before."""
    found = scene.plan()
    again = fates(scene.then(found).plan())
    closed = {request.position for request in scene.desired.requests if request.state == "closed"}
    for position, fate in fates(found).items():
        if fate != "unsent" and position not in closed:
            assert again[position] == fate


def assert_an_import_of_any_part_of_the_rows_ends_in_the_same_requests(scene: Scene, chance: Random) -> None:
    """REDCap takes a portion and then refuses or dies: the next plan makes it whole."""
    found = scene.plan()
    some = replace(scene, redcap=scene.redcap.apply(row.fields for row in found.rows if chance.random() < 0.5))
    whole, again = scene.then(found), some.then(some.plan())
    assert sorted(again.redcap.sendable().values()) == sorted(whole.redcap.sendable().values())


def assert_once_recorded_nothing_is_left_to_do(scene: Scene) -> None:
    assert recorded(scene, scene.plan()).plan() == Plan()


def assert_every_request_ends_placed_once_or_contested(scene: Scene) -> None:
    found = scene.plan()
    after = imported(scene.redcap, found).sendable().values()
    before = scene.redcap.sendable().values()
    for request in scene.due:
        asked = (request.project, request.pseudonym, request.event_name)
        standing = [says for says in after if says == asked]
        if request.position in contested(found):
            assert not standing
        else:
            assert standing
            assert len(standing) <= max(len([says for says in before if says == asked]), 1)


def assert_every_request_that_is_no_longer_in_force_ends(scene: Scene) -> None:
    found = scene.plan()
    settled = fates(found).keys() | {fact.replaced for fact in told(found, TransferAmended)}
    assert settled >= {request.position for request in scene.desired.requests if request.state == "ending"}


def assert_a_request_is_contested_exactly_where_a_person_asks_otherwise(scene: Scene) -> None:
    found = scene.plan()
    there = scene.redcap.sendable()
    for request in scene.due:
        rivals = {there[at] for at in scene.theirs if Key(there[at][0], there[at][2]) == request.key}
        standing = (request.project, request.pseudonym, request.event_name) in there.values()
        assert (request.position in contested(found)) == (bool(rivals) and not standing)
