"""What one call asks for, in words for messages and in what its answer is held against."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from .rows import INSTANCE, INSTRUMENT

_BREAK: Final = re.compile(r'["\n\r]')


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One call: our name for the project, the call and the expected answer in words.

    `fields` were asked for by an export. `rows` were sent by an import, under the record ids in their
    `record_field`. The token is here only so that it can be kept out of messages.
    """

    project: str
    call: str
    expected: str
    token: str = field(repr=False)
    fields: Sequence[str] = ()
    rows: Sequence[Mapping[str, str | int]] = field(default=(), repr=False)
    record_field: str = ""

    @property
    def is_import(self) -> bool:
        """Whether the call writes."""
        return bool(self.record_field)

    @cached_property
    def records(self) -> frozenset[str]:
        """The distinct records of an import."""
        return frozenset(str(row[self.record_field]) for row in self.rows)

    @cached_property
    def hidden(self) -> frozenset[str]:
        """What must not be shown if the answer repeats it: the token, and the values of the rows."""
        shown = (self.record_field, INSTRUMENT, INSTANCE)
        values = {str(value) for row in self.rows for name, value in row.items() if name not in shown}
        # What is in quotes is removed from messages; a value with quotes of its own leaves pieces behind.
        pieces = {piece.strip() for value in values for piece in _BREAK.split(value)}
        return frozenset({self.token, *values, *pieces}) - self.records

    def message(self, found: str, advice: str) -> str:
        """What was expected, what was found, and what to do."""
        found = found.rstrip(".")
        return f"REDCap project {self.project}, {self.call}: expected {self.expected}, found {found}. {advice}"

    @property
    def outcome(self) -> str:
        """What an answer that cannot be trusted means for what stands in REDCap."""
        if self.is_import:
            return "Whether the rows were stored is not known; the next run looks, and adds what is missing."
        return "Nothing was changed by this call; the next run tries again."
