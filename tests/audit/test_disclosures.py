"""One AuditEvent for each time that a study is known to have been sent, however often that is told."""

from collections.abc import Sequence
from typing import Any

import pytest

from ledger.database import Database
from processors.events.fact import Cause, Fact
from processors.events.transfers import Fate, TransferSent, TransferWithdrawn
from processors.operations.disclosures import audit_events
from tests.facts import a_request, in_plain
from tests.ledger.samples import the_store

STUDY, HEART = "1.2", "HEART"
FIRST, SECOND = "2026-03-02 08:55", "2026-03-03 10:30"


def sent(at: str = FIRST, *uids: str) -> TransferSent:
    return TransferSent(
        study=STUDY, project=HEART, event_name="", request=1, instance=1, sent_at=at, mapped_uids=uids or ("2.25.1",)
    )


def withdrawn(fate: Fate = "sent") -> TransferWithdrawn:
    return TransferWithdrawn(study=STUDY, project=HEART, request=1, instance=1, by=None, fate=fate)


@pytest.fixture
def database(passing_database: Database) -> Database:
    return passing_database


def record(database: Database, facts: Sequence[Fact]) -> None:
    """These, after what makes the request at position 1."""
    told = [a_request(STUDY, HEART, Cause("rule", "7", 0)), *facts]
    with database.begin() as connection:
        the_store().append(connection, [in_plain(fact) for fact in told])


def disclosed(database: Database, first: int = 1, last: int | None = None) -> list[dict[str, Any]]:
    with database.begin() as connection:
        return list(audit_events(connection, first=first, last=last))


def details(event: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["valueString"] for each in event["entity"][1]["detail"]}


@pytest.mark.parametrize(
    ("facts", "counted"),
    [
        ([sent(), withdrawn()], [2]),
        ([sent(), withdrawn(), withdrawn()], [2]),
        ([withdrawn(), sent()], [2]),
        ([withdrawn(), withdrawn(), sent(), sent(SECOND)], [2, 5]),
        ([withdrawn("possibly sent"), sent()], [3]),
        ([withdrawn("unsent")], []),
        ([sent(), sent(SECOND), withdrawn()], [2, 3]),
        ([sent(), sent(FIRST, "2.25.2"), sent(SECOND), sent(FIRST)], [2, 4]),
    ],
)
def test_each_sending_is_one_line_in_parts_as_in_the_whole(
    database: Database, facts: list[Fact], counted: list[int]
) -> None:
    """A request that was ended after it was sent was told twice."""
    record(database, facts)
    whole = disclosed(database)
    assert [int(details(event)["position"]) for event in whole] == counted
    ends = range(1, len(facts) + 2)
    assert [event for end in ends for event in disclosed(database, end, end)] == whole


def test_control_characters_that_fhir_has_not_are_replaced(database: Database) -> None:
    told = a_request(STUDY, "HEART\x1b[31m\t\n", Cause("rule", "7\x01", 0), event_name="\x0bbase\u202e")
    with database.begin() as connection:
        the_store().append(connection, [in_plain(fact) for fact in (told, sent())])
    (event,) = disclosed(database)
    assert event["agent"][1]["network"]["address"] == "HEART\ufffd[31m\t\n"
    assert details(event)["cause"] == "rule 7\ufffd"
    assert details(event)["event_name"] == "\ufffdbase\u202e"


def test_of_what_was_seen_at_a_withdrawal_the_senders_report_tells_when_and_under_which_study_uid(
    database: Database,
) -> None:
    record(database, [withdrawn()])
    (before,) = disclosed(database)
    assert "period" not in before
    with database.begin() as connection:
        the_store().append(connection, [in_plain(sent())])
    (event,) = disclosed(database)
    assert event["id"] == before["id"]
    assert event["period"] == {"start": "2026-03-02", "end": "2026-03-02"}
    assert details(event)["mapped_uids"] == "2.25.1"
