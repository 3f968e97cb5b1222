"""One call as it is understood: its project, its parameters, the oddities to imitate; and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .replies import FORMATS, Refusal, Reply

if TYPE_CHECKING:
    from .parameters import Parameters
    from .project import Project

_DELIMITERS: Final = {"": ",", "tab": "\t"}


@dataclass(frozen=True, kw_only=True)
class Question:
    """One call of a known project. `quirks` are the names of faults that change how it is answered."""

    project: Project
    parameters: Parameters
    version: str
    quirks: frozenset[str] = frozenset()

    @property
    def format(self) -> str:
        """The format of the data: `format`, else xml."""
        return self.parameters.text("format", "xml").lower()

    @property
    def return_format(self) -> str:
        """The format of errors and of replies to imports: `returnFormat`, else `format`, else xml."""
        return return_format(self.parameters)

    @property
    def delimiter(self) -> str:
        """The separator of csv data."""
        named = self.parameters.text("csvDelimiter")
        return _DELIMITERS.get(named, named)

    def names(self, parameter: str) -> list[str]:
        """The members of an array parameter.

        A comma-separated text in its place is taken of records; of all else only by servers before 13.4.3.
        """
        given = self.parameters.text(parameter)
        if given and self.parameters.text("content") != "record" and "comma_strings" not in self.quirks:
            raise Refusal(
                f'The "{parameter}" parameter has been provided with a value, but the value is not an array. '
                f'The "{parameter}" parameter must be provided as an array.'
            )
        listed = [name.strip() for name in given.split(",")] if given else self.parameters.array(parameter)
        return [name for name in listed if name]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a call: the reply, how much was read or written, and whether an import was stored."""

    reply: Reply
    records: int = 0
    rows: int = 0
    fields: tuple[str, ...] = ()
    stored: bool = False


def return_format(parameters: Parameters) -> str:
    """The format of errors; REDCap falls back to xml even for a call that speaks json otherwise."""
    named = (parameters.text("returnFormat") or parameters.text("format", "xml")).lower()
    return named if named in FORMATS else "xml"


def action_of(parameters: Parameters) -> str:
    """One of export, import, delete and rename: REDCap takes a call that carries `data` for an import."""
    named = parameters.text("action").lower()
    if named in ("export", "import", "delete", "rename"):
        return named
    return "import" if "data" in parameters.values else "export"
