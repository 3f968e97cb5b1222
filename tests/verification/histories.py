"""Random histories of the gateway: any events of any of its types that could stand in a ledger.

Studies, projects and records come from small pools, so that events meet. What refers to an earlier
event refers to one that is there, if there is one of the kind.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import strategies as st

from ledger.events import NewEvent, new_event_id
from processors.events.types import EventType
from processors.projections.studies import ROUTING_KEYS, ROW_KEYS

STUDIES = st.sampled_from(["1.2.1", "1.2.2", "1.2.3"])
PROJECTS = st.sampled_from(["Heart", "Brain"])
RECORDS = st.sampled_from(["1", "2"])
KINDS = st.sampled_from(["study", "series", "transfer"])
WORDS = st.sampled_from(["", "one", "two 'quoted'", "å^ä: %s"])
POSITIONS = st.integers(1, 30)
PROBLEMS = st.lists(st.sampled_from(["too long", "no {such} 'project'"]), max_size=2)

Draw = Callable[[st.SearchStrategy[Any]], Any]


class So(NamedTuple):
    """The history so far: the next event's position, and the positions of the requests."""

    position: int
    requests: list[int]
    ids: dict[tuple[str, str], int | None]
    """Whose each ID is: the position with which its subject came; None: reserved."""


def _subset(draw: Draw, known: list[int]) -> list[int]:
    return draw(st.lists(st.sampled_from(known), unique=True, max_size=2)) if known else []


def _request(draw: Draw, so: So) -> int:
    found: int = draw(st.sampled_from(so.requests) if so.requests else POSITIONS)
    return found


def _series(draw: Draw, _so: So) -> dict[str, Any]:
    """Of few contents, so that what has changed may change back."""
    study = draw(STUDIES)
    return {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.{draw(RECORDS)}",
        **dict.fromkeys(ROW_KEYS, draw(WORDS)),
        **dict.fromkeys(ROUTING_KEYS, draw(WORDS)),
        "AccessionNumber": draw(st.sampled_from(["", " A1 "])),
        "fingerprint": draw(WORDS),
    }


def _cause(draw: Draw) -> dict[str, Any]:
    return {
        "kind": draw(st.sampled_from(["rule", "coupling", "autoid"])),
        "record_id": draw(RECORDS),
        "position": draw(POSITIONS),
    }


def _transfer_request(draw: Draw, so: So) -> dict[str, Any]:
    return {
        "study": draw(STUDIES),
        "project": draw(PROJECTS),
        "event_name": draw(WORDS),
        "cause": _cause(draw),
        "whole_match": draw(st.booleans()),
        "replaces": _subset(draw, so.requests),
    }


def _about_request(draw: Draw, so: So) -> dict[str, Any]:
    """What every event about a request may hold."""
    return {
        "study": draw(STUDIES),
        "project": draw(PROJECTS),
        "request": _request(draw, so),
        "instance": draw(st.integers(1, 4)),
        "fate": draw(st.sampled_from(["unsent", "possibly sent", "sent"])),
        "found": draw(st.booleans()),
        "replaced": _request(draw, so),
        "by": draw(st.one_of(st.none(), st.just(so.position))),
        "reason": draw(WORDS),
    }


def _conflict(draw: Draw, so: So) -> dict[str, Any]:
    data = {
        "study": draw(STUDIES),
        "project": draw(PROJECTS),
        "event_name": draw(WORDS),
        "kind": draw(st.sampled_from(["equals", "person", "coupling stands"])),
        "causes": [_cause(draw)],
    }
    return data | ({"request": _request(draw, so)} if draw(st.booleans()) else {})


def _delivered(draw: Draw, _so: So) -> dict[str, Any]:
    study = draw(STUDIES)
    placed = st.fixed_dictionaries({"instance": st.integers(1, 3), "position": POSITIONS})
    return {
        "study": study,
        "row": draw(st.none() | POSITIONS),
        "series": draw(st.dictionaries(st.sampled_from([f"{study}.1", f"{study}.2"]), placed, max_size=2)),
    }


def _observed(draw: Draw, _so: So) -> dict[str, Any]:
    """With the row, or as of old without it."""
    row = {
        "project": draw(PROJECTS),
        "event_name": draw(WORDS),
        "instance": draw(st.integers(1, 3)),
        "fingerprint": "x",
    }
    return {"study": draw(STUDIES)} | (row if draw(st.booleans()) else {})


def _reported(draw: Draw, so: So) -> dict[str, Any]:
    """What a sender may report of a request of ours, or of somebody else's."""
    return _about_request(draw, so) | {
        "request": _request(draw, so) if draw(st.booleans()) else None,
        "event_name": draw(WORDS),
        "sent_at": draw(WORDS),
        "errors": draw(st.lists(RECORDS, max_size=2)),
        "failure": draw(WORDS),
    }


def _of(**parts: st.SearchStrategy[Any]) -> Callable[[Draw, So], dict[str, Any]]:
    return lambda draw, _so: {name: draw(part) for name, part in parts.items()}


def _new_id(draw: Draw, so: So) -> dict[str, Any]:
    """An ID of its own: the program never draws one twice."""
    project, value = draw(PROJECTS), f"ID-{so.position}"
    so.ids[project, value] = so.position
    return {
        "project": project,
        "value": value,
        "pattern": "ID-[0-9]+",
        "project_position": draw(POSITIONS),
        "record_id": draw(RECORDS),
    }


def _adopted_id(draw: Draw, so: So) -> dict[str, Any]:
    """One of its own, or one there is: reserved, or of a patient who was forgotten and has come back."""
    if not so.ids or draw(st.booleans()):
        return _new_id(draw, so)
    project, value = draw(st.sampled_from(sorted(so.ids)))
    owner = so.ids[project, value]
    so.ids[project, value] = so.position
    data = {"project": project, "value": value, "record_id": draw(RECORDS)}
    return data if owner is None else data | {"forgotten": str(UUID(int=owner))}


def _reserved_id(draw: Draw, so: So) -> dict[str, Any]:
    project, value = draw(PROJECTS), draw(_SOME_RESERVED)
    so.ids.setdefault((project, value), None)
    return {"project": project, "value": value}


def _contradicted_id(draw: Draw, so: So) -> dict[str, Any]:
    return _reserved_id(draw, so) | {"record_id": draw(RECORDS), "details": draw(WORDS)}


_SOME_ID = st.builds("ID-{}".format, POSITIONS)
_SOME_RESERVED = st.builds("RESERVED-{}".format, st.integers(1, 4))
_PRESENCE = _of(StudyInstanceUID=STUDIES)
_ROW = _of(study=STUDIES, kind=KINDS, key=RECORDS)
_REMOVED = _of(record_id=RECORDS)

DATA: dict[EventType, Callable[[Draw, So], dict[str, Any]]] = {
    EventType.SERIES_DISCOVERED: _series,
    EventType.SERIES_REVISED: _series,
    EventType.STUDY_VANISHED: _PRESENCE,
    EventType.STUDY_RETURNED: _PRESENCE,
    EventType.FILE_REJECTED: _of(path=RECORDS, reason=WORDS, digest=WORDS),
    EventType.REJECTION_RESOLVED: _of(path=RECORDS, how=st.sampled_from(["readable", "gone"])),
    EventType.ROUTING_RULE_CHANGED: _of(record_id=RECORDS, fingerprint=WORDS, problems=PROBLEMS),
    EventType.ROUTING_RULE_DOUBTED: _REMOVED,
    EventType.ROUTING_RULE_RETURNED: _REMOVED,
    EventType.ROUTING_RULE_REMOVED: _REMOVED,
    EventType.COUPLING_ENTRY_CHANGED: _of(
        record_id=RECORDS, fingerprint=WORDS, asks_fingerprint=WORDS, problems=PROBLEMS
    ),
    EventType.COUPLING_ENTRY_DOUBTED: _REMOVED,
    EventType.COUPLING_ENTRY_RETURNED: _REMOVED,
    EventType.COUPLING_ENTRY_REMOVED: _REMOVED,
    EventType.DECISIONS_MADE: _of(site=st.sampled_from(["north", "south"]), position=POSITIONS, studies=POSITIONS),
    EventType.TRANSFER_REQUESTED: _transfer_request,
    EventType.TRANSFER_RETRACTED: _about_request,
    EventType.DECISION_DEFERRED: _of(
        study=STUDIES,
        project=PROJECTS,
        event_name=WORDS,
        causes=st.lists(st.fixed_dictionaries({"kind": st.just("rule"), "record_id": RECORDS, "position": POSITIONS})),
    ),
    EventType.DECISION_RESUMED: _of(study=STUDIES, project=PROJECTS, event_name=WORDS),
    EventType.CONFLICT_FOUND: _conflict,
    EventType.CONFLICT_RESOLVED: _of(study=STUDIES, project=PROJECTS, event_name=WORDS),
    EventType.RULE_TIMED_OUT: _of(record_id=RECORDS, study=STUDIES),
    EventType.RULE_TIMEOUT_RESOLVED: _of(record_id=RECORDS, study=STUDIES),
    EventType.STUDY_DELIVERED: _delivered,
    EventType.TRANSFER_PLACED: _about_request,
    EventType.TRANSFER_AMENDED: _about_request,
    EventType.TRANSFER_WITHDRAWN: _about_request,
    EventType.TRANSFER_RECALLED: _about_request,
    EventType.TRANSFER_STRAYED: _about_request,
    EventType.ROW_REFUSED: _of(
        study=STUDIES, kind=KINDS, key=RECORDS, row_position=POSITIONS, field=WORDS, message=WORDS
    ),
    EventType.ROW_ACCEPTED: _ROW,
    EventType.ROW_MISSING: _ROW,
    EventType.ROW_RESTORED: _ROW,
    EventType.LOST_UPDATE_FOUND: _of(
        study=STUDIES, project=PROJECTS, kind=st.just("transfer"), request=st.integers(1, 3), instance=st.integers(1, 3)
    ),
    EventType.ACKNOWLEDGED: _of(position=POSITIONS, by=WORDS, reason=WORDS),
    EventType.DECIDED_BY_HAND: _of(study=STUDIES, project=PROJECTS, event_name=WORDS, by=WORDS, reason=WORDS),
    EventType.REPLAY_STARTED: _of(site=st.sampled_from(["north", "south"]), project=PROJECTS, by=WORDS),
    EventType.REPLAY_COMPLETED: _of(site=st.sampled_from(["north", "south"]), project=PROJECTS, by=WORDS),
    EventType.AUTOID_PROJECT_CHANGED: _of(
        record_id=RECORDS,
        project=PROJECTS,
        pattern=WORDS,
        aetitle=WORDS,
        wanted=st.booleans(),
        problems=PROBLEMS,
        fingerprint=WORDS,
    ),
    EventType.AUTOID_PROJECT_DOUBTED: _REMOVED,
    EventType.AUTOID_PROJECT_RETURNED: _REMOVED,
    EventType.AUTOID_PROJECT_REMOVED: _REMOVED,
    EventType.ID_GENERATED: _new_id,
    EventType.ID_ADOPTED: _adopted_id,
    EventType.ID_RESERVED: _reserved_id,
    EventType.ID_DELIVERED: _of(project=PROJECTS, value=_SOME_ID | _SOME_RESERVED, record_id=RECORDS),
    EventType.CONTRADICTION_FOUND: _contradicted_id,
    EventType.CONTRADICTION_RESOLVED: _of(project=PROJECTS, record_id=RECORDS),
    EventType.STUDY_HELD: _of(study=STUDIES, project=PROJECTS, reason=WORDS),
    EventType.STUDY_RELEASED: _of(study=STUDIES, project=PROJECTS, reason=WORDS),
    EventType.TRANSFER_OBSERVED: _observed,
    EventType.STUDY_REQUESTED_BY_OTHERS: _of(study=STUDIES),
    EventType.TRANSFER_SENT: _reported,
    EventType.TRANSFER_FAILED: _reported,
    EventType.TRANSFER_REOPENED: _reported,
    EventType.DIFFERENCE_ACCEPTED: _of(
        study=STUDIES, kind=KINDS, key=RECORDS, row_position=POSITIONS, fingerprint=WORDS
    ),
    EventType.STUDY_ADOPTED: _of(
        study=STUDIES, series=st.dictionaries(st.sampled_from(["1.2.1.1", "1.2.1.2"]), st.integers(1, 3), max_size=2)
    ),
    EventType.TRANSFER_ADOPTED: _of(
        study=STUDIES,
        project=PROJECTS,
        event_name=WORDS,
        instance=st.integers(1, 3),
        sent=st.booleans(),
        requested=st.none() | WORDS,
    ),
    EventType.ADOPTED_TRANSFER_GONE: _of(study=STUDIES, instance=st.integers(1, 3)),
    EventType.ADOPTION_COMPLETED: _of(site=st.sampled_from(["north", "south"]), by=WORDS),
    EventType.STARTED_FRESH: _of(site=st.sampled_from(["north", "south"]), by=WORDS),
    EventType.SUBJECT_FORGOTTEN: _of(
        what=st.just("patient"), name=st.just(""), by=WORDS, reason=WORDS, subjects=st.just({}), studies=POSITIONS
    ),
    EventType.MASTER_KEY_CHANGED: _of(keys=POSITIONS, by=WORDS),
}

_OF_A_PATIENT = {EventType.ID_GENERATED, EventType.ID_ADOPTED, EventType.CONTRADICTION_FOUND}


@st.composite
def histories(draw: Draw, max_size: int = 30, types: Collection[str] = tuple(DATA)) -> list[list[NewEvent]]:
    """Events of these types in the portions in which they are appended."""
    found: list[list[NewEvent]] = [[]]
    requests: list[int] = []
    ids: dict[tuple[str, str], int | None] = {}
    for position in range(1, draw(st.integers(0, max_size)) + 1):
        type_ = EventType(draw(st.sampled_from(sorted(types))))
        data = DATA[type_](draw, So(position, requests, ids))
        if type_ == EventType.TRANSFER_REQUESTED:
            requests.append(position)
        found[-1].append(
            NewEvent(
                stream=f"s/{draw(RECORDS)}",
                type=type_,
                data=data,
                subject=UUID(int=position) if type_ in _OF_A_PATIENT else None,
                event_id=new_event_id(),
            )
        )
        if draw(st.integers(0, 3)) == 0:
            found.append([])
    return [portion for portion in found if portion]
