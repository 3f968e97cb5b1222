"""What a call to REDCap can end with, below the errors of `processors.errors`.

    ServiceError
    ├── Refused
    │   ├── NotPermitted     REDCap does not let us, in its own words: a right, a token, or a body above PHP's limit
    │   ├── Banned           REDCap keeps our address out: stop all calls until the pause is over
    │   └── Blocked          a firewall before REDCap does not let the call through: halve what it holds
    ├── Unanswered
    │   └── Misdirected      the address, its certificate or a redirect is wrong: asking again gives the same
    ├── RowsRefused          nothing of an import was stored: take the named rows out, or halve the batch
    └── UnknownFields        the project lacks these fields: look its dictionary up, call again without them

Messages hold neither tokens nor values of rows.
"""

import dataclasses
from dataclasses import dataclass
from typing import Self

from processors.errors import Refused, ServiceError, Unanswered


@dataclass(frozen=True, kw_only=True)
class RowProblem:
    """What REDCap says against one row; `record` and `field` are blank where its words do not name them.

    `message` holds its known words alone; `words` are all of its message, to be kept sealed and shown in no error: they
    may quote what is a patient's.
    """

    record: str
    field: str
    message: str
    locked: bool = False
    words: str = dataclasses.field(default="", compare=False, repr=False)

    @classmethod
    def of_none(cls, message: str) -> Self:
        """A problem of which it is not known what it is about."""
        return cls(record="", field="", message=message)


class NotPermitted(Refused):
    """REDCap does not let the token's user make the call, or has got no token, as the body was too large for it."""


class Banned(Refused):
    """REDCap answers as it does to an address that it has banned."""


class Blocked(Refused):
    """Something before REDCap refuses the call, perhaps for what it holds."""


class Misdirected(Unanswered):
    """The call reaches nothing that is REDCap's API, and will not until the configuration is mended."""


class RowsRefused(ServiceError):
    """REDCap stored nothing of an import because of some of its rows."""

    def __init__(self, message: str, problems: tuple[RowProblem, ...]) -> None:
        super().__init__(message)
        self.problems = problems


class UnknownFields(ServiceError):
    """The project's dictionary has no such fields."""

    def __init__(self, message: str, fields: tuple[str, ...]) -> None:
        super().__init__(message)
        self.fields = fields
