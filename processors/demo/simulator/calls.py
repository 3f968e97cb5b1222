"""What the simulator remembers of each call: counts and names, never values of people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the API.

    `project` is blank where the token is unknown. `action` is "export", "import", "delete", "rename" or, for
    what is only asked, "export". `records` and `rows` count what was read or written (0 before the call is
    carried out and where it fails), `fields` are the names asked for or written.
    `by_date`: only what has changed since a time was asked for. `status` is 0 before the
    answer and where the connection was reset; `bytes` is the size of the answer's body.
    """

    time: datetime
    project: str
    content: str
    action: str
    records: int = 0
    rows: int = 0
    fields: tuple[str, ...] = ()
    by_date: bool = False
    status: int = 0
    bytes: int = 0

    def as_json(self) -> dict[str, object]:
        """The call for the admin path."""
        return asdict(self)
