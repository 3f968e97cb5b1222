"""What a person must look at, in groups that have one cause and are settled in one way. Pure."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from processors.attention import Notice

_INDIVIDUAL: Final = frozenset(
    {
        "expected, not arrived",
        "two patients in one study",
        "one PatientID, two names",
        "two patients, one pseudonym",
        "one patient, two pseudonyms",
        "task",
        "may have been sent",
        "sent after it was ended",
        "not sent for a day",
        "replaced after it was sent",
        "retracted after it was sent",
        "written over by this system",
    }
)
"""Kinds whose details tell of one study alone: those of others are no cause of their own."""

_OF_RECORDS: Final = {
    "unusable rule": "routing rule",
    "rule ran out of time": "routing rule",
    "unusable coupling entry": "coupling entry",
    "expected, not arrived": "coupling entry",
    "unusable withdrawal": "entry of the list of withdrawals:",
    "withdrawal removed": "entry of the list of withdrawals:",
    "withdrawal changed": "entry of the list of withdrawals:",
    "unusable auto-ID project": "entry of the list of projects:",
    "contradiction in AutoID": "AutoID record",
    "conflict": "event",
    "contested by a person": "event",
    "coupling stands": "event",
}
"""What the subject is of which these kinds tell: a number alone says nothing to whoever reads it."""

_COMMAND: Final = re.compile(r"\bfiona-ledger [a-z]+(?:-[a-z]+)*(?: (?:--[a-z-]+|[A-Z]{2,}))*")
_BY_POSITION: Final = 12
"""So many positions stand in a command; more are named by the rule that led to them, if one did."""

_RULE: Final = re.compile(r"Of routing rule (.+)\.")


class Group(NamedTuple):
    """Things to look at that are alike: of one kind, one project and one cause, in the order of their positions."""

    kind: str
    project: str
    details: str
    advice: str
    settled_by: str
    members: Sequence[Notice]

    @property
    def title(self) -> str:
        """What is wrong, and where."""
        return f"{self.kind}, project {self.project}" if self.project else self.kind

    def subject(self, member: Notice) -> str:
        """What the member is about, by what people call it; blank where study and project say it all."""
        if not member.subject:
            return ""
        name = _OF_RECORDS.get(self.kind)
        return member.subject if name is None else f"{name} {member.subject}"

    @property
    def positions(self) -> list[int]:
        """The positions that the command wants; none where it wants none, or there is no command."""
        wants = " POSITION" in self.settled_by
        return [member.position for member in self.members if member.position is not None] if wants else []

    def examples(self, number: int) -> Iterator[str]:
        """The first of them, a line each; a position in brackets is one that can be given to a command."""
        for member in self.members[:number]:
            position = f"[{member.position}]" if self.positions else ""
            details = "" if self.details else member.details
            line = "  ".join(part for part in (position, member.study, self.subject(member), details) if part)
            if line:
                yield line

    def command(self, program: str) -> str:
        """What to paste into a shell, with `program` in front; a command that wants a reason asks for it."""
        if not self.settled_by:
            return ""
        first = self.members[0]
        words = [program]
        for word in self.settled_by.split()[1:]:
            match word:
                case "POSITION":
                    words += self._selection()
                case "STUDY":
                    words.append(shlex.quote(first.study or ""))
                case "NAME":
                    words.append(shlex.quote(first.project or ""))
                case _:
                    words.append(word)
        return " ".join(words)

    def _selection(self) -> list[str]:
        rule = _RULE.fullmatch(self.details)
        if len(self.members) <= _BY_POSITION or rule is None:
            return [str(position) for position in self.positions]
        return [
            f"{option} {shlex.quote(value)}"
            for option, value in (("--kind", self.kind), ("--project", self.project), ("--rule", rule[1]))
        ]

    def as_data(self) -> dict[str, Any]:
        """For a program to read."""
        return {
            "kind": self.kind,
            "project": self.project or None,
            "details": self.details or None,
            "advice": self.advice,
            "command": self.command("fiona-ledger") or None,
            "count": len(self.members),
            "positions": self.positions,
        }


def grouped(listed: Iterable[Notice]) -> list[Group]:
    """The groups, by kind, the largest of each kind first."""
    groups = [
        _group(list(members))
        for _, members in groupby(sorted(listed, key=lambda one: (_cause(one), one.position or 0)), key=_cause)
    ]
    return sorted(groups, key=lambda group: (group.kind, -len(group.members)))


def _cause(notice: Notice) -> tuple[str, str, str, str]:
    details = "" if notice.kind in _INDIVIDUAL else notice.details or ""
    return notice.kind, notice.project or "", details, notice.advice


def _group(members: Sequence[Notice]) -> Group:
    kind, project, details, advice = _cause(members[0])
    found = _COMMAND.search(advice)
    command = "" if found is None else found[0].replace(" --reason TEXT", "").strip()
    text = advice if found is None else advice[: found.start()].strip()
    return Group(kind, project, details, text, command, members)
