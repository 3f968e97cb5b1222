"""Faults that a test can switch on: what REDCap, its web server and the network between do wrong."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import NoneType
from typing import TYPE_CHECKING, Final

from .replies import Refusal, Reply, error_reply, reply

if TYPE_CHECKING:
    from .calls import Call

INSTEAD: Final = (
    "status",
    "reset",
    "browser_tabs",
    "memory_error",
    "mysql_connect",
    "empty",
    "waf",
    "banned",
    "offline",
)
AFTERWARDS: Final = ("delay", "truncated_json")
BEFOREHAND: Final = ("truncated_above", "lock_record", "revoke_right")
QUIRKS: Final = (
    "comma_strings",
    "omit_repeat_columns",
    "text_instances",
    "complete_null",
    "missing_record",
    "half_import",
    "blank_instances",
)
RIGHTS: Final = ("export", "import", "delete", "logging", "design")
KINDS: Final = (*INSTEAD, *AFTERWARDS, *BEFOREHAND, *QUIRKS)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault and the calls that it strikes.

    It strikes calls that match `project`, `content` and `action` (None: any): the `nth` next such call
    (1 is the very next one) and those after it, `times` in all (None: until the faults are cleared).

    * instead of the answer: `status` (with `status` 500, 502, ...), `reset`, `browser_tabs`, `memory_error`,
      `mysql_connect`, `empty`, `waf`, `banned`, `offline`. With `after_commit` the call is carried out first;
    * `delay` waits `seconds` before the call is carried out, with `after_commit` between that and the answer;
    * `truncated_json` carries the call out and sends half of the answer;
    * `truncated_above` refuses bodies above `bytes` with an empty error message;
    * `lock_record` locks `record`, `revoke_right` takes `right` (export, import, delete, logging, design)
      away, both for good and before the call is carried out;
    * `comma_strings` (servers before 13.4), `omit_repeat_columns`, `text_instances`, `complete_null`;
    * `blank_instances` gives a row for each instance, with blanks where it has none of the fields asked for;
    * `missing_record` leaves the last record out of an export without a word;
    * `half_import` stores only the first half of the rows and tells the count of that half. Together with
      `reset` or `status` and `after_commit` it is a server that dies while it saves.
    """

    kind: str
    project: str | None = None
    content: str | None = None
    action: str | None = None
    nth: int = 1
    times: int | None = 1
    after_commit: bool = False
    status: int = 500
    seconds: float = 0.0
    bytes: int = 16_000_000
    record: str = ""
    right: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"expected one of the faults {', '.join(KINDS)}, found {self.kind!r}")
        if self.kind == "revoke_right" and self.right not in RIGHTS:
            raise ValueError(f"expected one of the rights {', '.join(RIGHTS)}, found {self.right!r}")
        if self.kind == "lock_record" and not self.record:
            raise ValueError("expected the id of the record to lock, found a blank one")

    def matches(self, call: Call) -> bool:
        """Whether the fault is meant for such a call."""
        return (
            self.project in (None, call.project)
            and self.content in (None, call.content)
            and self.action in (None, call.action)
        )


@dataclass(kw_only=True)
class _Watched:
    """A fault that is switched on, and how many matching calls it has seen."""

    fault: Fault
    seen: int = 0

    def strikes(self, call: Call) -> bool:
        """Count the call if it matches, and tell whether the fault strikes it."""
        if not self.fault.matches(call):
            return False
        self.seen += 1
        return self.seen >= self.fault.nth

    @property
    def is_used_up(self) -> bool:
        return self.fault.times is not None and self.seen >= self.fault.nth + self.fault.times - 1


class Faults:
    """The faults that are switched on. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: list[_Watched] = []

    def add(self, fault: Fault) -> None:
        """Switch one fault on, besides those already on."""
        with self._lock:
            self._watched.append(_Watched(fault=fault))

    def clear(self) -> None:
        """Switch all faults off; records that they locked and rights that they took stay as they are."""
        with self._lock:
            self._watched.clear()

    def as_json(self) -> list[dict[str, object]]:
        """The faults that are on, each with the number of matching calls `seen` so far."""
        with self._lock:
            return [{**asdict(watched.fault), "seen": watched.seen} for watched in self._watched]

    def due(self, call: Call) -> tuple[Fault, ...]:
        """Count the call and give the faults that strike it; those used up are forgotten."""
        with self._lock:
            struck = tuple(watched.fault for watched in self._watched if watched.strikes(call))
            self._watched = [watched for watched in self._watched if not watched.is_used_up]
            return struck


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "nth": (int,),
    "times": (int, NoneType),
    "after_commit": (bool,),
    "status": (int,),
    "seconds": (int, float),
    "bytes": (int,),
}


def read_fault(json: object) -> Fault:
    """The fault described by a JSON object with the names of `Fault`'s attributes."""
    if not isinstance(json, Mapping):
        raise TypeError(f"expected a JSON object describing a fault, found {type(json).__name__}")
    unknown = json.keys() - {field.name for field in fields(Fault)}
    if unknown or "kind" not in json:
        raise ValueError(f"expected `kind` and attributes of a fault, found {sorted(map(str, json))}")
    wrong = [name for name in json if not isinstance(json[name], _TYPES.get(name, (str, NoneType)))]
    if wrong:
        raise TypeError(f"expected values of the right types, found others for {wrong}")
    return Fault(**json)


def page(fault: Fault) -> Reply:
    """What is answered instead of REDCap's own answer."""
    if fault.kind == "status":
        return reply(_html(f"{fault.status} Server Error", "The server could not answer."), "html", fault.status)
    return _PAGES[fault.kind]


def empty_error(kind: str) -> Reply:
    """REDCap's answer to a body that a limit on the way cut off: an error without words."""
    return error_reply(Refusal(""), kind)


def ban_page() -> Reply:
    """The page for an address that made too many calls; its status is not known for certain, 200 is taken."""
    return _PAGES["banned"]


def _html(title: str, text: str) -> str:
    return f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><p>{text}</p></body></html>\n"


_MEMORY: Final = (
    "REDCap ran out of server memory. The request cannot be processed. "
    "Please try importing/exporting a smaller amount of data."
)
_TABS: Final = (
    "An unknown error occurred. It might be due to having opened multiple browser tabs of the same REDCap page."
)
_PAGES: Final = {
    "reset": Reply(body=b"", status=0),
    "browser_tabs": reply(
        _html("REDCap", _TABS),
        "html",
    ),
    "memory_error": reply(f'{_html("REDCap", _MEMORY)}{{"error":"{_MEMORY}"}}', "html"),
    "mysql_connect": reply(
        "The hostname (db) / username (redcap) / password (XXXXXX) combination could not connect to the "
        "MySQL server. Please check their values.",
        "html",
    ),
    "empty": reply("", "html"),
    "waf": reply(_html("403 Forbidden", "The request was blocked by the web application firewall."), "html", 403),
    "banned": reply(_html("REDCap", "This address was banned: you cannot use REDCap from it."), "html"),
    "offline": reply(_html("REDCap", "REDCap is offline for maintenance. It will be back soon."), "html"),
}
