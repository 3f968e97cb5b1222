"""What this system asks for a study, and what REDCap holds of it. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from processors.events.fact import Cause
from processors.explain.sentences import cause_name
from processors.requests import Key, TransferRow

Kind = Literal["only here", "only in REDCap", "another pseudonym"]

NOBODY_ASKS = "no rule or coupling entry asks for it"


class DecidedTransfer(NamedTuple):
    """A request that this system would make; its pseudonym is None where it was forgotten."""

    pseudonym: str | None
    cause: Cause


class ShadowDifference(NamedTuple):
    """Where the two differ, and why this system decided as it did."""

    study: str
    key: Key
    kind: Kind
    why: str


@dataclass(kw_only=True, slots=True)
class ComparedStudy:
    """One study: what is asked for here, what REDCap holds, and what is left open here.

    `conflicts` are the kinds of conflicts, and `holds` the reasons in words, for which nothing is requested; `wanting`
    are the projects of which it would be given an ID.
    """

    study: str
    ours: Mapping[Key, DecidedTransfer]
    theirs: Sequence[TransferRow]
    conflicts: Mapping[Key, str]
    holds: Mapping[Key, str] = field(default_factory=dict)
    wanting: Collection[str] = ()

    @property
    def names(self) -> dict[Key, set[str]]:
        """The pseudonyms in REDCap, by project and event."""
        pseudonyms: dict[Key, set[str]] = {}
        for row in self.theirs:
            if row.project:
                pseudonyms.setdefault(Key(row.project, row.event_name), set()).add(row.name)
        return pseudonyms


def agreed(study: ComparedStudy) -> list[Key]:
    """What is asked for here and there alike."""
    names = study.names
    requests = [key for key, ours in study.ours.items() if _agrees(ours, names.get(key, set()))]
    return requests + [key for key in names if key.project in study.wanting]


def differences(study: ComparedStudy) -> Iterator[ShadowDifference]:
    """Where the two differ, in a fixed order."""
    names = study.names
    for key, ours in sorted(study.ours.items()):
        if key not in names:
            yield ShadowDifference(study.study, key, "only here", cause_name(ours.cause.kind, ours.cause.record_id))
        elif not _agrees(ours, names[key]):
            yield ShadowDifference(
                study.study, key, "another pseudonym", cause_name(ours.cause.kind, ours.cause.record_id)
            )
    for key in sorted(names.keys() - study.ours.keys()):
        if key.project not in study.wanting:
            yield ShadowDifference(study.study, key, "only in REDCap", _why_nothing(study, key))
    if not names:
        # A study that REDCap holds any request for is given no ID, here as there.
        for project in sorted(study.wanting):
            yield ShadowDifference(study.study, Key(project, ""), "only here", "auto-ID")


def _why_nothing(study: ComparedStudy, key: Key) -> str:
    if key in study.conflicts:
        return f"conflict here ({study.conflicts[key]}): nothing is requested"
    return f"held here: {study.holds[key]}" if key in study.holds else NOBODY_ASKS


def _agrees(ours: DecidedTransfer, names: Collection[str]) -> bool:
    return bool(names) and (ours.pseudonym is None or ours.pseudonym.strip() in names)


def _why(ours: DecidedTransfer) -> str:
    return cause_name(ours.cause.kind, ours.cause.record_id)
