"""Every event of a study is told in a sentence, whatever its data lacks."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from ledger.events import Event
from processors.events.types import EventType
from processors.explain.sentences import Told, has_sentence, sentence

OF_OTHER_STREAMS = {
    EventType.ROUTING_RULE_CHANGED,
    EventType.ROUTING_RULE_REMOVED,
    EventType.COUPLING_ENTRY_CHANGED,
    EventType.COUPLING_ENTRY_REMOVED,
    EventType.DECISIONS_MADE,
    EventType.REPLAY_STARTED,
    EventType.REPLAY_COMPLETED,
    EventType.AUTOID_PROJECT_CHANGED,
    EventType.AUTOID_PROJECT_REMOVED,
    EventType.ID_GENERATED,
    EventType.ID_ADOPTED,
    EventType.ID_RESERVED,
    EventType.ID_DELIVERED,
    EventType.CONTRADICTION_FOUND,
    EventType.CONTRADICTION_RESOLVED,
    EventType.ADOPTION_COMPLETED,
    EventType.STARTED_FRESH,
    EventType.SUBJECT_FORGOTTEN,
    EventType.MASTER_KEY_CHANGED,
}
FULL: dict[str, Any] = {
    "StudyInstanceUID": "1.2",
    "SeriesInstanceUID": "1.2.1",
    "NumFiles": 4,
    "AccessionNumber": "A1",
    "AETitleCaller": "CT1",
    "AETitleCalled": "FIONA",
    "study": "1.2",
    "project": "HEART",
    "event_name": "baseline",
    "request": 17,
    "instance": 3,
    "cause": {"kind": "rule", "record_id": "7", "position": 5},
    "causes": [{"kind": "rule", "record_id": "7", "position": 5}],
    "kind": "series",
    "key": "1.2.1",
    "path": "1.2/1.json",
    "reason": "too large",
    "how": "gone",
    "record_id": "7",
    "series": {"1.2.1": {"instance": 1, "position": 1}},
    "row": 1,
    "by": "ada",
    "position": 12,
    "message": "words",
    "field": "study_date",
    "sent_at": "2026-03-02 08:00",
    "failure": "refused",
    "action": "retract",
    "sent": True,
    "found": True,
    "whole_match": False,
    "replaces": [3],
    "replaced": 3,
}


def told(type_: str, data: dict[str, Any], before: Told | None = None) -> str:
    event = Event(9, uuid4(), "main", "study/1.2", 1, type_, 1, data, None, None, datetime.now(UTC), uuid4(), bytes(32))
    return sentence(event, before or Told())


@pytest.mark.parametrize("type_", sorted(set(EventType) - OF_OTHER_STREAMS))
def test_every_event_of_a_study_has_a_sentence_of_its_own(type_: str) -> None:
    assert has_sentence(type_)
    words = told(type_, FULL)
    assert words[0].isupper() or words.startswith("ada")
    assert "None" not in words
    assert "{" not in words


def test_what_a_revision_changed_is_named_without_saying_what_it_was() -> None:
    before = Told()
    told("SeriesDiscovered", FULL | {"identity_fingerprint": "x"}, before)
    changed = FULL | {"identity_fingerprint": "y", "AETitleCaller": "CT2", "NumFiles": 9}
    assert told("SeriesRevised", changed, before) == (
        "Series 1.2.1 was revised: the calling AE title, whose it is changed."
    )


def test_growth_is_told_by_the_number_of_files() -> None:
    before = Told()
    told("SeriesDiscovered", FULL, before)
    assert told("SeriesRevised", FULL | {"NumFiles": 9}, before) == "Series 1.2.1 grew from 4 to 9 files."


def test_an_unknown_type_gets_a_plain_line() -> None:
    assert told("StudyTeleported", {}) == "StudyTeleported: see `fiona-ledger export --from 9 --to 9`."
