"""What each event makes of the rows about requests and decisions, and which rows it leaves alone."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from ledger.database import Database
from ledger.events import Event
from processors.events.deliveries import Acknowledged, LostUpdateFound
from processors.events.fact import Cause, Fact
from processors.events.holds import RequestHeld, RequestQuestioned, RequestReleased
from processors.events.patients import StudyChangeFound, TwoNamesFound
from processors.events.rules import (
    ConflictFound,
    ConflictResolved,
    DecidedByHand,
    DecisionDeferred,
    DecisionResumed,
    DecisionsMade,
    RuleTimedOut,
    RuleTimeoutResolved,
)
from processors.events.transfers import (
    DoubleFound,
    Fate,
    TransferAmended,
    TransferPlaced,
    TransferRecalled,
    TransferRequested,
    TransferRetracted,
    TransferStrayed,
    TransferWithdrawn,
)
from processors.projections.transfers import Transfers
from tests.facts import a_request, in_plain
from tests.ledger.samples import the_store

STUDY = "1.2"
RULE = Cause("rule", "7", 3)
ENTRY = Cause("coupling", "8", 4)
HAND = Cause("operator", "kari", 5)


class Ledger:
    """Facts that are recorded, a batch at a time, and the rows that they come to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, *facts: Fact) -> list[Event]:
        """All in one batch."""
        with self._database.begin() as connection:
            stored = the_store().append(connection, [in_plain(fact) for fact in facts])
            Transfers().plan(stored)(connection)
        return stored

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table of schema gateway."""
        with self._database.begin() as connection:
            found = connection.execute(text(f"select to_jsonb(t) from gateway.{table} as t order by t::text"))
            return list(found.scalars())

    def transfers(self, *columns: str) -> dict[int, tuple[Any, ...]]:
        """What each request's row says in these columns, by position."""
        return {row["position"]: tuple(row[column] for column in columns) for row in self.rows("transfer")}

    def written(self) -> dict[tuple[int, int], bool]:
        """Whether the file was taken back, of each row in which a request stood."""
        return {(row["request"], row["instance"]): row["recalled"] for row in self.rows("written_transfer")}

    def states(self) -> dict[int, str]:
        """The state of each request."""
        return {position: state for position, (state,) in self.transfers("state").items()}


@pytest.fixture
def database(passing_database: Database) -> Database:
    return passing_database


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


def requested(project: str = "HEART", **changes: Any) -> TransferRequested:
    return a_request(STUDY, project, RULE, **changes)


def placed(request: int, instance: int = 4, *, found: bool = False) -> TransferPlaced:
    return TransferPlaced(study=STUDY, request=request, instance=instance, found=found)


def amended(request: int, replaced: int) -> TransferAmended:
    return TransferAmended(study=STUDY, request=request, instance=4, replaced=replaced)


def retracted(request: int) -> TransferRetracted:
    return TransferRetracted(study=STUDY, project="HEART", request=request, reason="by hand", cause=HAND)


def withdrawn(request: int, fate: Fate = "unsent", *, by: int | None = None) -> TransferWithdrawn:
    return TransferWithdrawn(study=STUDY, project="HEART", request=request, instance=4, by=by, fate=fate)


def strayed(request: int) -> TransferStrayed:
    return TransferStrayed(study=STUDY, project="HEART", request=request, instance=4)


def contested(
    request: int | None, *, study: str = STUDY, project: str = "HEART", event: str = "", cause: Cause = RULE
) -> ConflictFound:
    return ConflictFound(
        study=study, project=project, event_name=event, kind="person", causes=(cause,), request=request
    )


# Requests


def test_a_request_is_kept_with_what_led_to_it_and_without_its_pseudonym(ledger: Ledger) -> None:
    ledger.record(requested(event_name="visit_1", replaces=(8, 9)))
    assert ledger.rows("transfer") == [
        {
            "position": 1,
            "study": STUDY,
            "project": "HEART",
            "event_name": "visit_1",
            "found": False,
            "cause_kind": "rule",
            "cause_record": "7",
            "cause_position": 3,
            "whole_match": True,
            "replaces": [8, 9],
            "state": "requested",
            "instance": None,
            "placed_at": None,
            "ended_position": None,
        }
    ]
    assert ledger.rows("notice") == []


def test_a_match_of_the_start_alone_is_told_with_its_rule(ledger: Ledger) -> None:
    ledger.record(requested(whole_match=False))
    assert ledger.transfers("whole_match") == {1: (False,)}
    assert ledger.rows("notice") == [
        {
            "position": 1,
            "kind": "pattern matched the start only",
            "study": STUDY,
            "project": "HEART",
            "details": {"rule": "7"},
        }
    ]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("found", [True, False])
def test_a_placing_tells_where_when_and_by_whom_and_concerns_its_request_alone(
    ledger: Ledger, *, found: bool, together: bool
) -> None:
    facts = [requested(), requested("BRAIN"), placed(1, found=found)]
    for batch in [facts] if together else [facts[:2], facts[2:]]:
        ledger.record(*batch)
    assert ledger.transfers("state", "instance", "found", "placed_at") == {
        1: ("placed", 4, found, "2026-03-02T08:00:00.123456+00:00"),
        2: ("requested", None, False, None),
    }


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("before", "state"),
    [
        (contested(1), "placed"),
        (retracted(1), "ending"),
        (withdrawn(1), "withdrawn"),
        (withdrawn(1, "sent"), "closed"),
    ],
)
def test_what_is_placed_after_it_has_ended_stays_so_and_its_row_is_known(
    ledger: Ledger, before: Fact, state: str, *, together: bool
) -> None:
    """Recorded while another site's import was under way: its row is still to be ended."""
    facts = [requested(), before, placed(1)]
    for batch in [facts] if together else [[fact] for fact in facts]:
        ledger.record(*batch)
    assert ledger.transfers("state", "instance") == {1: (state, 4)}


@pytest.mark.parametrize("together", [True, False])
def test_what_is_retracted_after_it_was_placed_is_to_be_ended(ledger: Ledger, *, together: bool) -> None:
    facts = [requested(), requested("BRAIN"), placed(1), retracted(1)]
    for batch in [facts] if together else [[fact] for fact in facts]:
        ledger.record(*batch)
    assert ledger.transfers("state", "instance") == {1: ("ending", 4), 2: ("requested", None)}


def test_what_is_replaced_is_to_be_ended(ledger: Ledger) -> None:
    ledger.record(requested(), requested("BRAIN"), requested("LUNG"))
    ledger.record(requested(replaces=(1, 2)))
    assert ledger.states() == {1: "ending", 2: "ending", 3: "requested", 4: "requested"}


def test_an_amended_row_is_the_new_request_s_and_nothing_is_left_of_the_old(ledger: Ledger) -> None:
    ledger.record(requested(), placed(1))
    ledger.record(requested(replaces=(1,)))
    ledger.record(amended(3, replaced=1))
    assert ledger.transfers("state", "instance", "found", "ended_position") == {
        1: ("withdrawn", 4, False, 4),
        3: ("placed", 4, False, None),
    }


@pytest.mark.parametrize(
    ("fate", "by", "state", "told"),
    [
        ("unsent", None, "withdrawn", []),
        ("possibly sent", None, "closed", []),
        ("sent", None, "closed", ["retracted after it was sent"]),
        ("sent", 9, "closed", ["replaced after it was sent"]),
        ("possibly sent", 9, "closed", []),
    ],
)
def test_an_ended_request_is_closed_where_it_may_have_been_sent_and_told_where_it_was(
    ledger: Ledger, fate: Fate, by: int | None, state: str, told: Sequence[str]
) -> None:
    ledger.record(requested(), requested("BRAIN"))
    ledger.record(withdrawn(1, fate, by=by))
    assert ledger.transfers("state", "ended_position") == {1: (state, 3), 2: ("requested", None)}
    expected = [
        {"position": 3, "kind": kind, "study": STUDY, "project": "HEART", "details": {"request": 1}} for kind in told
    ]
    assert ledger.rows("notice") == expected


def test_a_request_that_ends_in_the_batch_that_inserts_it_is_known_to_have_ended(ledger: Ledger) -> None:
    ledger.record(requested(), withdrawn(1))
    assert ledger.transfers("state", "ended_position") == {1: ("withdrawn", 2)}


def test_one_whose_import_was_never_recorded_stood_where_its_row_was_found_when_it_ended(ledger: Ledger) -> None:
    (request,) = ledger.record(requested())
    ledger.record(withdrawn(request.position, "possibly sent"))
    assert ledger.transfers("state", "instance") == {request.position: ("closed", 4)}


def test_a_stray_is_to_be_ended_again_and_has_not_ended(ledger: Ledger) -> None:
    ledger.record(requested(), withdrawn(1))
    ledger.record(strayed(1))
    assert ledger.transfers("state", "ended_position") == {1: ("ending", None)}


def test_what_was_taken_back_from_the_queue_is_known_as_such(ledger: Ledger) -> None:
    ledger.record(requested(), placed(1, 4), placed(1, 5))
    ledger.record(TransferRecalled(study=STUDY, project="HEART", request=1, instance=4))
    assert ledger.written() == {(1, 4): True, (1, 5): False}


def test_every_row_in_which_a_request_of_ours_stood_is_known_and_none_of_a_person_s(ledger: Ledger) -> None:
    """Of the row before the last the sender may hold a copy."""
    ledger.record(requested(), placed(1, 4), placed(1, 6, found=True), placed(1, 5))
    ledger.record(DoubleFound(study=STUDY, project="HEART", request=1, instance=7))
    assert ledger.written() == {(1, 4): False, (1, 5): False, (1, 7): False}


def test_a_row_that_stands_again_may_be_in_the_queue_again(ledger: Ledger) -> None:
    ledger.record(requested(), placed(1, 4))
    ledger.record(TransferRecalled(study=STUDY, project="HEART", request=1, instance=4), placed(1, 4))
    assert ledger.written() == {(1, 4): False}


# Conflicts


@pytest.mark.parametrize(
    ("before", "state"),
    [([], "contested"), ([placed(1)], "contested"), ([retracted(1)], "ending"), ([withdrawn(1)], "withdrawn")],
)
def test_a_person_contests_what_is_in_force(ledger: Ledger, before: Sequence[Fact], state: str) -> None:
    ledger.record(requested(), *before, requested("BRAIN"))
    ledger.record(contested(1))
    assert list(ledger.states().values()) == [state, "requested"]


def test_a_conflict_that_names_no_request_contests_none(ledger: Ledger) -> None:
    ledger.record(requested())
    ledger.record(contested(None))
    assert ledger.states() == {1: "requested"}


def test_a_conflict_is_kept_as_it_was_found_last(ledger: Ledger) -> None:
    ledger.record(contested(None, event="visit_1"))
    later = ConflictFound(study=STUDY, project="HEART", event_name="visit_1", kind="equals", causes=(RULE, ENTRY))
    ledger.record(later)
    assert ledger.rows("conflict") == [
        {
            "study": STUDY,
            "project": "HEART",
            "event_name": "visit_1",
            "kind": "equals",
            "position": 2,
            "details": {"causes": [RULE._asdict(), ENTRY._asdict()]},
        }
    ]


OTHERS: list[dict[str, Any]] = [
    {"study": STUDY, "project": "BRAIN", "event": ""},
    {"study": STUDY, "project": "HEART", "event": "visit_1"},
    {"study": "1.3", "project": "HEART", "event": ""},
]


def test_a_resolved_conflict_is_gone_and_no_other(ledger: Ledger) -> None:
    ledger.record(contested(None), *(contested(None, **other) for other in OTHERS))
    ledger.record(ConflictResolved(study=STUDY, project="HEART", event_name=""))
    assert [row["position"] for row in ledger.rows("conflict")] == [2, 3, 4]


# Decisions


def deferred(
    *causes: Cause, study: str = STUDY, project: str = "HEART", event: str = "", restores: tuple[int, ...] = ()
) -> DecisionDeferred:
    return DecisionDeferred(study=study, project=project, event_name=event, causes=causes, restores=restores)


@pytest.mark.parametrize("together", [True, False])
def test_a_deferred_decision_is_open_since_its_first_deferral_and_says_what_it_depends_on_now(
    ledger: Ledger, *, together: bool
) -> None:
    facts = [deferred(RULE, event="visit_1"), deferred(ENTRY, event="visit_1", restores=(7,))]
    for batch in [facts] if together else [[fact] for fact in facts]:
        ledger.record(*batch)
    assert ledger.rows("deferred_decision") == [
        {
            "study": STUDY,
            "project": "HEART",
            "event_name": "visit_1",
            "position": 1,
            "details": {"causes": [ENTRY._asdict()], "restores": [7]},
        }
    ]


def test_a_resumed_decision_is_open_no_longer_and_others_are(ledger: Ledger) -> None:
    ledger.record(deferred(RULE), *(deferred(RULE, **other) for other in OTHERS))
    ledger.record(DecisionResumed(study=STUDY, project="HEART", event_name=""))
    assert sorted(row["position"] for row in ledger.rows("deferred_decision")) == [2, 3, 4]


def test_each_site_has_decided_up_to_its_own_position(ledger: Ledger) -> None:
    ledger.record(DecisionsMade(site="main", position=3, studies=1), DecisionsMade(site="north", position=4, studies=1))
    ledger.record(DecisionsMade(site="main", position=8, studies=1))
    assert ledger.rows("decision") == [{"site": "main", "position": 8}, {"site": "north", "position": 4}]


@pytest.mark.parametrize("event", [None, "", "visit_1"])
def test_what_an_operator_decided_counts_since_the_last_word(ledger: Ledger, event: str | None) -> None:
    decided = DecidedByHand(study=STUDY, project="HEART", event_name=event, action="retract", by="kari", reason="asked")
    ledger.record(decided)
    ledger.record(decided)
    assert ledger.rows("decision_by_hand") == [{"study": STUDY, "project": "HEART", "event_name": event, "position": 2}]


def test_a_rule_that_ran_out_of_time_is_known_for_each_study_until_it_answers(ledger: Ledger) -> None:
    late = [RuleTimedOut(study=study, record_id=rule) for study, rule in ((STUDY, "7"), (STUDY, "8"), ("1.3", "7"))]
    ledger.record(*late)
    ledger.record(late[0])
    assert {(row["study"], row["record_id"]): row["position"] for row in ledger.rows("rule_failure")} == {
        (STUDY, "7"): 4,
        (STUDY, "8"): 2,
        ("1.3", "7"): 3,
    }
    ledger.record(RuleTimeoutResolved(study=STUDY, record_id="7"))
    assert sorted(row["position"] for row in ledger.rows("rule_failure")) == [2, 3]


# What is held


def held(project: str = "HEART", **changes: Any) -> RequestHeld:
    says: dict[str, Any] = {
        "event_name": "visit_1",
        "cause": ENTRY,
        "whole_match": True,
        "kind": "two patients, one pseudonym",
        "details": "why",
        "studies": ("1.3",),
        "name_fingerprint": "print",
        "patient": "00000000-0000-0000-0000-000000000001",
    }
    return RequestHeld(study=STUDY, project=project, **says | changes)


def test_what_is_held_is_kept_with_the_reason_and_what_asks_for_it(ledger: Ledger) -> None:
    ledger.record(held())
    assert ledger.rows("held_request") == [
        {
            "study": STUDY,
            "project": "HEART",
            "event_name": "visit_1",
            "position": 1,
            "kind": "two patients, one pseudonym",
            "details": "why",
            "studies": ["1.3"],
            "cause_kind": "coupling",
            "cause_record": "8",
            "cause_position": 4,
            "since_position": 1,
            "name_fingerprint": "print",
            "patient": "00000000-0000-0000-0000-000000000001",
        }
    ]


@pytest.mark.parametrize("together", [True, False])
def test_it_is_held_since_it_was_for_a_reason_of_this_kind_until_it_is_released(
    ledger: Ledger, *, together: bool
) -> None:
    facts = [held(), held(details="other words"), held(kind="project is closed"), held("BRAIN")]
    for batch in [facts] if together else [[fact] for fact in facts[:2]] + [facts[2:]]:
        ledger.record(*batch)
    kept = {
        row["project"]: (row["kind"], row["position"], row["since_position"]) for row in ledger.rows("held_request")
    }
    assert kept == {"HEART": ("project is closed", 3, 3), "BRAIN": ("two patients, one pseudonym", 4, 4)}
    ledger.record(
        held("BRAIN", details="other words"), RequestReleased(study=STUDY, project="HEART", event_name="visit_1")
    )
    assert [(row["details"], row["position"], row["since_position"]) for row in ledger.rows("held_request")] == [
        ("other words", 5, 4)
    ]


def test_what_is_held_is_kept_as_it_was_found_last_and_only_what_is_released_is_gone(ledger: Ledger) -> None:
    says: dict[str, Any] = {
        "details": "other",
        "studies": ("1.4",),
        "name_fingerprint": "other print",
        "patient": "00000000-0000-0000-0000-000000000002",
    }
    elsewhere = [held("BRAIN"), held(event_name="visit_2"), replace(held(), study="1.3")]
    ledger.record(held(), *elsewhere)
    ledger.record(held(cause=RULE, kind="project is closed", **says))
    (kept,) = (row for row in ledger.rows("held_request") if row["position"] == 5)
    assert kept.items() >= (says | {"studies": ["1.4"], "kind": "project is closed", "since_position": 5}).items()
    assert (kept["cause_kind"], kept["cause_record"], kept["cause_position"]) == RULE
    ledger.record(RequestReleased(study=STUDY, project="HEART", event_name="visit_1"))
    assert sorted(row["position"] for row in ledger.rows("held_request")) == [2, 3, 4]


# Notices


def test_what_speaks_against_a_request_is_told_with_what_is_known_of_it(ledger: Ledger) -> None:
    questioned = RequestQuestioned(
        study=STUDY,
        project="HEART",
        event_name="visit_1",
        kind="one patient, two pseudonyms",
        details="why",
        studies=("1.3",),
    )
    ledger.record(questioned, replace(questioned, event_name="", details="", studies=()))
    assert ledger.rows("notice") == [
        {
            "position": 1,
            "kind": "one patient, two pseudonyms",
            "study": STUDY,
            "project": "HEART",
            "details": {"event_name": "visit_1", "details": "why", "studies": ["1.3"]},
        },
        {"position": 2, "kind": "one patient, two pseudonyms", "study": STUDY, "project": "HEART", "details": {}},
    ]


def test_two_names_under_one_patient_id_are_told_with_the_other_studies(ledger: Ledger) -> None:
    ledger.record(TwoNamesFound(study=STUDY, studies=("1.3", "1.4")))
    (notice,) = ledger.rows("notice")
    assert notice == {
        "position": 1,
        "kind": "one PatientID, two names",
        "study": STUDY,
        "project": "",
        "details": {"studies": ["1.3", "1.4"]},
    }


def test_a_study_s_change_is_told_with_what_became_of_the_request(ledger: Ledger) -> None:
    ledger.record(
        StudyChangeFound(study=STUDY, project="HEART", request=9, changed=("PatientID",), consequence="withdrawn")
    )
    assert ledger.rows("notice") == [
        {
            "position": 1,
            "kind": "study changed",
            "study": STUDY,
            "project": "HEART",
            "details": {"request": 9, "changed": ["PatientID"], "consequence": "withdrawn"},
        }
    ]


@pytest.mark.parametrize(("kind", "about"), [("transfer", {"request": 9}), ("series", {"series": "1.2.1"})])
def test_what_was_written_over_is_told_by_what_is_known_of_it(ledger: Ledger, kind: Any, about: dict[str, Any]) -> None:
    nothing: dict[str, Any] = {"request": None, "series": None}
    ledger.record(LostUpdateFound(study=STUDY, project="HEART", kind=kind, instance=4, **nothing | about))
    assert ledger.rows("notice") == [
        {
            "position": 1,
            "kind": "written over by this system",
            "study": STUDY,
            "project": "HEART",
            "details": about | {"instance": 4},
        }
    ]


def test_an_acknowledged_notice_is_gone_and_no_other(ledger: Ledger) -> None:
    ledger.record(requested(whole_match=False), requested("BRAIN", whole_match=False))
    ledger.record(Acknowledged(study=STUDY, position=1, by="kari", reason="seen"))
    assert [row["position"] for row in ledger.rows("notice")] == [2]
