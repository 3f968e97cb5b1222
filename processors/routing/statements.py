"""A study's PatientID, names and AE titles as its series state them, and where that has changed.

A blank where there was a value says nothing new: each of a series' values is the last that was not blank. A placeholder
of a PatientID is what rules look at where there is nothing else, and nobody's.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Row

from ledger.events import Event
from processors.gateway import Work
from processors.placeholders import Placeholders
from processors.routing.rules import Identity
from processors.text import is_blank, without_padding

_SEALED = ("PatientID", "PatientName", "AccessionNumber")
_PLAIN = ("AETitleCalled", "AETitleCaller")

Unsealed = Mapping[int, tuple[Event, Mapping[str, Any]]]
"""Events with what was sealed in them, by position."""

Statement = Mapping[str, str]
"""What a series says, by DICOM's keywords; blank values are left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyChange:
    """That a study's series on disk say something else than before, since the event at `position`.

    `readdressed`: the series that leads the study was sent to another AE title.
    """

    keywords: tuple[str, ...]
    position: int
    readdressed: bool

    @property
    def of_patient(self) -> bool:
        """Whether it is somebody else's now."""
        return "PatientID" in self.keywords


class Changes(NamedTuple):
    """The changes by study, and the series (study and UID) that were told again with nothing new in it."""

    by_study: Mapping[str, StudyChange]
    nothing_new: frozenset[tuple[str, str]]


def told_at(series: Row[Any]) -> list[int]:
    """The events that hold what the series says: the newest too, in which a patient who came back can be read."""
    return sorted({*series.stated, series.position})


def statement(positions: Iterable[int], events: Unsealed, placeholders: Placeholders) -> Statement:
    """What a series says, by these events of it."""
    said: dict[str, str] = {}
    for position in positions:
        event, identity = events[position]
        values = {name: identity.get(name, "") for name in _SEALED} | {name: event.data[name] for name in _PLAIN}
        if "PatientID" in said and placeholders.names_nobody(values["PatientID"]):
            del values["PatientID"]
        said.update({name: value for name, value in values.items() if not is_blank(value)})
    return said


def identity_of(said: Statement) -> Identity:
    """What rules look at."""
    return Identity(
        called=said.get("AETitleCalled", ""),
        calling=said.get("AETitleCaller", ""),
        patient_id=said.get("PatientID", ""),
        patient_name=said.get("PatientName", ""),
    )


def changes_since(work: Work, series: Sequence[Row[Any]], after: Mapping[str, int]) -> Changes:
    """What has changed in what these series say, `after` a position for each study."""
    by_study: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in series:
        by_study[row.study].append(row)
    moved = [rows for rows in by_study.values() if any(_has_moved(row, after[row.study]) for row in rows)]
    events = work.identities({position for rows in moved for row in rows for position in told_at(row)})
    changes = {}
    nothing_new: set[tuple[str, str]] = set()
    for rows in moved:
        statements = [_Told.of(row, events, after[row.study], work.placeholders) for row in rows]
        change = _change(statements, work.placeholders)
        if change is not None:
            changes[rows[0].study] = change
        nothing_new.update((each.row.study, each.row.series) for each in statements if each.before == each.now)
    return Changes(changes, frozenset(nothing_new))


def _has_moved(row: Row[Any], after: int) -> bool:
    return bool(row.stated[0] <= after < max(row.stated[-1], row.presence_position))


class _Told(NamedTuple):
    """What a series on disk said before and says now; empty where it was not there."""

    row: Row[Any]
    before: Statement
    now: Statement

    @classmethod
    def of(cls, row: Row[Any], events: Unsealed, after: int, placeholders: Placeholders) -> "_Told":
        was_there = row.present if row.presence_position <= after else not row.present
        positions = [position for position in told_at(row) if position <= after and was_there]
        before = statement(positions, events, placeholders)
        return cls(row, before, statement(told_at(row) if row.present else (), events, placeholders))

    @property
    def changed(self) -> set[str]:
        """What it says otherwise than before."""
        if not self.row.present:
            return set()
        return {name for name, value in self.before.items() if not _are_alike(value, self.now.get(name, ""))}


def _change(statements: Sequence[_Told], placeholders: Placeholders) -> StudyChange | None:
    keywords = {name for each in statements for name in each.changed}
    before, now = (
        {
            without_padding(said["PatientID"])
            for said in sides
            if not placeholders.names_nobody(said.get("PatientID", ""))
        }
        for sides in ([each.before for each in statements], [each.now for each in statements])
    )
    # The patient changes with the series that come and go, too; one of two that goes leaves the other as it was.
    if before and now - before:
        keywords.add("PatientID")
    if not keywords:
        return None
    return StudyChange(
        keywords=tuple(sorted(keywords)),
        position=max(position for each in statements for position in (each.row.stated[-1], each.row.presence_position)),
        readdressed=any(each.row.leads and "AETitleCalled" in each.changed for each in statements),
    )


def _are_alike(one: str, other: str) -> bool:
    return without_padding(one) == without_padding(other)
