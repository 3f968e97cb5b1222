"""Planning rows: what is placed, amended, emptied, and what is never touched."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.delivery.plan import (
    Fact,
    OurTransfer,
    Plan,
    WantedSeries,
    WantedStudy,
    WantedTransfer,
    plan_study,
)
from processors.events.types import EventType
from processors.redcap import incoming
from processors.redcap.incoming import Row

STUDY = "1.2"
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BY_HAND = "2020-01-01 00:00"
"""When people requested: never the minute of a request of ours."""

SERIES = {
    "StudyInstanceUID": STUDY,
    "SeriesDescription": "",
    "SeriesDate": "",
    "StudyDate": "",
    "SeriesTime": "",
    "StudyTime": "",
    "NumFiles": 1,
    "SequenceName": "",
    "ClassifyType": [],
}

Address = tuple[str, int]


@dataclass
class Redcap:
    """What REDCap has of the study: its rows by instrument and instance. Imports change what they name only."""

    rows: dict[Address, dict[str, str]] = field(default_factory=dict)

    def add(self, instrument: str, instance: int, **fields: str) -> "Redcap":
        self.rows[instrument, instance] = fields
        return self

    def request(
        self, instance: int, project: str, name: str, event: str = "", *, requested: str = BY_HAND, sent: bool = False
    ) -> "Redcap":
        return self.add(
            "transfers",
            instance,
            transfer_project_name=project,
            transfer_name=name,
            transfer_event_name=event,
            transfer_requested_date=requested,
            transfer_date="2026-03-02 10:00" if sent else "",
        )

    def apply(self, rows: Iterable[Row]) -> "Redcap":
        applied = Redcap({address: dict(fields) for address, fields in self.rows.items()})
        for row in rows:
            address = (str(row.get("redcap_repeat_instrument", "")), int(row.get("redcap_repeat_instance", 0)))
            stored = applied.rows.setdefault(address, {})
            stored |= {name: str(value) for name, value in row.items() if not name.startswith("redcap_repeat")}
        return applied

    def export(self) -> list[dict[str, str]]:
        blank = dict.fromkeys((*incoming.READ_FIELDS, "transfer_requested_date"), "")
        return [
            blank
            | {
                incoming.RECORD_ID: STUDY,
                "redcap_repeat_instrument": instrument,
                "redcap_repeat_instance": str(instance or ""),
            }
            | {name: value for name, value in fields.items() if name in blank}
            for (instrument, instance), fields in self.rows.items()
        ]

    def transfers(self) -> dict[int, tuple[str, str, str]]:
        """The requests that stand there, by instance; emptied rows left out."""
        return {
            instance: (
                fields.get("transfer_project_name", ""),
                fields.get("transfer_name", "").strip(),
                fields.get("transfer_event_name", ""),
            )
            for (instrument, instance), fields in self.rows.items()
            if instrument == "transfers" and fields.get("transfer_project_name")
        }


def plan(wanted: WantedStudy, redcap: Redcap) -> Plan:
    return plan_study(wanted, incoming.present_records(redcap.export()).get(STUDY, incoming.ABSENT))


def at(position: int) -> datetime:
    return START + timedelta(minutes=position)


def ours(
    position: int,
    project: str = "HEART",
    name: str | None = "P1",
    event: str = "",
    *,
    instance: int | None = None,
    state: str = "requested",
    found: bool = False,
) -> OurTransfer:
    return OurTransfer(
        position=position,
        project=project,
        event_name=event,
        name=name,
        requested=incoming.minute(at(position)),
        instance=instance,
        state=state,
        found=found,
    )


def wanted_transfer(of: OurTransfer, *replaces: int, contested: bool = False) -> WantedTransfer:
    return WantedTransfer(
        position=of.position,
        project=of.project,
        event_name=of.event_name,
        name=of.name or "",
        requested_at=at(of.position),
        replaces=replaces,
        contested=contested,
        cause={"kind": "coupling", "record_id": "1", "position": 1},
    )


def study(*transfers: WantedTransfer, known: Iterable[OurTransfer] = (), **fields: Any) -> WantedStudy:
    return WantedStudy(
        study=STUDY, transfers=list(transfers), ours={request.position: request for request in known}, **fields
    )


def wanted_series(uid: str, position: int = 1, instance: int | None = None) -> WantedSeries:
    return WantedSeries(series=uid, position=position, data=SERIES | {"SeriesInstanceUID": uid}, instance=instance)


def placed(found: Plan) -> dict[int, tuple[str, str]]:
    return {
        int(row.fields["redcap_repeat_instance"]): (
            str(row.fields["transfer_project_name"]),
            str(row.fields["transfer_name"]),
        )
        for row in found.rows
        if row.kind == "transfer"
    }


def all_facts(found: Plan) -> list[Fact]:
    return [*(fact for row in found.rows for fact in row.facts), *found.facts]


def told(found: Plan, type_: EventType) -> list[dict[str, Any]]:
    return [data for kind, data in all_facts(found) if kind is type_]


def by_us(redcap: Redcap, instance: int, request: OurTransfer, *, sent: bool = False) -> Redcap:
    return redcap.request(
        instance, request.project, request.name or "", request.event_name, requested=request.requested, sent=sent
    )


# The study and its series


def test_a_new_study_s_row_is_planned_with_its_series_from_instance_1() -> None:
    found = plan(
        study(row={incoming.RECORD_ID: STUDY}, row_position=3, series=[wanted_series("a"), wanted_series("b", 2)]),
        Redcap(),
    )
    assert [(row.kind, row.key, row.fields.get("redcap_repeat_instance")) for row in found.rows] == [
        ("study", "", None),
        ("series", "a", 1),
        ("series", "b", 2),
    ]
    assert found.rows[0].facts == ((EventType.STUDY_DELIVERED, {"row": 3, "series": {}}),)


def test_a_record_that_somebody_deleted_is_reported_and_not_brought_back() -> None:
    request = ours(5)
    found = plan(
        study(wanted_transfer(request), known=[request], delivered=True, series=[wanted_series("a")]), Redcap()
    )
    assert found == Plan(facts=[(EventType.ROW_MISSING, {"kind": "study", "key": ""})])


def test_a_series_that_redcap_has_is_updated_where_it_stands() -> None:
    redcap = Redcap().add("series", 4, series_instance_uid="a")
    (row,) = plan(study(series=[wanted_series("a", instance=4)]), redcap).rows
    assert row.fields["redcap_repeat_instance"] == 4


def test_a_series_of_an_import_that_was_never_recorded_is_found_again() -> None:
    redcap = Redcap().add("series", 7, series_instance_uid="a")
    (row,) = plan(study(series=[wanted_series("a")]), redcap).rows
    assert row.facts[0][1]["series"]["a"]["instance"] == 7


def test_a_series_that_somebody_deleted_is_reported_and_holds_up_no_other() -> None:
    redcap = Redcap().add("", 0).add("series", 2, series_instance_uid="b")
    found = plan(
        study(series=[wanted_series("a", instance=1), wanted_series("c")], series_instances={"a": 1, "b": 2}), redcap
    )
    assert found.facts == [(EventType.ROW_MISSING, {"kind": "series", "key": "a"})]
    assert [row.fields["redcap_repeat_instance"] for row in found.rows] == [3]


def test_a_new_series_comes_after_all_that_redcap_or_the_ledger_know() -> None:
    redcap = Redcap().add("series", 9, series_instance_uid="by hand")
    (row,) = plan(study(series=[wanted_series("c")], series_instances={"a": 10}), redcap).rows
    assert row.fields["redcap_repeat_instance"] == 11
    (row,) = plan(study(series=[wanted_series("c")], series_instances={"a": 2}), redcap).rows
    assert row.fields["redcap_repeat_instance"] == 10


# Placing


def test_a_request_takes_the_next_instance_after_everybody_s() -> None:
    request = ours(5)
    found = plan(
        study(wanted_transfer(request), known=[request]), Redcap().request(9, "BRAIN", "X").request(10, "", "")
    )
    assert placed(found) == {11: ("HEART", "P1")}
    assert told(found, EventType.TRANSFER_PLACED) == [{"request": 5, "instance": 11, "found": False}]


def test_an_instance_that_the_ledger_knows_is_not_used_again_though_redcap_lost_it() -> None:
    request, old = ours(5), ours(4, "BRAIN", instance=7, state="placed")
    assert placed(plan(study(wanted_transfer(request), known=[old, request]), Redcap())) == {8: ("HEART", "P1")}


def test_what_somebody_requested_already_is_not_placed_again() -> None:
    request = ours(5)
    found = plan(study(wanted_transfer(request), known=[request]), Redcap().request(3, " HEART", "P1 "))
    assert found.rows == []
    assert found.facts == [(EventType.TRANSFER_PLACED, {"request": 5, "instance": 3, "found": True})]


def test_a_pseudonym_with_blanks_around_it_is_found_again() -> None:
    request = ours(5, name=" P1 ")
    wanted = study(wanted_transfer(request), known=[request])
    once = Redcap().apply(row.fields for row in plan(wanted, Redcap()).rows)
    assert plan(wanted, once).rows == []


def test_the_same_project_under_another_event_is_another_request() -> None:
    request = ours(5, event="visit_2")
    found = plan(study(wanted_transfer(request), known=[request]), Redcap().request(1, "HEART", "P1", "visit_1"))
    assert placed(found) == {2: ("HEART", "P1")}


# People


def test_a_person_s_request_under_another_pseudonym_stands_and_ours_is_reported() -> None:
    request = ours(5)
    found = plan(study(wanted_transfer(request), known=[request]), Redcap().request(1, "HEART", "OTHER"))
    assert found.rows == []
    assert [(data["kind"], data["request"]) for data in told(found, EventType.CONFLICT_FOUND)] == [("person", 5)]


def test_a_contest_is_reported_once() -> None:
    request = ours(5, state="contested")
    wanted = study(wanted_transfer(request, contested=True), known=[request], contests={("HEART", "")})
    assert plan(wanted, Redcap().request(1, "HEART", "OTHER")) == Plan()


def test_a_contest_that_is_over_is_resolved_and_the_request_placed() -> None:
    request = ours(5, state="contested")
    wanted = study(wanted_transfer(request, contested=True), known=[request], contests={("HEART", "")})
    found = plan(wanted, Redcap().add("", 0))
    assert placed(found) == {1: ("HEART", "P1")}
    assert told(found, EventType.CONFLICT_RESOLVED) == [{"project": "HEART", "event_name": ""}]


def test_a_row_of_ours_that_a_person_changed_is_theirs() -> None:
    old, request = ours(4, instance=1, state="replaced"), ours(5, name="P2")
    redcap = Redcap().request(1, "HEART", "CHANGED", requested=old.requested)
    found = plan(study(wanted_transfer(request, 4), known=[old, request]), redcap)
    assert found.rows == []
    assert len(told(found, EventType.CONFLICT_FOUND)) == 1


def test_a_row_of_ours_is_ours_by_our_own_record_whatever_date_a_person_gave_it() -> None:
    old, request = ours(4, instance=1, state="replaced"), ours(5, name="P2")
    found = plan(study(wanted_transfer(request, 4), known=[old, request]), Redcap().request(1, "HEART", "P1"))
    assert [row.fields["transfer_name"] for row in found.rows] == ["P2"]
    assert [row.fields["redcap_repeat_instance"] for row in found.rows] == [1]


def test_a_person_s_row_that_answered_our_request_is_not_amended_when_ours_is_corrected() -> None:
    old, request = ours(4, instance=1, state="replaced", found=True), ours(5, name="P2")
    found = plan(study(wanted_transfer(request, 4), known=[old, request]), Redcap().request(1, "HEART", "P1"))
    assert found.rows == []


def test_a_person_s_row_is_not_taken_for_one_of_ours_that_was_never_placed() -> None:
    old, request = ours(4, state="replaced"), ours(5, "BRAIN", "P2")
    found = plan(study(wanted_transfer(request, 4), known=[old, request]), Redcap().request(1, "HEART", "P1"))
    assert placed(found) == {2: ("BRAIN", "P2")}


# Corrections


def test_a_corrected_request_amends_the_row_that_was_not_sent() -> None:
    old, request = ours(4, event="e1", instance=1, state="replaced"), ours(5, name="P2")
    redcap = by_us(Redcap(), 1, old)
    found = plan(study(wanted_transfer(request, 4), known=[old, request]), redcap)
    assert told(found, EventType.TRANSFER_AMENDED) == [{"request": 5, "instance": 1, "replaced": 4}]
    after = redcap.apply(row.fields for row in found.rows)
    assert after.transfers() == {1: ("HEART", "P2", "")}


def test_a_corrected_request_leaves_a_sent_row_and_takes_a_new_one() -> None:
    old, request = ours(4, instance=1, state="replaced"), ours(5, name="P2")
    found = plan(study(wanted_transfer(request, 4), known=[old, request]), by_us(Redcap(), 1, old, sent=True))
    assert placed(found) == {2: ("HEART", "P2")}
    assert [(data["request"], data["sent"]) for data in told(found, EventType.TRANSFER_REPLACED)] == [(4, True)]


def test_of_several_replaced_rows_one_is_amended_and_the_others_emptied() -> None:
    first, second = ours(3, instance=1, state="replaced"), ours(4, "BRAIN", instance=2, state="replaced")
    request = ours(5, "LUNG", "P3")
    redcap = by_us(by_us(Redcap(), 1, first), 2, second)
    found = plan(study(wanted_transfer(request, 3, 4), known=[first, second, request]), redcap)
    assert redcap.apply(row.fields for row in found.rows).transfers() == {1: ("LUNG", "P3", "")}


def test_a_correction_that_was_corrected_back_is_not_sent_a_second_time() -> None:
    """The row of the first request was passed over as one to be replaced; the study was sent twice."""
    first, second = ours(3, instance=1, state="replaced"), ours(4, name="P2", state="replaced")
    again = ours(5)
    found = plan(
        study(wanted_transfer(again, 4, 3), known=[first, second, again]), by_us(Redcap(), 1, first, sent=True)
    )
    assert found.rows == []
    assert told(found, EventType.TRANSFER_PLACED) == [{"request": 5, "instance": 1, "found": True}]


def test_a_row_that_two_replaced_requests_ask_for_is_amended_and_not_emptied_as_well() -> None:
    """Corrected, corrected back, corrected again, none of it recorded: the request used to be lost."""
    first, second = ours(3, state="replaced"), ours(4, name="P2", state="replaced")
    third, request = ours(5, state="replaced"), ours(6, name="P3")
    redcap = by_us(Redcap(), 1, first)
    found = plan(study(wanted_transfer(request, 5, 4, 3), known=[first, second, third, request]), redcap)
    assert redcap.apply(row.fields for row in found.rows).transfers() == {1: ("HEART", "P3", "")}


def test_two_rows_of_ours_that_say_the_same_are_both_known_as_ours() -> None:
    """Only the first was; the other passed for a person's, and held up the request."""
    first, second = ours(3, name="P2", instance=1, state="replaced"), ours(4, name="P2", state="replaced")
    request = ours(5)
    redcap = by_us(by_us(Redcap(), 1, first, sent=True), 2, second)
    found = plan(study(wanted_transfer(request, 4, 3), known=[first, second, request]), redcap)
    assert redcap.apply(row.fields for row in found.rows).transfers() == {
        1: ("HEART", "P2", ""),
        2: ("HEART", "P1", ""),
    }


def test_two_requests_that_change_places_both_stand_in_the_end() -> None:
    heart, brain = ours(3, instance=1, state="replaced"), ours(4, "BRAIN", "P2", instance=2, state="replaced")
    new_heart, new_brain = ours(5, "HEART", "P2"), ours(6, "BRAIN", "P1")
    redcap = by_us(by_us(Redcap(), 1, heart), 2, brain)
    wanted = study(
        wanted_transfer(new_heart, 3), wanted_transfer(new_brain, 4), known=[heart, brain, new_heart, new_brain]
    )
    after = redcap.apply(row.fields for row in plan(wanted, redcap).rows)
    assert after.transfers() == {1: ("HEART", "P2", ""), 2: ("BRAIN", "P1", "")}


# Retractions


def test_a_retracted_request_is_emptied() -> None:
    request = ours(4, instance=1, state="retracting")
    redcap = by_us(Redcap(), 1, request)
    found = plan(study(retracting=[request], known=[request]), redcap)
    assert redcap.apply(row.fields for row in found.rows).transfers() == {}
    assert [(d["instance"], d["sent"]) for d in told(found, EventType.RETRACTION_DELIVERED)] == [(1, False)]


def test_a_retracted_request_that_was_sent_is_left_and_told() -> None:
    request = ours(4, instance=1, state="retracting")
    found = plan(study(retracting=[request], known=[request]), by_us(Redcap(), 1, request, sent=True))
    assert found.rows == []
    assert [(d["instance"], d["sent"]) for d in told(found, EventType.RETRACTION_DELIVERED)] == [(1, True)]


@pytest.mark.parametrize("instance", [None, 1])
def test_a_person_s_row_is_not_emptied_for_a_retracted_request_that_asked_for_the_same(instance: int | None) -> None:
    request = ours(4, instance=instance, state="retracting", found=instance is not None)
    found = plan(study(retracting=[request], known=[request]), Redcap().request(1, "HEART", "P1"))
    assert found.rows == []


def test_a_retracted_request_that_never_was_imported_needs_no_row() -> None:
    request = ours(4, state="retracting")
    found = plan(study(retracting=[request], known=[request]), Redcap())
    assert [(d["instance"], d["sent"]) for d in told(found, EventType.RETRACTION_DELIVERED)] == [(None, False)]


# What always holds


PROJECTS = st.sampled_from(["HEART", "BRAIN"])
NAMES = st.sampled_from(["P1", "P2", "P3"])
EVENTS = st.sampled_from(["", "visit_1"])


@dataclass(frozen=True)
class Scene:
    """A study as the ledger wants it and as REDCap has it; `theirs` are the transfer rows of people."""

    wanted: WantedStudy
    redcap: Redcap
    theirs: frozenset[int]

    def plan(self) -> Plan:
        return plan(self.wanted, self.redcap)


def series_there(draw: st.DrawFn, redcap: Redcap) -> tuple[set[str], dict[str, int]]:
    """Adds series to REDCap; those that are wanted, and where the ledger knows some to stand."""
    there = draw(st.dictionaries(st.integers(1, 12), st.sampled_from("abcde"), max_size=5))
    for instance, uid in there.items():
        redcap.add("series", instance, series_instance_uid=uid)
    recorded = {uid: instance for instance, uid in there.items() if draw(st.booleans())}
    return draw(st.sets(st.sampled_from("abcde"))), recorded


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Histories as decisions make them: chains of corrections, some delivered, some delivered and never
    recorded; people's rows in between, some of them asking for the same; rows sent at any time.
    """
    redcap = Redcap()
    known: dict[int, OurTransfer] = {}
    wanted: list[WantedTransfer] = []
    retracting: list[OurTransfer] = []
    theirs: set[int] = set()
    if draw(st.booleans()):
        redcap.add("", 0)
    instance, position = 0, 1
    keys = draw(st.lists(st.tuples(PROJECTS, EVENTS), unique=True, max_size=3))
    for project, event in keys:
        chain: list[OurTransfer] = []
        unsettled: tuple[int, ...] = ()
        row: int | None = None
        for _ in range(draw(st.integers(1, 4))):
            for _ in range(draw(st.integers(0, 1))):
                instance += draw(st.integers(1, 2))
                theirs.add(instance)
                asked = (draw(PROJECTS), draw(NAMES), draw(EVENTS))
                redcap.request(instance, *asked, sent=draw(st.booleans()))
            position += 1
            request = ours(position, project, draw(NAMES), event)
            replaces = unsettled
            fate = draw(st.sampled_from(["never imported", "never recorded", "placed", "sent"]))
            if fate != "never imported" and (row is None or redcap.rows["transfers", row]["transfer_date"]):
                instance += draw(st.integers(1, 2))
                row = instance
            if fate != "never imported" and row is not None:
                by_us(redcap, row, request, sent=fate == "sent")
            if fate in ("placed", "sent"):
                request = replace(request, instance=row, state="placed")
                unsettled = (position,)
            else:
                unsettled = (position, *unsettled)
            chain.append(request)
        last = chain[-1]
        end = draw(st.sampled_from(["stands", "retracted"]))
        if end == "retracted":
            last = replace(last, state="retracting")
            retracting.append(last)
        elif last.instance is None:
            wanted.append(wanted_transfer(last, *replaces))
        known |= {request.position: replace(request, state="replaced") for request in chain[:-1]}
        known[last.position] = last
    uids, recorded = series_there(draw, redcap)
    made = WantedStudy(
        study=STUDY,
        row={incoming.RECORD_ID: STUDY, "study_date": "20260302"} if draw(st.booleans()) else None,
        row_position=1,
        series=[wanted_series(uid, number, recorded.get(uid)) for number, uid in enumerate(sorted(uids), 1)],
        series_instances=recorded,
        transfers=wanted,
        retracting=retracting,
        ours=known,
    )
    return Scene(made, redcap, frozenset(theirs))


def recorded(scene: Scene, found: Plan) -> Scene:
    """The scene once the plan was imported and its facts are in the ledger: nothing placed is wanted any more."""
    known = dict(scene.wanted.ours)
    done: set[int] = set()
    contests = set(scene.wanted.contests)
    series_instances = dict(scene.wanted.series_instances)
    for type_, data in all_facts(found):
        if type_ in (EventType.TRANSFER_PLACED, EventType.TRANSFER_AMENDED):
            done.add(data["request"])
            known[data["request"]] = replace(known[data["request"]], instance=data["instance"], state="placed")
        elif type_ is EventType.CONFLICT_FOUND:
            known[data["request"]] = replace(known[data["request"]], state="contested")
            contests.add((data["project"], data["event_name"]))
        elif type_ is EventType.CONFLICT_RESOLVED:
            contests.discard((data["project"], data["event_name"]))
        elif type_ is EventType.RETRACTION_DELIVERED:
            done.add(data["request"])
            known[data["request"]] = replace(known[data["request"]], state="retracted")
        elif type_ is EventType.STUDY_DELIVERED:
            series_instances |= {uid: at["instance"] for uid, at in data["series"].items()}
    wanted = WantedStudy(
        study=STUDY,
        delivered=scene.wanted.row is not None,
        series_instances=series_instances,
        transfers=[
            replace(transfer, contested=known[transfer.position].state == "contested")
            for transfer in scene.wanted.transfers
            if transfer.position not in done
        ],
        retracting=[request for request in scene.wanted.retracting if request.position not in done],
        ours=known,
        contests=contests,
    )
    return Scene(wanted, scene.redcap.apply(row.fields for row in found.rows), scene.theirs)


def addresses(found: Plan, kind: str) -> list[int]:
    return [int(row.fields["redcap_repeat_instance"]) for row in found.rows if row.kind == kind]


MANY = settings(max_examples=120)


@MANY
@given(scenes())
def test_no_row_of_somebody_else_is_touched(scene: Scene) -> None:
    assert not set(addresses(scene.plan(), "transfer")) & scene.theirs


@MANY
@given(scenes())
def test_a_sent_row_is_never_changed(scene: Scene) -> None:
    after = scene.redcap.apply(row.fields for row in scene.plan().rows)
    for address, fields in scene.redcap.rows.items():
        if fields.get("transfer_date"):
            assert after.rows[address] == fields


@MANY
@given(scenes())
def test_what_is_emptied_is_ours_and_was_not_sent(scene: Scene) -> None:
    minutes = {request.requested for request in scene.wanted.ours.values()}
    for row in scene.plan().rows:
        if row.kind == "transfer" and row.fields["transfer_project_name"] == "":
            fields = scene.redcap.rows["transfers", int(row.fields["redcap_repeat_instance"])]
            assert fields["transfer_requested_date"] in minutes
            assert not fields["transfer_date"]


@MANY
@given(scenes())
def test_each_instance_is_written_at_most_once(scene: Scene) -> None:
    found = scene.plan()
    for kind in ("series", "transfer"):
        assert len(addresses(found, kind)) == len(set(addresses(found, kind)))


@MANY
@given(scenes())
def test_new_instances_are_free_in_redcap_and_in_the_ledger(scene: Scene) -> None:
    found = scene.plan()
    for row in found.rows:
        if row.kind == "study":
            continue
        address = (str(row.fields["redcap_repeat_instrument"]), int(row.fields["redcap_repeat_instance"]))
        if address in scene.redcap.rows:
            continue
        if row.kind == "series":
            assert address[1] not in scene.wanted.series_instances.values()
        else:
            assert address[1] not in {request.instance for request in scene.wanted.ours.values()}


@MANY
@given(scenes())
def test_planning_again_after_an_import_that_was_never_recorded_gives_the_same(scene: Scene) -> None:
    found = scene.plan()
    after = Scene(scene.wanted, scene.redcap.apply(row.fields for row in found.rows), scene.theirs)
    again = after.plan()
    assert after.redcap.apply(row.fields for row in again.rows).rows == after.redcap.rows
    assert instances_of(again) == instances_of(found)


def instances_of(found: Plan) -> tuple[dict[int, int], dict[str, int], set[int]]:
    """Where each request and series ends up, and which requests are contested."""
    transfers: dict[int, int] = {}
    series: dict[str, int] = {}
    for type_, data in all_facts(found):
        if type_ in (EventType.TRANSFER_PLACED, EventType.TRANSFER_AMENDED):
            transfers[data["request"]] = data["instance"]
        elif type_ is EventType.STUDY_DELIVERED:
            series |= {uid: told["instance"] for uid, told in data["series"].items()}
    return transfers, series, {data["request"] for data in told(found, EventType.CONFLICT_FOUND)}


@MANY
@given(scenes(), st.randoms(use_true_random=False))
def test_an_import_of_any_part_of_the_rows_ends_in_the_same_requests(scene: Scene, chance: Random) -> None:
    """REDCap takes a portion and then refuses or dies: the next plan makes it whole."""
    found = scene.plan()
    some = [row.fields for row in found.rows if chance.random() < 0.5]
    after = Scene(scene.wanted, scene.redcap.apply(some), scene.theirs)
    again = after.redcap.apply(row.fields for row in after.plan().rows)
    whole = scene.redcap.apply(row.fields for row in found.rows)
    assert sorted(again.transfers().values()) == sorted(whole.transfers().values())


@MANY
@given(scenes())
def test_once_recorded_nothing_is_left_to_do(scene: Scene) -> None:
    after = recorded(scene, scene.plan())
    assert after.plan() == Plan()


@MANY
@given(scenes())
def test_every_request_ends_placed_once_or_contested(scene: Scene) -> None:
    found = scene.plan()
    after = scene.redcap.apply(row.fields for row in found.rows).transfers()
    contested = {data["request"] for data in told(found, EventType.CONFLICT_FOUND)}
    for transfer in scene.wanted.transfers:
        asked = (transfer.project, transfer.name, transfer.event_name)
        standing = [instance for instance, says in after.items() if says == asked]
        before = [instance for instance, says in scene.redcap.transfers().items() if says == asked]
        if transfer.position in contested:
            assert not standing
        else:
            assert standing
            assert len(standing) <= max(len(before), 1)


@MANY
@given(scenes())
def test_a_request_is_contested_exactly_where_a_person_asks_otherwise(scene: Scene) -> None:
    found = scene.plan()
    contested = {data["request"] for data in told(found, EventType.CONFLICT_FOUND)}
    there = scene.redcap.transfers()
    for transfer in scene.wanted.transfers:
        rivals = {
            there[instance][1]
            for instance in scene.theirs
            if (there[instance][0], there[instance][2]) == (transfer.project, transfer.event_name)
        }
        standing = (transfer.project, transfer.name, transfer.event_name) in there.values()
        assert (transfer.position in contested) == (bool(rivals) and not standing)


def test_the_simulated_import_changes_what_it_names_only() -> None:
    before = Redcap().request(1, "HEART", "P1", sent=True)
    rows: list[Mapping[str, str | int]] = [
        {"redcap_repeat_instrument": "transfers", "redcap_repeat_instance": 1, "transfer_name": "P2"}
    ]
    after = before.apply([dict(row) for row in rows])
    assert after.rows["transfers", 1]["transfer_date"]
    assert after.transfers() == {1: ("HEART", "P2", "")}
    assert before.transfers() == {1: ("HEART", "P1", "")}
