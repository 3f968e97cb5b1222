"""The oracle bites: for each of its rules the product is broken in one place, and a short story finds it.

The same stories are lived through unbroken, so that it is the break that is found.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, text

from ledger.events import Told
from ledger.projector import Changes
from processors import observed_list, run
from processors.cli.override import End
from processors.clocks import ClockComparison
from processors.configuration.settings import SenderSection
from processors.delivery import plan, planner
from processors.delivery.absences import Absences
from processors.delivery.retries import Remembered
from processors.delivery.sender import poll
from processors.events.patients import TwoPatientsFound
from processors.events.rules import ConflictFound
from processors.projections.outcomes import Outcomes
from processors.redcap.transport import Transport
from processors.requests import TransferRequest
from processors.routing import agenda, decide, decisions, withdrawals
from processors.routing.record import decision_events
from tests.flow.harness import BRAIN, HEART
from tests.lifecycle.facts import UNFIT, Key, Rule, Words
from tests.lifecycle.ground import Ground
from tests.lifecycle.histories import Step, live
from tests.lifecycle.invariants import Violation
from tests.lifecycle.program import NORTH
from tests.lifecycle.world import world

Break = Callable[[pytest.MonkeyPatch], None]

KEY = Key(HEART, "")
X1, X2 = (Words(KEY, subject, "ACC-1") for subject in ("SUBJ-X1", "SUBJ-X2"))
OF_ANOTHER = Words(KEY, "SUBJ-X1", "ACC-2")
ARRIVES: Step = ("arrives", "1.2.1", 1)
RUN: Step = ("run",)
REQUESTED: list[Step] = [("entry", "1", X1), ARRIVES, RUN]


class Bite(NamedTuple):
    """What is broken, the story in which that shows, and what the oracle says of it."""

    broken: Break
    story: list[Step]
    said: str
    north: Sequence[str] = ()


def instead(holder: object, name: str, value: object) -> Break:
    return lambda patch: patch.setattr(holder, name, value)


def without(*kinds: type) -> Break:
    """These facts are not recorded where decisions are."""

    def fewer(*arguments: Any) -> list[Any]:
        return [event for event in decision_events(*arguments) if not isinstance(event, kinds)]

    return instead(decide, "decision_events", fewer)


def all_of(*breaks: Break) -> Break:
    def broken(patch: pytest.MonkeyPatch) -> None:
        for each in breaks:
            each(patch)

    return broken


def from_the_first_instance(patch: pytest.MonkeyPatch) -> None:
    """What others have is overwritten."""
    prepared = plan._Transfers.__init__

    def unaware(self: Any, *arguments: Any) -> None:
        prepared(self, *arguments)
        self._highest = 0

    patch.setattr(plan._Transfers, "__init__", unaware)


def forgetful_of_series(desired: Any, actual: Any, now: Any) -> plan.Plan:
    return plan.plan_study(desired, replace(actual, series={}), now)


def silently(outcomes: Outcomes, events: Sequence[Told]) -> Changes:
    """What the sender reports is taken off the list by itself."""
    change = outcomes._rules.plan(events)

    def change_more(connection: Connection) -> None:
        change(connection)
        connection.execute(text("update gateway.outcome set acknowledged = true where state = 'sent'"))

    return change_more


def change_a_table(self: run.Run) -> None:
    with self.gateway.begin() as work:
        work.execute(text("update gateway.study set arrived_at = arrived_at - interval '1 day'"))


def unnoticed(*_: object) -> None:
    return None


def every_missing_record_is_gone(patch: pytest.MonkeyPatch) -> None:
    compare = observed_list.compared

    def believing(*arguments: Any, **more: Any) -> observed_list.Comparison:
        found = compare(*arguments, **more)
        return replace(found, newly_doubted=(), removed=found.doubted, doubted=())

    from processors.routing import sync

    patch.setattr(sync, "compared", believing)


NO_CHECKS = all_of(instead(run, "checks_of", lambda _: ()), instead(run, "LASTING", ()))

BITES = {
    "one row at most": Bite(
        all_of(instead(plan._Transfers, "end", unnoticed), instead(plan._Transfers, "_amendable", unnoticed)),
        [*REQUESTED, ("entry", "1", X2), ("run cut off", "the second import cut off")],
        "2 rows of ours can be sent",
    ),
    "no series twice": Bite(
        instead(planner, "plan_study", forgetful_of_series),
        [ARRIVES, ("run cut off", "an import that is cut off once it was stored"), RUN],
        "stands there twice",
    ),
    "what others wrote": Bite(
        from_the_first_instance,
        [ARRIVES, RUN, ("person requests", "1.2.1", Key(BRAIN, ""), "SUBJ-X1"), ("entry", "1", X1), RUN],
        "a person's row, instance 1 of 1.2.1, was changed",
    ),
    "a correction": Bite(
        instead(observed_list, "_stands", lambda state, _: state is not None),
        [*REQUESTED, ("entry", "1", X2), RUN],
        "can be sent to Heart Study as SUBJ-X1, which nobody asks for",
    ),
    "by hand": Bite(
        instead(decisions, "_decided_by_hand", unnoticed),
        [("rule", "1", Rule(KEY)), ARRIVES, RUN, ("retracts", "1.2.1", HEART, None), ("arrives", "1.2.1", 2), RUN],
        "which nobody asks for",
    ),
    "what a command says": Bite(
        instead(End, "waits", property(unnoticed)),
        [*REQUESTED, ("person locks", "1.2.1"), ("retracts", "1.2.1", HEART, None)],
        "after 'done', instance 1",
    ),
    "a pseudonym that tells whose it is": Bite(
        NO_CHECKS, [("entry", "1", Words(KEY, UNFIT, "ACC-1")), ARRIVES, RUN], f"as {UNFIT}, which nobody asks for"
    ),
    "a participant who withdrew": Bite(
        all_of(NO_CHECKS, instead(decide, "follow_withdrawals", unnoticed)),
        [
            *REQUESTED,
            ("participant withdraws", "1.2.1", BRAIN),
            ("entry", "1", Words(Key(BRAIN, ""), "SUBJ-X1", "ACC-1")),
            RUN,
        ],
        "can be sent to Brain, Ageing and Memory as SUBJ-X1, which nobody asks for",
    ),
    "a closed project": Bite(
        NO_CHECKS,
        [("project closes", HEART), *REQUESTED],
        "can be sent to Heart Study now, though that project is closed",
    ),
    "two patients, one pseudonym": Bite(
        instead(decide, "identified", lambda _, judgements, **__: (judgements, [])),
        [("entry", "1", X1), ("entry", "2", OF_ANOTHER), ARRIVES, ("arrives", "1.2.2", 1), RUN],
        "1.2.1 and 1.2.2 are two patients', and can be sent",
    ),
    "what is asked for": Bite(
        instead(decide, "named_by", lambda *_: set()),
        [ARRIVES, RUN, ("entry", "1", X1), RUN],
        "nothing stands in REDCap",
    ),
    "a conflict": Bite(
        without(ConflictFound), [("entry", "1", X1), ("entry", "2", X2), ARRIVES, RUN], "a conflict is to be shown"
    ),
    "a study of two patients": Bite(
        without(TwoPatientsFound), [ARRIVES, RUN, ("gets a stray series", "1.2.1"), RUN], "status does not say so"
    ),
    "what was sent": Bite(
        instead(poll, "changes", lambda *_: []), [*REQUESTED, ("sender sends", ""), RUN], "TransferSent of that request"
    ),
    "what failed": Bite(
        instead(poll, "changes", lambda *_: []),
        [*REQUESTED, ("sender sends", "2"), RUN],
        "TransferFailed of that request",
    ),
    "masked is not failed": Bite(
        instead(SenderSection, "information_codes", frozenset()),
        [*REQUESTED, ("sender sends", "3"), RUN],
        "TransferSent of that request",
    ),
    "what may be sent": Bite(
        instead(TransferRequest, "may_be_taken", lambda *_: False),
        [*REQUESTED, ("sender begins",), ("retracts", "1.2.1", HEART, None), RUN],
        "which was ended, and status does not say so",
    ),
    "what was refused": Bite(
        instead(Remembered, "is_retry_due", unnoticed),
        [
            *[ARRIVES, RUN, ("person moves the project to analysis",), ("entry", "1", X1), RUN],
            *[("person moves the project back",), ("time passes", 1_500), RUN],
        ],
        "nothing stands in REDCap",
    ),
    "one export is not the truth": Bite(
        every_missing_record_is_gone,
        [("entry", "1", X1), ("entry", "2", X2), ARRIVES, RUN, ("run without an entry", "2")],
        "a conflict is to be shown",
    ),
    "a record that an export lacks": Bite(
        instead(Absences, "doubted", lambda *_: set()),
        [
            *[("entry", "1", X1), ARRIVES, RUN, ("arrives", "1.2.1", 2), RUN, ("entry", "1", X2)],
            ("run cut off", "an export in which a record is missing"),
        ],
        "2 rows of ours can be sent",
    ),
    "the other site": Bite(
        instead(
            agenda,
            "_WINDOW",
            text(
                agenda._WINDOW.text.replace(
                    "select position from gateway.decision where site = :site",
                    "select max(position) from gateway.decision where cast(:site as text) is not null",
                )
            ),
        ),
        [
            ARRIVES,
            ("arrives", "1.2.2", 1),
            RUN,
            ("run", NORTH),
            ("entry", "1", OF_ANOTHER),
            ("entry", "2", X2),
            RUN,
            ("run", NORTH),
        ],
        "of 1.2.2 to Heart Study nothing stands in REDCap",
        north=("1.2.2",),
    ),
    "a clock that is wrong": Bite(
        instead(ClockComparison, "hear", unnoticed),
        [*REQUESTED, ("clock jumps", timedelta(hours=3), ""), RUN],
        "a run went on though the clock was 3:00:00 ahead",
    ),
    "one that took PostgreSQL's along": Bite(
        instead(Transport, "_hear", unnoticed),
        [*REQUESTED, ("clock jumps", timedelta(days=-2), "PostgreSQL"), RUN],
        "a run went on though the clock was -2 days, 0:00:00 ahead",
    ),
    "who is named": Bite(
        instead(withdrawals, "patient_mark", lambda _, patient_id: patient_id),
        [*REQUESTED, ("participant withdraws", "1.2.1", HEART)],
        "somebody is named in the ledger",
    ),
    "what is sent after it was ended": Bite(
        instead(Outcomes, "plan", silently),
        [*REQUESTED, ("sender begins",), ("retracts", "1.2.1", HEART, None), ("sender sends", ""), RUN],
        "was sent as SUBJ-X1 after that was ended, and status shows nothing of it",
    ),
    "tables that follow from events": Bite(
        instead(run.Run, "count_attention", change_a_table), [ARRIVES, RUN], "the ledger is not sound"
    ),
}


@pytest.mark.parametrize("bite", BITES.values(), ids=BITES.keys())
def test_a_break_is_found(
    ground: Ground, migrated: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bite: Bite
) -> None:
    with world(ground, migrated[1], tmp_path / "whole", north=bite.north) as around:
        for step in bite.story:
            around.do(step)
    bite.broken(monkeypatch)
    with (
        pytest.raises(Violation, match=bite.said),
        world(ground, migrated[1], tmp_path / "broken", north=bite.north) as around,
    ):
        live(around, bite.story)
