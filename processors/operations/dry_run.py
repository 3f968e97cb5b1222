"""What a dry run would change: told from the events that it recorded and took back again."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from ledger import store
from ledger.events import Event
from processors.events.types import EventType
from processors.explain.sentences import cause_name

Data = Mapping[str, Any]


class Change(NamedTuple):
    """One change: of a study's transfer to a project, or of its rows. `project` and `event_name` may be blank."""

    project: str
    study: str
    event_name: str
    change: str
    why: str


def changes(connection: Connection, after: int) -> list[Change]:
    """The changes that the events after this position stand for, by project and study."""
    found: dict[int, Change] = {}
    for event in store.read(connection, after=after, types=_TOLD.keys() | {EventType.TRANSFER_PLACED}):
        if event.type != EventType.TRANSFER_PLACED:
            _add(found, event)
        elif event.data["found"] and event.data["request"] in found:
            request = found[event.data["request"]]
            found[event.data["request"]] = request._replace(change="leave: REDCap holds the same request")
    return sorted(found.values())


def _add(found: dict[int, Change], event: Event) -> None:
    told = _TOLD[EventType(event.type)](event.data)
    if told is not None:
        data = event.data
        found[event.position] = Change(data.get("project") or "", data["study"], data.get("event_name") or "", *told)


def _requested(data: Data) -> tuple[str, str]:
    cause = data["cause"]
    return "change its request" if data["replaces"] else "request", cause_name(cause["kind"], cause["record_id"])


def _superseded(data: Data) -> tuple[str, str] | None:
    return ("report", "it was sent under the old request") if data["sent"] else None


_TOLD: Mapping[EventType, Callable[[Data], tuple[str, str] | None]] = {
    EventType.TRANSFER_REQUESTED: _requested,
    EventType.TRANSFER_RETRACTED: lambda data: ("withdraw its request", data["reason"]),
    EventType.TRANSFER_WITHDRAWN: _superseded,
    EventType.CONFLICT_FOUND: lambda data: ("report a conflict", data["kind"]),
    EventType.CONFLICT_RESOLVED: lambda _: ("settle a conflict", ""),
    EventType.RULE_TIMED_OUT: lambda data: ("report a rule", f"routing rule {data['record_id']} ran out of time"),
    EventType.STUDY_HELD: lambda data: ("hold", data["reason"]),
    EventType.STUDY_RELEASED: lambda data: ("release", data["reason"]),
    EventType.ROW_MISSING: lambda data: ("report a missing row", f"{data['kind']} {data['key']}".strip()),
    EventType.ROW_RESTORED: lambda data: ("write a missing row", f"{data['kind']} {data['key']}".strip()),
}
